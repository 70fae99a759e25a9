/** What is said of policies: by themselves, and by what the nodes report. Pure. */
import type { AnyPolicy } from '../model/any-policy.ts';
import { globMatch } from '../model/glob.ts';
import type { ReportedPolicy } from '../model/schema/node-report.ts';
import type { PolicyStatus } from '../model/schema/status.ts';
import { selects } from '../model/selector.ts';
import { SelectorIndex } from '../model/selector-index.ts';
import { conditionsOf, counted, listed, type Said } from './conditions.ts';
import type { PlacedIdentity, Workloads } from './identities.ts';
import { formatObjectProblem, type JudgedPolicy, keyOfPolicy } from './policies.ts';
import type { PolicyReports } from './reports.ts';
import type { FoundShortfalls, Lasting, Shortfall } from './shortfalls.ts';

export interface StatusInput {
  readonly policies: readonly JudgedPolicy[];
  readonly index: IdentityIndex;
  /** Of those that count. */
  readonly reports: PolicyReports;
  /** Of nodes that are short of containers, those to be told of. */
  readonly lasting: (found: ReadonlyMap<string, FoundShortfalls>) => Lasting;
  readonly now: number;
}

/** What became of a policy on the nodes it is for. */
export interface Spread {
  /** Containers it selects, by node. */
  readonly nodes: ReadonlyMap<string, number>;
  readonly enforced: readonly string[];
  readonly staged: readonly string[];
  readonly failed: readonly (readonly [node: string, message: string])[];
  /** Nodes that have not said that they have this generation. */
  readonly waiting: readonly string[];
  /** Of the enforced and staged ones, those that see fewer containers than run there. */
  readonly short: readonly Shortfall[];
}

/** What several policies share: who is where. */
export type IdentityIndex = SelectorIndex<PlacedIdentity>;

export function indexOf(workloads: Workloads): IdentityIndex {
  const index = new SelectorIndex<PlacedIdentity>();
  for (const { identities } of workloads.values()) {
    for (const identity of identities.values()) index.addIdentity(identity, identity);
  }
  return index;
}

/** Whom a policy selects. */
export function selectedBy(policy: AnyPolicy, index: IdentityIndex): PlacedIdentity[] {
  const near = new Set(index.intersecting(policy.subject));
  return [...near].filter((identity) => selects(policy.subject, identity));
}

/** The status every policy should have, by its key. */
export function statuses({ policies, index, reports, lasting, now }: StatusInput): Map<string, PolicyStatus> {
  const spreads = policies.map((judged) => {
    const key = keyOfPolicy(judged.object);
    return { key, judged, spread: spreadOf(judged, index, reports.get(key)) };
  });
  const short = lasting(new Map(spreads.map((one) => [one.key, foundIn(one)])));
  return new Map(
    spreads.map(({ key, judged, spread }) => [key, statusOf(judged, settle(spread, short.get(key)), now)]),
  );
}

const DEGRADED = 'Degraded';

function foundIn({ judged, spread }: { readonly judged: JudgedPolicy; readonly spread: Spread }): FoundShortfalls {
  const { short, enforced, staged } = spread;
  const said = judged.object.status.conditions?.some(({ reason }) => reason === DEGRADED) === true;
  return { short, settled: new Set([...enforced, ...staged]), said };
}

/** Nodes that are short of containers have not put it in force, as far as it is said. */
function settle(spread: Spread, lasting: ReadonlyMap<string, Shortfall> = new Map()): Spread {
  const whole = (node: string): boolean => !lasting.has(node);
  return {
    ...spread,
    enforced: spread.enforced.filter(whole),
    staged: spread.staged.filter(whole),
    short: [...lasting.values()],
  };
}

/** Whoever is called by a node is meant there, and not where else the same workload runs. */
function isMeant(policy: AnyPolicy | undefined, node: string): boolean {
  const { kind, name } = policy?.subject.workload ?? {};
  return kind !== 'Node' || name === undefined || globMatch(name, node);
}

/** Where a policy is, by what pods there are and what nodes say. */
export function spreadOf(
  { object, policy }: JudgedPolicy,
  index: IdentityIndex,
  reported: ReadonlyMap<string, ReportedPolicy> = new Map(),
): Spread {
  const nodes = new Map<string, number>();
  const running = new Map<string, string[]>();
  for (const identity of policy === undefined ? [] : selectedBy(policy, index)) {
    for (const [node, containers] of identity.nodes) {
      if (!isMeant(policy, node)) continue;
      nodes.set(node, (nodes.get(node) ?? 0) + containers);
    }
    for (const [node, pods] of identity.started) {
      if (!isMeant(policy, node)) continue;
      const names = running.get(node) ?? [];
      running.set(node, names);
      for (const pod of pods) names.push(`${identity.workload.namespace}/${pod}`);
    }
  }
  // A node knows containers that are of no pod.
  for (const [node, { state, containers }] of reported) {
    if (state !== 'Idle' && containers > 0) nodes.set(node, Math.max(nodes.get(node) ?? 0, containers));
  }
  const said = [...nodes.keys()].sort().map((node) => [node, reported.get(node)] as const);
  const current = said.filter(([, one]) => one?.generation === object.generation);
  const inState = (...states: string[]) => current.filter(([, one]) => one !== undefined && states.includes(one.state));
  const failed = inState('Failed', 'Rejected').map(([node, one]) => [node, one?.message ?? 'no reason given'] as const);
  const enforced = inState('Enforced').map(([node]) => node);
  const staged = inState('Staged').map(([node]) => node);
  const settled = new Set([...enforced, ...staged, ...failed.map(([node]) => node)]);
  const waiting = said.map(([node]) => node).filter((node) => !settled.has(node));
  const short = [...enforced, ...staged].flatMap((node): Shortfall[] => {
    const pods = running.get(node) ?? [];
    const { containers = 0 } = reported.get(node) ?? {};
    if (containers >= pods.length) return [];
    return [{ node, reported: containers, running: pods.length, pods: new Set(pods).size }];
  });
  return { nodes, enforced, staged, failed, waiting, short };
}

function statusOf(judged: JudgedPolicy, spread: Spread, now: number): PolicyStatus {
  const { object } = judged;
  const { nodes, enforced, failed, short } = spread;
  const known = new Map(short.map((one) => [one.node, one]));
  const sum = (names: Iterable<string>): number => {
    let containers = 0;
    for (const name of names) containers += Math.max(nodes.get(name) ?? 0, known.get(name)?.running ?? 0);
    return containers;
  };
  const said = [accepted(judged), enforcement(judged, spread)] as const;
  return {
    observedGeneration: object.generation,
    conditions: conditionsOf<'Accepted' | 'Enforced'>(said, object.status.conditions, object.generation, now),
    nodes: { total: nodes.size, enforced: enforced.length, failed: failed.length },
    containers: { selected: sum(nodes.keys()), enforced: sum(enforced) },
  };
}

/** Errors told in full; the rest is counted. */
const ERRORS_TOLD = 5;

export function accepted({ errors }: JudgedPolicy): Said<'Accepted'> {
  const [first] = errors;
  if (first === undefined) {
    return { type: 'Accepted', status: 'True', reason: 'Valid', message: 'It can be enforced beside all others.' };
  }
  const told = errors.slice(0, ERRORS_TOLD).map(formatObjectProblem);
  const more = errors.length > ERRORS_TOLD ? [`and ${counted(errors.length - ERRORS_TOLD, 'more problem')}`] : [];
  return { type: 'Accepted', status: 'False', reason: wordOf(first.code), message: [...told, ...more].join('; ') };
}

/** `BAD_VALUE` as conditions write it: `BadValue`. */
export function wordOf(code: string): string {
  return code
    .toLowerCase()
    .split('_')
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join('');
}

function enforcement(
  { errors, policy }: JudgedPolicy,
  { nodes, enforced, staged, failed, waiting, short }: Spread,
): Said<'Enforced'> {
  const say = (status: Said<'Enforced'>['status'], reason: string, message: string): Said<'Enforced'> => ({
    type: 'Enforced',
    status,
    reason,
    message,
  });
  if (errors.length > 0 || policy === undefined) {
    return say('False', 'NotAccepted', 'It was refused. Where a former version was in force, that stays in force.');
  }
  if (nodes.size === 0) return say('Unknown', 'SelectsNothing', 'No container that runs is selected by it.');
  if (failed.length > 0) {
    const [[node, message] = ['', '']] = failed;
    const others = failed.length > 1 ? ` (and ${counted(failed.length - 1, 'other node')})` : '';
    return say('False', 'Failed', `${node}: ${message}${others}`);
  }
  if (short.length > 0) return say('False', DEGRADED, degradation(short));
  const total = counted(nodes.size, 'node');
  if (waiting.length > 0) {
    const done = enforced.length + staged.length;
    return say('False', 'Pending', `${done} of ${total} reported this version; waiting for ${listed(waiting)}.`);
  }
  if (staged.length > 0) return say('False', 'Staged', `Judged and reported on ${total}; it changes no verdict.`);
  return say('True', 'Enforced', `In force on ${total}.`);
}

function degradation([first, ...others]: readonly Shortfall[]): string {
  const { node = '', reported = 0, running = 0, pods = 0 } = first ?? {};
  const more = others.length > 0 ? ` (and ${counted(others.length, 'other node')})` : '';
  const where = `the agent of ${node} sees ${reported} of ${counted(running, 'container')} that run there`;
  return `${where} in ${counted(pods, 'pod')}${more}: does it ask their runtime?`;
}
