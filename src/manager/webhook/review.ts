/** AdmissionReview: what the API server asks, and what it is answered. Pure; whatever comes is expected. */
import * as z from 'zod';
import { MAX_PROBLEMS } from '../../model/policy-file.ts';
import type { PolicyProblem } from '../../model/problem.ts';
import { type LooseObject, NODE_REPORTS, POLICY_RESOURCES } from '../../sources/kubernetes/resource.ts';
import { formatObjectProblem, readPolicy } from '../policies.ts';
import { type Judgement, judge, type Present } from './judge.ts';
import { reportRefusal } from './reporters.ts';

const looseObject = z.looseObject({
  metadata: z.looseObject({
    name: z.string().max(253).default(''),
    namespace: z.string().max(253).optional(),
    labels: z
      .record(z.string(), z.string())
      .nullish()
      .transform((labels) => labels ?? {}),
    annotations: z
      .record(z.string(), z.string())
      .nullish()
      .transform((annotations) => annotations ?? {}),
    deletionTimestamp: z.string().optional(),
  }),
});

const userSchema = z.object({
  username: z.string().default(''),
  extra: z
    .record(z.string(), z.array(z.string()))
    .nullish()
    .transform((extra) => extra ?? {}),
});

const reviewSchema = z.object({
  apiVersion: z.literal('admission.k8s.io/v1'),
  kind: z.literal('AdmissionReview'),
  request: z.object({
    uid: z.string().min(1).max(253),
    kind: z.object({ group: z.string(), version: z.string(), kind: z.string() }),
    operation: z.enum(['CREATE', 'UPDATE', 'DELETE', 'CONNECT']),
    name: z.string().max(253).default(''),
    namespace: z.string().max(253).default(''),
    userInfo: userSchema.nullish(),
    object: looseObject.nullish(),
    oldObject: looseObject.nullish(),
  }),
});

type Asked = z.output<typeof reviewSchema>['request'];
const NOBODY = { username: '', extra: {} };

export interface Answer {
  readonly allowed: boolean;
  /** Kind of the object, where it is one of ours. */
  readonly kind: string;
  readonly warnings: number;
  /** An AdmissionReview. */
  readonly body: object;
}

/** A warning is cut by the API server beyond this. */
const LONGEST_WARNING = 250;
/** All problems together; the API server passes the message on as it is. */
const LONGEST_MESSAGE = 16_384;

/** @returns undefined for what is no AdmissionReview; `unready` for what cannot be judged yet */
export function answer(body: unknown, present: () => Present): Answer | 'unready' | undefined {
  const parsed = reviewSchema.safeParse(body);
  if (!parsed.success) return undefined;
  const { uid, kind, operation, namespace, object, oldObject } = parsed.data.request;
  if (kind.group === NODE_REPORTS.group && kind.kind === NODE_REPORTS.kind) {
    return answerReport(parsed.data.request, present());
  }
  const resource = POLICY_RESOURCES.find((one) => one.group === kind.group && one.kind === kind.kind);
  const pass = (warnings: readonly string[] = []): Answer => respond(uid, kind.kind, { allowed: true }, warnings);
  // Nobody is kept from taking a policy away, nor from what the rules do not ask about.
  if (resource === undefined || (operation !== 'CREATE' && operation !== 'UPDATE')) return pass();
  if (object === undefined || object === null || object.metadata.deletionTimestamp !== undefined) return pass();
  const named = { ...object, metadata: { ...object.metadata, namespace: object.metadata.namespace ?? namespace } };
  const file = readPolicy(resource, named as LooseObject);
  const { errors, warnings } = judge(file, present());
  if (errors.length === 0) return pass(warnings);
  // What stands there already is judged by its status; its labels and finalizers can still be changed.
  if (operation === 'UPDATE' && sameSpec(object, oldObject)) return pass(errors.map(formatObjectProblem));
  const name = namespace === '' ? named.metadata.name : `${namespace}/${named.metadata.name}`;
  return refuse(uid, kind.kind, name, errors);
}

function answerReport(
  { uid, name, kind, operation, userInfo, object, oldObject }: Asked,
  { agents }: Present,
): Answer | 'unready' {
  if (agents === undefined) return 'unready';
  // In a list that is deleted at once each is called by its own name only; one that is made may have none yet.
  const names = [name, object?.metadata.name, oldObject?.metadata.name].filter(
    (one) => one !== undefined && one !== '',
  );
  const refusal = reportRefusal(names as string[], userInfo ?? NOBODY, agents);
  if (refusal === undefined) return respond(uid, kind.kind, { allowed: true });
  const message = `Cannot ${operation.toLowerCase()} a report: ${refusal}`;
  return respond(uid, kind.kind, {
    allowed: false,
    status: { status: 'Failure', code: 403, reason: 'Forbidden', message },
  });
}

function sameSpec(object: object, old: object | null | undefined): boolean {
  if (old === null || old === undefined) return false;
  return JSON.stringify((object as LooseObject).spec) === JSON.stringify((old as LooseObject).spec);
}

function refuse(uid: string, kind: string, name: string, errors: Judgement['errors']): Answer {
  const lines = errors.map((problem) => `* ${formatObjectProblem(problem)}`);
  const message = `${kind} ${name} does not validate:\n${lines.join('\n')}`;
  const status = {
    status: 'Failure',
    code: 422,
    reason: 'Invalid',
    message: message.length > LONGEST_MESSAGE ? `${message.slice(0, LONGEST_MESSAGE)}...` : message,
    details: { group: 'sallyport.dev', kind, name, causes: errors.slice(0, MAX_PROBLEMS).map(causeOf) },
  };
  return respond(uid, kind, { allowed: false, status });
}

function causeOf(problem: PolicyProblem) {
  const reason = problem.code === 'MISSING_FIELD' ? 'FieldValueRequired' : 'FieldValueInvalid';
  return { reason, field: problem.path, message: formatObjectProblem({ ...problem, path: '' }) };
}

function respond(
  uid: string,
  kind: string,
  verdict: { readonly allowed: boolean; readonly status?: object },
  warnings: readonly string[] = [],
): Answer {
  const cut = warnings.map((line) =>
    line.length > LONGEST_WARNING ? `${line.slice(0, LONGEST_WARNING - 3)}...` : line,
  );
  const response = { uid, ...verdict, ...(cut.length === 0 ? {} : { warnings: cut }) };
  return {
    allowed: verdict.allowed,
    kind: [...POLICY_RESOURCES, NODE_REPORTS].some((one) => one.kind === kind) ? kind : 'other',
    warnings: cut.length,
    body: { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response },
  };
}
