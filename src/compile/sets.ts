import { Slot } from '../model/slot.ts';
import { Verdict } from '../model/verdict.ts';
import { buildClass, type Fallback, type PortRule } from './classes.ts';
import { contentId } from './hash.ts';
import type { IdentityIndex, Slots } from './identity-index.ts';
import type { KnownIdentity } from './input.ts';
import { flattenNetworks } from './networks.ts';
import { RANK_DEFAULT, RANK_NONE } from './rank.ts';
import {
  type CompiledDirection,
  type CompiledRule,
  nameKey,
  type Outcome,
  type PortName,
  resolveNames,
  strictestFallback,
} from './rules.ts';
import type { Class, NetworkEntry, PolicySet } from './tables.ts';

/** Classes by content: equal ones of different sets become one. */
export type ClassStore = (built: Class) => Class;

const NO_RULE: Outcome = { rank: RANK_DEFAULT, rule: 0, verdict: Verdict.Allow };
const NOT_ASKED: Outcome = { rank: RANK_NONE, rule: 0, verdict: Verdict.None };
const NETWORK_FALLBACK: Fallback = { enforced: NOT_ASKED, staged: NOT_ASKED };

/**
 * The rules of one subject in one direction. What follows from them alone is made once; the peers follow the
 * identities and are made again only when one of the selectors means others than before.
 */
export class SetBuilder {
  readonly id: bigint;
  /** In the order in which they decide. */
  readonly #rules: readonly CompiledRule[];
  readonly #fallback: Fallback;
  readonly #ownPorts: KnownIdentity['ports'] | undefined;
  readonly #names: readonly PortName[];
  readonly #store: ClassStore;
  readonly #networks: readonly NetworkEntry[];
  readonly #networkClasses: readonly Class[];
  /** Rules that mean every identity, those of the reserved slots, and the class of the identities not listed. */
  readonly #everyone: readonly number[];
  readonly #reserved: ReadonlyMap<number, Class>;
  readonly #anyone: Class;
  readonly #selectors: readonly { readonly rule: number; readonly of: CompiledRule['selectors'][number] }[];
  #seen: readonly Slots[] = [];
  #built: PolicySet | undefined;
  #classes: readonly Class[] = [];

  /**
   * @param parts of all policies that select the subject; not empty
   * @param ownPorts the subject's, where names of ports are looked up on it (ingress); else on each peer
   */
  constructor(parts: readonly CompiledDirection[], ownPorts: KnownIdentity['ports'] | undefined, store: ClassStore) {
    this.#store = store;
    this.#ownPorts = ownPorts;
    this.#rules = parts.flatMap((part) => part.rules).sort((a, b) => byPrecedence(a.outcome, b.outcome));
    this.#fallback = {
      enforced: strictestFallback(parts.filter((part) => part.mode === 'Enforce')) ?? NO_RULE,
      staged: strictestFallback(parts) ?? NO_RULE,
    };
    const names = distinctNames(parts);
    this.#names = ownPorts === undefined ? names : [];
    const digests = parts.map((part) => part.digest).sort();
    this.id = contentId(JSON.stringify([digests, ownPorts === undefined ? '' : lookedUp(names, ownPorts)]));

    const indices = (means: (rule: CompiledRule) => boolean): number[] =>
      this.#rules.flatMap((rule, i) => (means(rule) ? [i] : []));
    this.#everyone = indices((rule) => rule.anyPeer || rule.anyIdentity);
    this.#anyone = this.#classFor(this.#everyone);
    this.#reserved = new Map([
      [Slot.Any, this.#anyone],
      [Slot.Host, this.#classFor(indices((rule) => rule.anyPeer || rule.host))],
      [Slot.World, this.#classFor(indices((rule) => rule.anyPeer || rule.world))],
    ]);
    this.#selectors = this.#rules.flatMap((rule, i) => rule.selectors.map((of) => ({ rule: i, of })));
    [this.#networks, this.#networkClasses] = this.#buildNetworks();
  }

  /** The set with the peers of these identities; the same object as last time where none of them differ. */
  build(index: IdentityIndex): PolicySet {
    const seen = [
      ...this.#selectors.map(({ of }) => index.slotsOf(of)),
      ...this.#names.map((name) => index.slotsWithPort(name)),
    ];
    const known = this.#built;
    if (known !== undefined && seen.every((slots, i) => slots === this.#seen[i])) return known;
    this.#seen = seen;
    const peers = this.#buildPeers(index, seen);
    this.#classes = [...new Set([...peers.values(), ...this.#networkClasses])];
    const ids = new Map([...peers].map(([slot, found]) => [slot, found.id]));
    if (known === undefined || !samePeers(known.peers, ids)) {
      this.#built = { id: this.id, peers: ids, networks: this.#networks };
    }
    return this.#built ?? { id: this.id, peers: ids, networks: this.#networks };
  }

  /** Of the set as it was last built. */
  get classes(): readonly Class[] {
    return this.#classes;
  }

  #buildPeers(index: IdentityIndex, seen: readonly Slots[]): Map<number, Class> {
    const met = new Map<number, number[]>();
    for (const [i, { rule }] of this.#selectors.entries()) {
      for (const slot of seen[i] ?? []) {
        const rules = met.get(slot);
        if (rules === undefined) met.set(slot, [rule]);
        else if (rules.at(-1) !== rule) rules.push(rule);
      }
    }
    for (const slots of seen.slice(this.#selectors.length)) {
      for (const slot of slots) if (!met.has(slot)) met.set(slot, []);
    }
    const peers = new Map(this.#reserved);
    const made = new Map<string, Class>();
    for (const slot of [...met.keys()].sort((a, b) => a - b)) {
      const rules = met.get(slot) ?? [];
      const ports = index.identities.get(slot)?.ports ?? [];
      const key = `${rules.join()} ${lookedUp(this.#names, ports)}`;
      let found = made.get(key);
      if (found === undefined) {
        found = this.#classFor(merge(this.#everyone, rules), ports);
        made.set(key, found);
      }
      if (found !== this.#anyone) peers.set(slot, found);
    }
    return peers;
  }

  #buildNetworks(): [NetworkEntry[], Class[]] {
    const classes = new Map<string, Class>();
    const peers = this.#rules.flatMap((rule, i) => rule.networks.map((network) => ({ rule: i, ...network })));
    const entries = flattenNetworks(peers, (rules) => {
      const key = rules.join();
      const found = classes.get(key) ?? this.#classFor(rules, [], NETWORK_FALLBACK);
      classes.set(key, found);
      return found.id;
    });
    const used = new Set(entries.map((entry) => entry.class));
    return [entries, [...classes.values()].filter((one) => used.has(one.id))];
  }

  #classFor(indices: readonly number[], peerPorts: KnownIdentity['ports'] = [], fallback = this.#fallback): Class {
    const ports = this.#ownPorts ?? peerPorts;
    const rules: PortRule[] = [];
    for (const i of indices) {
      const rule = this.#rules[i];
      if (rule === undefined) continue;
      const { outcome, staged, spans, names } = rule;
      if (spans === undefined || names.length === 0) rules.push(rule);
      else rules.push({ outcome, staged, spans: [...spans, ...resolveNames(names, ports)] });
    }
    return this.#store(buildClass(rules, fallback));
  }
}

/** The port names of all parts, each once, sorted. */
export function distinctNames(parts: readonly CompiledDirection[]): PortName[] {
  const names = new Map(parts.flatMap((part) => part.names.map((name) => [nameKey(name), name])));
  return [...names].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, name]) => name);
}

/** What the names stand for on a workload with these ports, as text: `TCP/http=80,8080 UDP/dns=`. */
export function lookedUp(names: readonly PortName[], ports: KnownIdentity['ports']): string {
  return names.map((name) => `${nameKey(name)}=${resolveNames([name], ports).map(({ first }) => first)}`).join(' ');
}

function byPrecedence(a: Outcome, b: Outcome): number {
  return a.rank - b.rank || a.rule - b.rule;
}

/** Two ascending lists into one, without repetition. */
function merge(a: readonly number[], b: readonly number[]): readonly number[] {
  if (a.length === 0) return b;
  return [...new Set([...a, ...b])].sort((x, y) => x - y);
}

function samePeers(a: ReadonlyMap<number, bigint>, b: ReadonlyMap<number, bigint>): boolean {
  if (a.size !== b.size) return false;
  for (const [slot, id] of b) if (a.get(slot) !== id) return false;
  return true;
}
