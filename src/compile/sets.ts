import { Slot } from '../model/slot.ts';
import { Verdict } from '../model/verdict.ts';
import { Budget, TooLarge } from './budget.ts';
import { ClassCache, type Ingredients } from './class-cache.ts';
import { type Beside, buildClass, type Fallback, type PortRule } from './classes.ts';
import { contentId } from './hash.ts';
import type { IdentityIndex, Watch } from './identity-index.ts';
import type { KnownIdentity } from './input.ts';
import { flattenNetworks, type NetworkPeer } from './networks.ts';
import { RANK_DEFAULT, RANK_NONE } from './rank.ts';
import {
  type CompiledDirection,
  type CompiledRule,
  nameKey,
  type Outcome,
  type PortName,
  resolveNames,
} from './rules.ts';
import { somePeer } from './some.ts';
import type { Class, Closed, NetworkEntry, PolicySet } from './tables.ts';
import { type AdminNetworks, adminNetworks, arrange } from './tiers.ts';

/** Finds the class that is equal to one just built, if there is one already. */
type ClassStore = (built: Class) => Class;

const asBuilt: ClassStore = (built) => built;
const NO_PORTS: KnownIdentity['ports'] = [];
const NOT_ASKED: Outcome = { rank: RANK_NONE, rule: 0, verdict: Verdict.None };
const NETWORK_FALLBACK: Fallback = { enforced: NOT_ASKED, staged: NOT_ASKED };

/** What follows from the rules alone. */
interface Fixed {
  /** Rules that mean every identity. */
  readonly everyone: readonly number[];
  readonly anyone: Class;
  readonly host: Class;
  readonly world: Class;
  /** Absent for ingress: who comes is known or he is the world. */
  readonly some?: SomeClass;
  readonly networks: Networks;
}

interface SomeClass {
  /** All that it was made from. */
  readonly ingredients: string;
  readonly class: Class;
}

interface Networks {
  /** All that they were made from: the rules' serials, and what names of ports are on the subject. */
  readonly serials: readonly number[];
  readonly numbers: string;
  readonly entries: readonly NetworkEntry[];
  readonly classes: readonly Class[];
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
  readonly #adminNetworks: AdminNetworks | undefined;
  readonly #ownPorts: KnownIdentity['ports'] | undefined;
  /** What the rules' port names are on the subject, as text. */
  readonly #ownNumbers: string;
  /** To be looked up on each peer. */
  readonly #names: readonly PortName[];
  /** The rule of each selector, by index. */
  readonly #selectors: readonly number[];
  #before: SetBuilder | undefined;
  #store: ClassStore = asBuilt;
  #fixed: Fixed | undefined;
  #made: ClassCache | undefined;
  #madeOfNetworks: ClassCache | undefined;
  #set: PolicySet | undefined;
  #classes: readonly (readonly Class[])[] = [];
  #budget = new Budget();

  /**
   * @param key of the parts and ports, by `setKey`
   * @param parts of all policies that select the subject; not empty
   * @param ownPorts the subject's, where names of ports are looked up on it (ingress); else on each peer
   * @param before what a subject of this set had until now: classes both have are taken from it
   */
  constructor(
    key: string,
    parts: readonly CompiledDirection[],
    ownPorts: KnownIdentity['ports'] | undefined,
    index: IdentityIndex,
    before?: SetBuilder,
  ) {
    this.id = contentId(key);
    this.#index = index;
    this.#before = before;
    this.#ownPorts = ownPorts;
    const { rules, fallback } = arrange(parts);
    this.#rules = rules;
    this.#fallback = fallback;
    this.#adminNetworks = adminNetworks(rules);
    const names = distinctNames(parts);
    this.#names = ownPorts === undefined ? names : [];
    this.#ownNumbers = ownPorts === undefined ? '' : lookedUp(names, ownPorts);
    const selectors: number[] = [];
    const watches: Watch[] = [];
    let i = 0;
    for (const rule of this.#rules) {
      for (const selector of rule.selectors) {
        selectors.push(i);
        watches.push(index.watch(selector));
      }
      i++;
    }
    for (const name of this.#names) watches.push(index.watchPort(name));
    this.#selectors = selectors;
    this.watches = watches;
  }

  /**
   * The set with the peers there are now; the same object as last time where none of them differ. Where there is more of
   * it than there may be, it denies everything.
   */
  build(store: ClassStore): PolicySet {
    this.#store = store;
    this.#budget = new Budget();
    try {
      this.#set = this.#buildOpen();
    } catch (error) {
      if (!(error instanceof TooLarge)) throw error;
      this.#set = this.#buildClosed('size');
    }
    // Both hold what others have made.
    this.#before = undefined;
    this.#store = asBuilt;
    return this.#set;
  }

  /** The set as it is while there is no room for what was built: it denies everything. */
  shut(store: ClassStore): PolicySet {
    this.#store = store;
    this.#set = this.#buildClosed('share');
    this.#store = asBuilt;
    return this.#set;
  }

  /** Why it denies everything; undefined where its rules decide. */
  get closed(): Closed | undefined {
    return this.#set?.closed;
  }

  /** Ids of its rules. */
  get rules(): readonly number[] {
    return this.#rules.map(({ outcome }) => outcome.rule);
  }

  /** Peers that it always has: they are no identities. */
  get reserved(): readonly number[] {
    return [Slot.Any, Slot.Host, Slot.World, ...(this.#ownPorts === undefined ? [Slot.Some] : [])];
  }

  #buildOpen(): PolicySet {
    this.#fixed ??= this.#buildFixed(this.#before);
    const { anyone, host, world, some, networks } = this.#fixed;
    const made = new ClassCache(
      this.#contextOf(this.#fixed),
      this.#before === undefined ? this.#made : this.#before.#made,
    );
    const peers = this.#buildPeers(this.#fixed, made);
    made.settle();
    this.#made = made;
    const reserved = [anyone, host, world, ...(some === undefined ? [] : [some.class])];
    this.#classes = [[...reserved, ...made.values()], networks.classes];
    const last = this.#set;
    if (last !== undefined && last.closed === undefined && samePeers(last.peers, peers)) return last;
    return { id: this.id, peers, networks: networks.entries };
  }

  #buildClosed(closed: Closed): PolicySet {
    const { enforced } = this.#fallback;
    const rule = enforced.verdict === Verdict.Deny ? enforced.rule : (this.#rules[0]?.outcome.rule ?? enforced.rule);
    const deny: Outcome = { rank: RANK_DEFAULT, rule, verdict: Verdict.Deny };
    // Where all of it is staged, nothing of it changes a verdict.
    const enforces = enforced.rule !== 0 || this.#rules.some(({ staged }) => !staged);
    const nothing = this.#store(buildClass([], { enforced: enforces ? deny : enforced, staged: deny }));
    // What was made of it is let go: a class nobody uses may meanwhile be made again elsewhere.
    this.#fixed = undefined;
    this.#made = undefined;
    this.#madeOfNetworks = undefined;
    this.#classes = [[nothing], []];
    return { id: this.id, peers: new Map(this.reserved.map((slot) => [slot, nothing.id])), networks: [], closed };
  }

  /** Of the set as it was last built, each at least once. Sets with the same networks have one list of their classes. */
  get classes(): readonly (readonly Class[])[] {
    return this.#classes;
  }

  /** Stops watching; to be called once. */
  close(): void {
    for (const watch of this.watches) this.#index.unwatch(watch);
  }

  #buildFixed(before: SetBuilder | undefined): Fixed {
    const [everyone, hosts, worlds]: [number[], number[], number[]] = [[], [], []];
    let i = 0;
    for (const rule of this.#rules) {
      if (rule.anyPeer || rule.anyIdentity) everyone.push(i);
      if (rule.anyPeer || rule.host) hosts.push(i);
      if (rule.anyPeer || rule.world) worlds.push(i);
      i++;
    }
    const anyone = this.#classFor(everyone);
    // Mostly the three are one.
    const reserved = (rules: readonly number[]): Class =>
      rules.join() === everyone.join() ? anyone : this.#classFor(rules);
    return {
      everyone,
      anyone,
      host: reserved(hosts),
      world: reserved(worlds),
      ...(this.#ownPorts === undefined ? { some: this.#buildSome(before) } : {}),
      networks: this.#buildNetworks(before),
    };
  }

  #buildSome(before: SetBuilder | undefined): SomeClass {
    const { rules, fallback, ingredients } = somePeer(this.#rules, this.#fallback);
    const earlier = before === undefined ? undefined : before.#fixed;
    if (earlier?.some?.ingredients === ingredients) return earlier.some;
    return { ingredients, class: this.#store(buildClass(rules, fallback)) };
  }

  #contextOf({ everyone }: Fixed): string {
    const admin = this.#adminNetworks;
    const beside = admin === undefined ? [] : [admin.last, this.#serialsOf([...admin.denies, ...admin.passes])];
    return JSON.stringify([this.#fallback, this.#serialsOf(everyone), this.#ownNumbers, ...beside]);
  }

  #buildPeers({ everyone, anyone, host, world, some }: Fixed, made: ClassCache): Map<number, bigint> {
    const peers = new Map([
      [Slot.Any, anyone.id],
      [Slot.Host, host.id],
      [Slot.World, world.id],
    ] as [number, bigint][]);
    if (some !== undefined) peers.set(Slot.Some, some.class.id);
    for (const [slot, rules] of this.#meetings()) {
      this.#budget.look(rules.length);
      const ports = this.#names.length === 0 ? NO_PORTS : (this.#index.identities.get(slot)?.ports ?? NO_PORTS);
      const ingredients = this.#ingredientsOf(rules, lookedUp(this.#names, ports));
      const found = made.get(ingredients, () => this.#classFor(merge(everyone, rules), ports));
      if (found !== anyone) peers.set(slot, found.id);
    }
    return peers;
  }

  /** The rules whose selectors mean a slot, ascending; none for slots that only have a port of a wanted name. */
  #meetings(): ReadonlyMap<number, readonly number[]> {
    const met = new Map<number, number[]>();
    for (const [i, rule] of this.#selectors.entries()) {
      const slots = this.watches[i]?.slots ?? [];
      this.#budget.look(slots.length);
      for (const slot of slots) {
        const rules = met.get(slot);
        if (rules === undefined) met.set(slot, [rule]);
        else if (rules.at(-1) !== rule) rules.push(rule);
      }
    }
    for (const { slots } of this.watches.slice(this.#selectors.length)) {
      for (const slot of slots) if (!met.has(slot)) met.set(slot, []);
    }
    return met;
  }

  #buildNetworks(before: SetBuilder | undefined): Networks {
    const serials: number[] = [];
    for (const { serial, networks } of this.#rules) if (networks.length > 0) serials.push(serial);
    const made = { serials, numbers: this.#ownNumbers };
    const known = before === undefined ? undefined : before.#madeOfNetworks;
    const earlier = before === undefined ? undefined : before.#fixed?.networks;
    if (earlier?.numbers === made.numbers && sameNumbers(earlier.serials, serials)) {
      this.#madeOfNetworks = known;
      return earlier;
    }
    if (serials.length === 0) return { ...made, entries: [], classes: [] };
    const peers: NetworkPeer[] = [];
    for (const [i, { networks }] of this.#rules.entries()) {
      for (const { key, network, holes } of networks) peers.push({ rule: i, key, network, holes });
    }
    const cache = new ClassCache(this.#ownNumbers, known);
    const { entries, classes } = flattenNetworks(peers, (rules) => {
      this.#budget.look(rules.length);
      return cache.get(this.#ingredientsOf(rules, ''), () => this.#classOfNetwork(rules));
    });
    cache.settle(classes);
    this.#madeOfNetworks = cache;
    return { ...made, entries, classes: [...classes] };
  }

  /** What tells classes of one build apart: mostly there is one rule, and no name of a port. */
  #ingredientsOf(rules: readonly number[], numbers: string): Ingredients {
    const [only] = rules;
    if (only !== undefined && rules.length === 1 && numbers === '') return this.#rules[only]?.serial ?? 0;
    return `${this.#serialsOf(rules)} ${numbers}`;
  }

  #serialsOf(rules: readonly number[]): string {
    return rules.map((i) => this.#rules[i]?.serial).join();
  }

  #classFor(indices: readonly number[], peerPorts = NO_PORTS): Class {
    const ports = this.#ownPorts ?? peerPorts;
    return this.#classOf(this.#portRules(indices, ports), this.#fallback, this.#beside());
  }

  #classOfNetwork(indices: readonly number[]): Class {
    return this.#classOf(this.#portRules(indices, this.#ownPorts ?? NO_PORTS), NETWORK_FALLBACK);
  }

  #classOf(rules: readonly PortRule[], fallback: Fallback, beside?: Beside): Class {
    this.#budget.make(rules.length);
    const built = buildClass(rules, fallback, beside);
    this.#budget.keep(built.ports.length);
    return this.#store(built);
  }

  #beside(): Beside | undefined {
    const admin = this.#adminNetworks;
    if (admin === undefined) return undefined;
    const rules = (indices: readonly number[]) => this.#portRules(indices, this.#ownPorts ?? NO_PORTS);
    return { last: admin.last, denies: rules(admin.denies), passes: rules(admin.passes) };
  }

  #portRules(indices: readonly number[], ports: KnownIdentity['ports']): readonly PortRule[] {
    const rules: PortRule[] = [];
    for (const i of indices) {
      const rule = this.#rules[i];
      if (rule === undefined) continue;
      const { outcome, staged, spans, names } = rule;
      if (spans === undefined || names.length === 0) rules.push(rule);
      else rules.push({ outcome, staged, spans: [...spans, ...resolveNames(names, ports)] });
    }
    return rules;
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

/** Two ascending lists into one, without repetition. */
function merge(a: readonly number[], b: readonly number[]): readonly number[] {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  return [...new Set([...a, ...b])].sort((x, y) => x - y);
}

function sameNumbers(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function samePeers(a: ReadonlyMap<number, bigint>, b: ReadonlyMap<number, bigint>): boolean {
  if (a.size !== b.size) return false;
  for (const [slot, id] of b) if (a.get(slot) !== id) return false;
  return true;
}
