import type { Closed } from '../../compile/tables.ts';
import type { EndpointStatus } from '../../datapath/port.ts';
import { type AnyPolicy, isHardening } from '../../model/any-policy.ts';
import { cutReason } from '../../model/cut-labels.ts';
import type { Container, Endpoint } from '../../model/endpoint.ts';
import type { LocatedPolicies } from '../../model/located-policy.ts';
import { policyKey, policyTitle } from '../../model/policy.ts';
import { NODE_REPORT_POLICIES, type NodeReportStatus, type ReportedPolicy } from '../../model/schema/node-report.ts';
import { SelectorIndex } from '../../model/selector-index.ts';
import { formatWorkload } from '../../model/workload.ts';
import type { ClusterPolicy } from '../../sources/kubernetes/policies.ts';
import type { Ledger, LedgerProblem } from '../policy-ledger.ts';

/** Most characters of a message. */
const LONGEST = 1_024;

/** A container that hardening policies are about, and what came of it. */
export interface HardenedContainer {
  readonly container: Pick<Container, 'id'>;
  readonly policies: readonly AnyPolicy[];
  readonly status: { readonly enforced: boolean; readonly error?: string };
}

/** What a node says of itself. */
export interface ReportInput {
  readonly now: number;
  readonly version: string;
  readonly startedAt: number;
  readonly ready: boolean;
  readonly kernel: string;
  readonly hardening: { readonly active: boolean; readonly reason?: string };
  readonly endpoints: readonly Endpoint[];
  readonly endpointStatus: readonly EndpointStatus[];
  readonly ledger: Ledger;
  /** What the last round put in force. */
  readonly applied: ReadonlySet<AnyPolicy>;
  /** By title, those whose rules come to more than tables hold, or than there is for their namespace. */
  readonly overloaded?: ReadonlyMap<string, Closed>;
  /** As the cluster has them now. */
  readonly cluster: Iterable<ClusterPolicy>;
  readonly hardened: readonly HardenedContainer[];
}

type Located = LocatedPolicies[keyof LocatedPolicies][number];

/** Containers a policy selects, and why some of them are not judged by it. */
interface Selected {
  readonly origin: Located['origin'];
  containers: number;
  failure?: string;
}

/** How this node stands, as its NodeReport says it: pure. */
export function reportOf(input: ReportInput): NodeReportStatus {
  const { now, version, startedAt, ready, kernel, hardening, endpoints, endpointStatus, ledger } = input;
  const status = new Map(endpointStatus.map((one) => [one.id, one]));
  const unprotected = endpoints.filter(({ mode }) => mode === 'unprotected').length;
  const enforced = endpoints.filter(({ id, mode }) => mode !== 'unprotected' && status.get(id)?.enforced).length;
  const seen = ledger.policies.length + ledger.hardening.length;
  return {
    observedAt: new Date(now).toISOString(),
    agent: { version, startedAt: new Date(startedAt).toISOString(), ready },
    kernel,
    hardening: { active: hardening.active, ...messageOf('reason', hardening.reason) },
    endpoints: { total: endpoints.length, enforced, unprotected },
    policiesSeen: seen,
    policies: policiesOf(input, status).slice(0, NODE_REPORT_POLICIES),
  };
}

function policiesOf(input: ReportInput, status: ReadonlyMap<string, EndpointStatus>): ReportedPolicy[] {
  const { ledger, applied, cluster } = input;
  const selected = selectedBy(input, status);
  const errors = new Map<string, LedgerProblem>();
  for (const problem of ledger.errors) if (!errors.has(problem.file)) errors.set(problem.file, problem);
  // Of thousands this node's pods are selected by a few.
  const about = new Set([...selected.values()].map(({ origin }) => origin.file));
  const current = new Map<string, ClusterPolicy>();
  for (const one of cluster) if (about.has(one.file.name) || errors.has(one.file.name)) current.set(one.file.name, one);
  const reported: ReportedPolicy[] = [];
  for (const [policy, { origin, containers, failure }] of selected) {
    const now = current.get(origin.file);
    if (errors.has(origin.file) || !applied.has(policy)) continue;
    const accepted = ledger.accepted.get(origin.file);
    // The cluster has another one by now: the next round's report says what became of it.
    if (now !== undefined && !(now.file.content.ok && accepted?.bytes.equals(now.file.content.bytes))) continue;
    const inForce = policy.mode === 'Stage' ? 'Staged' : 'Enforced';
    const state = failure === undefined ? inForce : 'Failed';
    reported.push({
      ...nameOf(policy),
      generation: now?.generation ?? 0,
      state,
      containers,
      ...messageOf('message', failure),
    });
  }
  for (const policy of current.values()) {
    const problem = errors.get(policy.file.name);
    if (problem === undefined) continue;
    const found = ledger.policies.find(({ origin }) => origin.file === policy.file.name)?.policy;
    const containers = found === undefined ? 0 : (selected.get(found)?.containers ?? 0);
    const { generation } = policy;
    reported.push({
      ...nameOf(policy),
      generation,
      state: 'Rejected',
      containers,
      ...messageOf('message', textOf(problem)),
    });
  }
  return reported.sort((a, b) => (policyKey(keyed(a)) < policyKey(keyed(b)) ? -1 : 1));
}

const indexes = new WeakMap<Ledger, SelectorIndex<Located>>();

/** A ledger's policies by whom they select. */
function indexOf(ledger: Ledger): SelectorIndex<Located> {
  const known = indexes.get(ledger);
  if (known !== undefined) return known;
  const index = new SelectorIndex<Located>();
  for (const located of [...ledger.policies, ...ledger.hardening]) index.add(located.policy.subject, located);
  indexes.set(ledger, index);
  return index;
}

function selectedBy(input: ReportInput, status: ReadonlyMap<string, EndpointStatus>): Map<AnyPolicy, Selected> {
  const { endpoints, ledger, hardening, hardened, overloaded } = input;
  const index = indexOf(ledger);
  const protections = new Map(hardened.map((one) => [one.container.id, one]));
  const selected = new Map<AnyPolicy, Selected>();
  for (const endpoint of endpoints) {
    const unjudged = unjudgedOf(endpoint, status.get(endpoint.id));
    for (const { id, identity } of endpoint.containers) {
      for (const { policy, origin } of index.selecting(identity)) {
        const entry = selected.get(policy) ?? { origin, containers: 0 };
        entry.containers += 1;
        const closed = overloaded?.get(policyTitle(policy));
        const tooMany = closed === undefined ? undefined : TOO_MANY[closed];
        const failure = isHardening(policy) ? unhardenedOf(hardening, protections.get(id)) : (unjudged ?? tooMany);
        if (failure !== undefined) entry.failure ??= failure;
        selected.set(policy, entry);
      }
    }
  }
  return selected;
}

const TOO_MANY: Readonly<Record<Closed, string>> = {
  size: 'with others for the same containers its rules are too many: they are denied everything',
  share:
    "containers of one namespace have more rules and peers than its share of the node's tables: they are denied everything",
};

/** Why an endpoint's packets are not judged. */
function unjudgedOf(endpoint: Endpoint, status: EndpointStatus | undefined): string | undefined {
  const { mode, reason } = endpoint;
  if (mode === 'unprotected') return `not every container can be judged: ${reason ?? 'no way to its packets'}`;
  if (!status?.enforced) return `not every container is judged: ${status?.error ?? 'not attached yet'}`;
  const cut = cutReason(endpoint);
  return cut === undefined ? undefined : `${formatWorkload(endpoint.identity.workload)}: ${cut}`;
}

function unhardenedOf(
  { active, reason }: ReportInput['hardening'],
  protection: HardenedContainer | undefined,
): string | undefined {
  if (!active) return `this kernel does not enforce hardening: ${reason ?? 'BPF LSM is missing'}`;
  if (protection?.status.enforced) return undefined;
  return `not every container is hardened: ${protection?.status.error ?? 'not yet'}`;
}

function nameOf({
  kind,
  namespace,
  name,
}: {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}) {
  return namespace === '' ? { kind, name } : { kind, namespace, name };
}

function keyed({ kind, namespace = '', name }: ReportedPolicy) {
  return { kind, namespace, name };
}

function textOf({ path, found, wanted, inForce }: LedgerProblem): string {
  return `${path === '' ? '' : `${path}: `}found ${found}, wanted ${wanted}; in force: ${inForce}`;
}

function messageOf<K extends 'message' | 'reason'>(key: K, text: string | undefined): { [key in K]?: string } {
  return (text === undefined ? {} : { [key]: text.slice(0, LONGEST) }) as { [key in K]?: string };
}
