/** Policies of the cluster: read by the parser agents use, checked beside each other. Pure. */
import { createHash } from 'node:crypto';
import { READY_RULES, READY_SETS } from '../hardening/catalogue/index.ts';
import type { AnyPolicy, AnyPolicyKind } from '../model/any-policy.ts';
import { hardeningSetErrors } from '../model/hardening-set.ts';
import { type PolicyFile, parsePolicyFile } from '../model/policy-file.ts';
import { policySetErrors } from '../model/policy-set.ts';
import { type PolicyProblem, unreadableFile } from '../model/problem.ts';
import type { PolicyStatus } from '../model/schema/status.ts';
import { projectPolicy } from '../sources/kubernetes/policies.ts';
import type { LooseObject, ResourceType } from '../sources/kubernetes/resource.ts';

/** What may stand in `ready` of a rule: ready rules, and groups of them. */
export const READY_NAMES: ReadonlySet<string> = new Set([...READY_RULES.keys(), ...READY_SETS.keys()]);

/** A policy object as it was last seen. */
export interface PolicyObject {
  readonly kind: AnyPolicyKind;
  /** Empty for cluster-wide ones. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  /** Milliseconds since the epoch. */
  readonly created: number;
  readonly file: PolicyFile;
  readonly status: PolicyStatus;
}

/** A policy object with what is wrong with it beside the others. */
export interface JudgedPolicy {
  readonly object: PolicyObject;
  /** What it means; undefined where it is refused. */
  readonly policy?: AnyPolicy;
  readonly errors: readonly PolicyProblem[];
}

export function keyOfPolicy({ kind, namespace, name }: Pick<PolicyObject, 'kind' | 'namespace' | 'name'>): string {
  return `${kind}/${namespace}/${name}`;
}

/** Reads an object as the policy file it would be: nothing but what the user wrote is looked at. */
export function readPolicy(resource: ResourceType, object: LooseObject): PolicyFile {
  const { name, content } = projectPolicy(resource, object).file;
  if (content.ok) return parsePolicyFile(name, content.bytes);
  return { file: name, policies: [], hardening: [], problems: [unreadableFile(name, content.error.message)] };
}

/** What is kept of an object. */
export function policyObject(resource: ResourceType, object: LooseObject): PolicyObject {
  const { name, namespace = '', uid = '', generation = 0, creationTimestamp = '' } = object.metadata;
  return {
    kind: resource.kind as AnyPolicyKind,
    namespace: resource.namespaced ? namespace : '',
    name,
    uid,
    generation,
    created: Date.parse(creationTimestamp) || 0,
    file: readPolicy(resource, object),
    status: (object.status ?? {}) as PolicyStatus,
  };
}

/**
 * Checks policies by themselves and beside each other. Of two that cannot both be, the one that was there first
 * stands, as it does on the nodes.
 */
export function judgePolicies(objects: Iterable<PolicyObject>): JudgedPolicy[] {
  const ordered = [...objects].sort((a, b) => a.created - b.created || (keyOfPolicy(a) < keyOfPolicy(b) ? -1 : 1));
  const good = ordered.filter(({ file }) => file.problems.length === 0);
  const together = [
    ...policySetErrors(good.flatMap(({ file }) => file.policies)),
    ...hardeningSetErrors(
      good.flatMap(({ file }) => file.hardening),
      READY_NAMES,
    ),
  ];
  const byFile = Map.groupBy(together, ({ file }) => file);
  return ordered.map((object) => {
    const { file } = object;
    const errors = [...file.problems, ...(byFile.get(file.file) ?? [])];
    const policy = [...file.policies, ...file.hardening][0]?.policy;
    return { object, errors, ...(policy === undefined || errors.length > 0 ? {} : { policy }) };
  });
}

/** A problem in one line, without a place in a file: objects have none that a user could open. */
export function formatObjectProblem({ path, found, wanted, hint, related = [] }: PolicyProblem): string {
  const field = path === '' ? '' : `${path}: `;
  const others = related
    .map(({ file }) => `; see ${file.replace(/^kubernetes\//, '').replace(/\.json$/, '')}`)
    .join('');
  return `${field}found ${found}, wanted ${wanted}${hint === undefined ? '' : ` (${hint})`}${others}`;
}

/** Tells contents apart, whatever the order of their fields: the first 64 bits of a hash. */
export function digest(value: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(value, inOrder) ?? '')
    .digest('hex')
    .slice(0, 16);
}

function inOrder(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
