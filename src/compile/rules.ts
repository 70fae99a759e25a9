import type { Network } from '../model/address.ts';
import { formatNetwork, samePrefix, V4_MAPPED, V4_MAPPED_PREFIX } from '../model/address.ts';
import type { NamedPort } from '../model/endpoint.ts';
import type { Direction, DirectionPolicy, Peer, Policy, PolicyMode, Rule } from '../model/policy.ts';
import { protocolName } from '../model/protocol.ts';
import { formatSelector, selectsEverything, type WorkloadSelector } from '../model/selector.ts';
import { Tier, tierOf } from '../model/tier.ts';
import { verdictOf } from '../model/verdict.ts';
import { digestOf, shortDigestOf } from './hash.ts';
import { type NetworkPeer, networkKey } from './networks.ts';
import { RANK_DEFAULT, rankOf, rankOfRule } from './rank.ts';
import { sameRule } from './same-policy.ts';

/** Destination ports, or ICMP types, of one protocol. The whole protocol is 0–65535. */
export interface PortSpan {
  readonly protocol: number;
  readonly first: number;
  readonly last: number;
}

/** A port known by name until it meets a workload that has one of that name. */
export interface PortName {
  readonly protocol: number;
  readonly name: string;
}

/** What a rule or a default says, in one layer. */
export interface Outcome {
  readonly rank: number;
  readonly rule: number;
  readonly verdict: number;
}

/** A selector with its text, by which equal ones are known. */
export interface KeyedSelector {
  readonly key: string;
  readonly selector: WorkloadSelector;
}

/** A network with its holes, and the text by which equal networks are known. */
export type KeyedNetwork = Omit<NetworkPeer, 'rule'>;

/** A rule taken apart by how its peers are found. */
export interface CompiledRule {
  /** No two objects have one: what is made of several rules is known by theirs. */
  readonly serial: number;
  /** Of everything that follows; texts of thousands of rules would be a megabyte. */
  readonly digest: string;
  readonly outcome: Outcome;
  /** Counts in the staged layer only. */
  readonly staged: boolean;
  /** Peers of any kind. */
  readonly anyPeer: boolean;
  /** Peers of any identity. */
  readonly anyIdentity: boolean;
  readonly host: boolean;
  readonly world: boolean;
  readonly selectors: readonly KeyedSelector[];
  /** As 128-bit prefixes: what an IPv6 network must not mean of IPv4 is among the holes. */
  readonly networks: readonly KeyedNetwork[];
  /** Absent: any protocol and port. */
  readonly spans?: readonly PortSpan[];
  readonly names: readonly PortName[];
}

/** A policy's default, and which of several counts: the lowest. */
export type Fallback = Outcome & { readonly order: number };

/** One direction of a policy, ready to be put together with those of others that select the same subject. */
export interface CompiledDirection {
  /** Of everything that follows. */
  readonly digest: string;
  readonly mode: PolicyMode;
  readonly tier: number;
  /** In the order of the source. */
  readonly rules: readonly CompiledRule[];
  /** The same in the order in which they decide: sets are made of several parts, of which mostly one is new. */
  readonly ordered: readonly CompiledRule[];
  /** Absent: what no rule matched is not the policy's business. */
  readonly fallback?: Fallback;
  /** Port names to be looked up, of any rule. */
  readonly names: readonly PortName[];
}

/** A direction of an earlier version of a policy, of the same priority and mode. */
export interface EarlierDirection {
  readonly source: DirectionPolicy;
  readonly compiled: CompiledDirection;
}

/**
 * @param ids of the rules in their order, and of the default after them
 * @param before rules that are the same in it are taken from it
 */
export function compileDirection(
  policy: Policy,
  part: DirectionPolicy,
  ids: readonly number[],
  before?: EarlierDirection,
): CompiledDirection {
  const tier = tierOf(policy.kind);
  // A rule that was elsewhere in its list is the same only where places mean nothing.
  const inOrder = tier === Tier.Admin || tier === Tier.Baseline;
  const moved = inOrder ? 0 : (before?.source.rules.length ?? 0) - part.rules.length;
  const rules = part.rules.map((rule, i) => {
    const id = ids[i] ?? 0;
    return (
      earlierRule(before, i, rule, id) ?? earlierRule(before, i + moved, rule, id) ?? compileRule(policy, rule, i, id)
    );
  });
  const fallback = compileFallback(policy, part, ids[part.rules.length] ?? 0);
  const names = new Map<string, PortName>();
  for (const rule of rules) for (const name of rule.names) names.set(nameKey(name), name);
  const head = `${policy.mode} ${fallback?.rule} ${fallback?.verdict}`;
  const digest = digestOf([head, ...rules.map((rule) => rule.digest)].join('\n'));
  const ordered = rules.toSorted(byPrecedence);
  const made = { digest, mode: policy.mode, tier, rules, ordered, names: [...names.values()] };
  return fallback === undefined ? made : { ...made, fallback };
}

function compileFallback(policy: Policy, part: DirectionPolicy, rule: number): Fallback | undefined {
  if (part.default === 'Pass') return undefined;
  // Of defaults only the order among themselves counts, and that is the one of rules of one priority.
  const order = rankOf(0, part.default, policy.mode);
  return { rank: RANK_DEFAULT, rule, verdict: verdictOf(part.default), order };
}

/** Which of two rules decides before the other. */
export function byPrecedence(a: Pick<CompiledRule, 'outcome'>, b: Pick<CompiledRule, 'outcome'>): number {
  return a.outcome.rank - b.outcome.rank || a.outcome.rule - b.outcome.rule;
}

function earlierRule(
  before: EarlierDirection | undefined,
  i: number,
  rule: Rule,
  id: number,
): CompiledRule | undefined {
  const [source, compiled] = [before?.source.rules[i], before?.compiled.rules[i]];
  if (source === undefined || compiled?.outcome.rule !== id) return undefined;
  return sameRule(source, rule) ? compiled : undefined;
}

/** The ports the names stand for on a workload with these ports. */
export function resolveNames(names: readonly PortName[], ports: readonly NamedPort[]): PortSpan[] {
  const spans: PortSpan[] = [];
  for (const { protocol, name } of names) {
    for (const { name: given, port, protocol: over } of ports) {
      if (given === name && over === protocolName(protocol)) spans.push({ protocol, first: port, last: port });
    }
  }
  return spans;
}

/** `TCP/http`. */
export function nameKey(name: PortName): string {
  return `${protocolName(name.protocol)}/${name.name}`;
}

/** The default that counts where several policies select a subject: deny before alert before allow. */
export function strictestFallback(parts: readonly CompiledDirection[]): Outcome | undefined {
  let best: Fallback | undefined;
  for (const { fallback } of parts) {
    if (fallback === undefined) continue;
    if (
      best === undefined ||
      fallback.order < best.order ||
      (fallback.order === best.order && fallback.rule < best.rule)
    ) {
      best = fallback;
    }
  }
  return best;
}

const NONE: readonly never[] = [];

/** The same list without the room that lists get to grow in; there are several in each of a hundred thousand rules. */
function few<T>(list: readonly T[]): readonly T[] {
  return list.length === 0 ? NONE : list.slice();
}

let serials = 0;

/** A number no rule has. */
export function newSerial(): number {
  return ++serials;
}

function compileRule(policy: Policy, rule: Rule, index: number, id: number): CompiledRule {
  const spans: PortSpan[] = [];
  const names: PortName[] = [];
  for (const { protocol, port, endPort } of rule.ports ?? []) {
    if (typeof port === 'string') names.push({ protocol, name: port });
    else spans.push({ protocol, first: port ?? 0, last: endPort ?? port ?? 65_535 });
  }
  const outcome = {
    rank: rankOfRule(policy, rule.action, index),
    rule: id,
    verdict: verdictOf(rule.action),
  };
  const staged = policy.mode === 'Stage';
  const anyPeer = rule.peers === undefined;
  const { anyIdentity, host, world, selectors, networks } = compilePeers(rule.peers ?? []);
  const content = JSON.stringify([
    [outcome.rank, outcome.rule, outcome.verdict],
    [staged, anyPeer, anyIdentity, host, world].map(Number),
    selectors.map(({ key }) => key),
    networks.map(({ network, holes }) => [formatNetwork(network), ...holes.map(formatNetwork)]),
    rule.ports === undefined ? null : spans.map(({ protocol, first, last }) => [protocol, first, last]),
    names.map(nameKey),
  ]);
  const digest = shortDigestOf(content);
  const known = {
    serial: newSerial(),
    digest,
    outcome,
    staged,
    anyPeer,
    anyIdentity,
    host,
    world,
    selectors,
    networks,
  };
  return rule.ports === undefined
    ? { ...known, names: few(names) }
    : { ...known, spans: few(spans), names: few(names) };
}

type CompiledPeers = Pick<CompiledRule, 'anyIdentity' | 'host' | 'world' | 'selectors' | 'networks'>;

function compilePeers(peers: readonly Peer[]): CompiledPeers {
  let [anyIdentity, host, world] = [false, false, false];
  const selectors: KeyedSelector[] = [];
  const networks: KeyedNetwork[] = [];
  for (const peer of peers) {
    if (peer.type === 'network') networks.push(keyedNetwork(peer.network, peer.except));
    else if (peer.type === 'entity') [host, world] = [host || peer.entity === 'host', world || peer.entity === 'world'];
    else if (selectsEverything(peer.selector)) anyIdentity = true;
    else selectors.push({ key: formatSelector(peer.selector), selector: peer.selector });
  }
  return { anyIdentity, host, world, selectors: few(selectors), networks: few(networks) };
}

function keyedNetwork(network: Network, except: readonly Network[]): KeyedNetwork {
  return { key: networkKey(network), network, holes: holesOf(network, except) };
}

const V4_NETWORK: Network = { family: 6, address: V4_MAPPED, prefix: V4_MAPPED_PREFIX };

/** IPv4 lies inside `::/0` and its halves in the tables, but is not meant by them. */
function holesOf(network: Network, except: readonly Network[]): readonly Network[] {
  const covers = network.prefix <= V4_MAPPED_PREFIX && samePrefix(network.address, V4_MAPPED, network.prefix);
  return network.family === 6 && covers ? [...except, V4_NETWORK] : except;
}

/** Which directions a policy selects. */
export function selectedDirections(policy: Policy): readonly Direction[] {
  return (['egress', 'ingress'] as const).filter((direction) => policy[direction] !== undefined);
}
