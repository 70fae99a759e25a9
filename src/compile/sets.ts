import { Slot } from '../model/slot.ts';
import { Verdict } from '../model/verdict.ts';
import { buildClass, type Fallback, type PortRule } from './classes.ts';
import { contentId } from './hash.ts';
import type { IdentityIndex, Watch } from './identity-index.ts';
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

/** Finds the class that is equal to one just built, if there is one already. */
type ClassStore = (built: Class) => Class;

const NO_RULE: Outcome = { rank: RANK_DEFAULT, rule: 0, verdict: Verdict.Allow };
const NOT_ASKED: Outcome = { rank: RANK_NONE, rule: 0, verdict: Verdict.None };
const NETWORK_FALLBACK: Fallback = { enforced: NOT_ASKED, staged: NOT_ASKED };

/** What follows from the rules alone. */
interface Fixed {
  /** Rules that mean every identity. */
  readonly everyone: readonly number[];
  readonly anyone: Class;
  readonly host: Class;
  readonly world: Class;
  readonly networks: readonly NetworkEntry[];
  readonly networkClasses: readonly Class[];
}

/** What a set's identity is made from: equal for subjects with the same rules, and the ports those name. */
export function setKey(parts: readonly CompiledDirection[], ownPorts: KnownIdentity['ports'] | undefined): string {
  const digests = parts
    .map((part) => part.digest)
    .sort()
    .join();
  return ownPorts === undefined ? digests : `${digests} ${lookedUp(distinctNames(parts), ownPorts)}`;
}

/**
 * The rules of one subject in one direction. What follows from them alone is made once; the peers follow the
 * identities and are made again when one of the selectors means others than before.
 */
export class SetBuilder {
  readonly id: bigint;
  /** Selectors of rules first, in the order of `#selectors`; then port names. */
  readonly watches: readonly Watch[];
  readonly #index: IdentityIndex;
  /** In the order in which they decide. */
  readonly #rules: readonly CompiledRule[];
  readonly #fallback: Fallback;
  readonly #ownPorts: KnownIdentity['ports'] | undefined;
  /** To be looked up on each peer. */
  readonly #names: readonly PortName[];
  /** The rule of each selector, by index. */
  readonly #selectors: readonly number[];
  #store: ClassStore = (built) => built;
  #fixed: Fixed | undefined;
  #set: PolicySet | undefined;
  #classes: readonly Class[] = [];

  /**
   * @param key of the parts and ports, by `setKey`
   * @param parts of all policies that select the subject; not empty
   * @param ownPorts the subject's, where names of ports are looked up on it (ingress); else on each peer
   */
  constructor(
    key: string,
    parts: readonly CompiledDirection[],
    ownPorts: KnownIdentity['ports'] | undefined,
    index: IdentityIndex,
  ) {
    this.id = contentId(key);
    this.#index = index;
    this.#ownPorts = ownPorts;
    this.#rules = parts.flatMap((part) => part.rules).sort((a, b) => byPrecedence(a.outcome, b.outcome));
    this.#fallback = {
      enforced: strictestFallback(parts.filter((part) => part.mode === 'Enforce')) ?? NO_RULE,
      staged: strictestFallback(parts) ?? NO_RULE,
    };
    this.#names = ownPorts === undefined ? distinctNames(parts) : [];
    this.#selectors = this.#rules.flatMap((rule, i) => rule.selectors.map(() => i));
    this.watches = [
      ...this.#rules.flatMap((rule) => rule.selectors.map((selector) => index.watch(selector))),
      ...this.#names.map((name) => index.watchPort(name)),
    ];
  }

  /** The set with the peers there are now; the same object as last time where none of them differ. */
  build(store: ClassStore): PolicySet {
    this.#store = store;
    this.#fixed ??= this.#buildFixed();
    const { networks, networkClasses } = this.#fixed;
    const peers = this.#buildPeers(this.#fixed);
    this.#classes = [...new Set([...peers.values(), ...networkClasses])];
    const ids = new Map<number, bigint>();
    for (const [slot, found] of peers) ids.set(slot, found.id);
    if (this.#set === undefined || !samePeers(this.#set.peers, ids)) this.#set = { id: this.id, peers: ids, networks };
    return this.#set;
  }

  /** Of the set as it was last built, each once. */
  get classes(): readonly Class[] {
    return this.#classes;
  }

  /** Stops watching; to be called once. */
  close(): void {
    for (const watch of this.watches) this.#index.unwatch(watch);
  }

  #buildFixed(): Fixed {
    const indices = (means: (rule: CompiledRule) => boolean): number[] =>
      this.#rules.flatMap((rule, i) => (means(rule) ? [i] : []));
    const [networks, networkClasses] = this.#buildNetworks();
    const everyone = indices((rule) => rule.anyPeer || rule.anyIdentity);
    const anyone = this.#classFor(everyone);
    // Mostly the three are one.
    const reserved = (means: (rule: CompiledRule) => boolean): Class => {
      const rules = indices(means);
      return rules.join() === everyone.join() ? anyone : this.#classFor(rules);
    };
    return {
      everyone,
      anyone,
      host: reserved((rule) => rule.anyPeer || rule.host),
      world: reserved((rule) => rule.anyPeer || rule.world),
      networks,
      networkClasses,
    };
  }

  #buildPeers({ everyone, anyone, host, world }: Fixed): Map<number, Class> {
    const met = new Map<number, number[]>();
    for (const [i, rule] of this.#selectors.entries()) {
      for (const slot of this.watches[i]?.slots ?? []) {
        const rules = met.get(slot);
        if (rules === undefined) met.set(slot, [rule]);
        else if (rules.at(-1) !== rule) rules.push(rule);
      }
    }
    for (const { slots } of this.watches.slice(this.#selectors.length)) {
      for (const slot of slots) if (!met.has(slot)) met.set(slot, []);
    }
    const peers = new Map([
      [Slot.Any, anyone],
      [Slot.Host, host],
      [Slot.World, world],
    ] as [number, Class][]);
    const made = new Map<string, Class>();
    for (const [slot, rules] of met) {
      const ports = this.#names.length === 0 ? [] : (this.#index.identities.get(slot)?.ports ?? []);
      const key = `${rules.join()} ${lookedUp(this.#names, ports)}`;
      let found = made.get(key);
      if (found === undefined) {
        found = this.#classFor(merge(everyone, rules), ports);
        made.set(key, found);
      }
      if (found !== anyone) peers.set(slot, found);
    }
    return peers;
  }

  #buildNetworks(): [NetworkEntry[], Class[]] {
    if (this.#rules.every((rule) => rule.networks.length === 0)) return [[], []];
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
function distinctNames(parts: readonly CompiledDirection[]): PortName[] {
  const names = new Map(parts.flatMap((part) => part.names.map((name) => [nameKey(name), name])));
  return [...names].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, name]) => name);
}

/** What the names stand for on a workload with these ports, as text: `TCP/http=80,8080 UDP/dns=`. */
function lookedUp(names: readonly PortName[], ports: KnownIdentity['ports']): string {
  const numbers = (name: PortName): number[] => resolveNames([name], ports).map(({ first }) => first);
  return names.map((name) => `${nameKey(name)}=${numbers(name).sort((a, b) => a - b)}`).join(' ');
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
