/** What documents of every kind have in common. */
import * as z from 'zod';
import { isGlob } from '../glob.ts';
import { API_VERSION } from '../policy.ts';
import { parseWorkload } from '../workload.ts';
import * as field from './fields.ts';
import { kubernetes } from './structural.ts';

/**
 * Adds an issue at a field of the object being refined. `depth` tells it from faults of the fields themselves, after
 * which such a check means nothing.
 */
export function issue(context: z.core.$RefinementCtx, path: (string | number)[], wanted: string, hint?: string): void {
  context.addIssue({ code: 'custom', path, message: wanted, params: { depth: path.length, hint } });
}

export const subjectSchema = z
  .strictObject(
    {
      workload: field.workload.describe(
        'Which workloads the policy is about, as `kind/name` or `namespace/kind/name`. `*` stands for any run of ' +
          'characters and `?` for one, within a part. In Kubernetes the kind is that of the top owner of pods, or one of ' +
          '`Service`, `ServiceAccount`, `Node`, written out: see docs/kubernetes.md.',
      ),
      container: field.container.optional().meta({ description: 'Which of their containers.', default: '*' }),
      labels: field.labels.optional().describe('Labels they must have, all of them, with exactly these values.'),
    },
    { error: 'a mapping with the field workload' },
  )
  .meta({ title: 'Subject' });

export const priority = field.priority.optional().meta({
  description: 'Policies with a lower number are judged first. At equal priority Deny comes before Alert before Allow.',
  default: 1000,
});

export const mode = field.mode.optional().meta({
  description: '`Stage` judges and reports what the policy would do, and changes no verdict.',
  default: 'Enforce',
});

export const ruleName = field.ruleName
  .optional()
  .describe('Name of the rule in reports and metrics, unique in its list. Rules without one are known by their index.');

/** Most rules of a list in a Kubernetes object, which has 1.5 MiB at most; a file may have more. */
const KUBERNETES_RULES = 500;

/** Rules of which no two have the same name. */
export function rules<T extends z.ZodType<{ name?: string | undefined }>>(rule: T) {
  return z
    .array(rule, { error: 'a list of rules (an empty one is written [])' })
    .max(field.LIMITS.rules, { error: `at most ${field.LIMITS.rules} rules` })
    .superRefine((list, context) => {
      const seen = new Map<string, number>();
      for (const [i, { name }] of list.entries()) {
        if (name === undefined) continue;
        const first = seen.get(name);
        if (first === undefined) seen.set(name, i);
        else issue(context, [i, 'name'], 'a name no other rule of the list has', `rule ${first} has it`);
      }
    })
    .register(kubernetes, { maxItems: KUBERNETES_RULES })
    .optional();
}

const metadataFields = {
  name: field.policyName.describe('Name of the policy, unique among its kind in its namespace.'),
  labels: field.labels.optional().describe('Labels of the policy itself; they select nothing.'),
  annotations: field.annotations.optional().describe('Anything you want to keep beside it.'),
};

export const apiVersion = z.literal(API_VERSION, { error: `"${API_VERSION}"` }).describe('Version of the format.');

export function kind<const K extends string>(name: K) {
  return z.literal(name, { error: `"${name}"` }).describe('Kind of the document.');
}

/** Metadata of a kind whose policies are in a namespace. */
export const namespacedMetadata = z
  .strictObject(
    {
      ...metadataFields,
      namespace: field.namespace.describe('Namespace of the policy and of all its subjects.'),
    },
    { error: 'a mapping with the fields name, namespace' },
  )
  .meta({ title: 'Metadata' });

/** Metadata of a cluster-wide kind. */
export const clusterMetadata = z
  .strictObject(metadataFields, { error: 'a mapping with the field name' })
  .meta({ title: 'Metadata' });

/**
 * The subject of a policy in a namespace is of that namespace.
 * @param clusterKind the kind for others
 */
export function checkSubject(
  context: z.core.$RefinementCtx,
  namespace: string,
  reference: string,
  clusterKind: string,
): void {
  const subject = parseWorkload(reference, namespace);
  if (subject === undefined || subject.namespace === namespace) return;
  const elsewhere = isGlob(subject.namespace) ? 'several namespaces' : 'another namespace';
  const other = subject.namespace === '' ? 'a node is in no namespace' : elsewhere;
  const hint = `${other}: use kind ${clusterKind}`;
  issue(context, ['spec', 'subject', 'workload'], `a workload of namespace ${namespace}`, hint);
}

/** The same of a policy's subject, in CEL. */
export const CLUSTER_SUBJECT = {
  rule: "self.spec.subject.workload.matches('^([^/]+/[^/]+|Node)/[^/]+$')",
  message: 'spec.subject.workload: wanted a workload as namespace/kind/name (a cluster-wide policy has no namespace)',
} as const;

/** Workloads in cluster-wide policies are written with their namespace. */
export function checkReference(context: z.core.$RefinementCtx, reference: string, path: (string | number)[]): void {
  if (parseWorkload(reference) !== undefined) return;
  issue(context, path, 'a workload as namespace/kind/name', 'a cluster-wide policy has no namespace of its own');
}
