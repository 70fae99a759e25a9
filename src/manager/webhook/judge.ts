/** What the webhook says of a policy: the same parser and checks that the agents use. Pure. */
import { type AnyPolicy, isHardening } from '../../model/any-policy.ts';
import { hardeningSetErrors } from '../../model/hardening-set.ts';
import { MAX_PROBLEMS, type PolicyFile } from '../../model/policy-file.ts';
import { policySetErrors, policySetWarnings } from '../../model/policy-set.ts';
import type { PolicyProblem } from '../../model/problem.ts';
import { formatSelector, literalWorkload, selectorsIntersect } from '../../model/selector.ts';
import { formatWorkload } from '../../model/workload.ts';
import { formatObjectProblem, type PolicyObject, READY_NAMES } from '../policies.ts';
import { type IdentityIndex, selectedBy } from '../status.ts';
import type { Agents } from './reporters.ts';
import { shadows } from './shadows.ts';

/** What a policy is held against. */
export interface Present {
  /** All policies of the cluster; a former version of the judged one is left out here. */
  readonly policies: Iterable<PolicyObject>;
  /** Who there is; undefined: not known yet, and nothing is said of it. */
  readonly identities: IdentityIndex | undefined;
  /** Whether a Service is there; undefined: not known yet. */
  readonly hasService?: ((namespace: string, name: string) => boolean) | undefined;
  /** Who reports; undefined: not known yet, and no report is judged. */
  readonly agents?: Agents | undefined;
}

export interface Judgement {
  readonly errors: readonly PolicyProblem[];
  /** One line each. */
  readonly warnings: readonly string[];
}

/** Others that are looked at for warnings; the first ones. */
const MOST_NEIGHBOURS = 500;
const MOST_WARNINGS = 20;

export function judge(file: PolicyFile, present: Present): Judgement {
  const { policies } = present;
  if (file.problems.length > 0) return { errors: file.problems, warnings: [] };
  const others = [...policies]
    .map((one) => one.file)
    .filter((one) => one.file !== file.file && one.problems.length === 0);
  const fault = ({ file: name, related = [] }: PolicyProblem): boolean =>
    name === file.file || related.some((place) => place.file === file.file);
  // Itself last: of two that contradict each other it is the one that came later.
  const network = policySetErrors([...others.flatMap((one) => one.policies), ...file.policies], new Set(file.policies));
  const hardening = hardeningSetErrors(
    [...others.flatMap((one) => one.hardening), ...file.hardening],
    READY_NAMES,
    new Set(file.hardening),
  );
  const errors = [...network, ...hardening].filter(fault).slice(0, MAX_PROBLEMS);
  return { errors, warnings: errors.length > 0 ? [] : warningsOf(file, others, present) };
}

function warningsOf(file: PolicyFile, others: readonly PolicyFile[], { identities, hasService }: Present): string[] {
  const own = [...file.policies, ...file.hardening][0]?.policy;
  if (own === undefined) return [];
  const absent = hasService === undefined ? [] : absentServices(own, hasService);
  const nothing =
    identities !== undefined && selectedBy(own, identities).length === 0
      ? [`spec.subject: ${formatSelector(own.subject)} selects no pod there is`, ...absent]
      : absent;
  if (isHardening(own)) return nothing;
  const near = others
    .flatMap((one) => one.policies)
    .filter(({ policy }) => selectorsIntersect(policy.subject, own.subject))
    .slice(0, MOST_NEIGHBOURS);
  const found = policySetWarnings([...near, ...file.policies]).filter((problem) => problem.file === file.file);
  const shadowed = shadows(
    own,
    near.map(({ policy }) => policy),
  );
  const all = [...nothing, ...found.map(formatObjectProblem), ...shadowed];
  const more = all.length - MOST_WARNINGS;
  return more > 0 ? [...all.slice(0, MOST_WARNINGS), `and ${more} more warnings`] : all;
}

/** One line for each Service that is named and not there: whoever comes by that name will be meant. */
function absentServices(policy: AnyPolicy, has: (namespace: string, name: string) => boolean): string[] {
  const rules = isHardening(policy) ? [] : [...(policy.ingress?.rules ?? []), ...(policy.egress?.rules ?? [])];
  const peers = rules
    .flatMap((rule) => rule.peers ?? [])
    .flatMap((peer) => (peer.type === 'workload' ? peer.selector : []));
  const named = [policy.subject, ...peers].flatMap((selector) => literalWorkload(selector) ?? []);
  const absent = named.filter(({ kind, namespace, name }) => kind === 'Service' && !has(namespace, name));
  return [...new Set(absent.map(formatWorkload))].map((name) => `there is no ${name}: it means nobody`);
}
