import { isGlob } from '../model/glob.ts';
import type { NameSet } from '../model/name-set.ts';
import { literalWorkload, selects } from '../model/selector.ts';
import { formatWorkload, type Workload } from '../model/workload.ts';
import type { KnownIdentity } from './input.ts';
import { changedKeys } from './patched-map.ts';
import { type KeyedSelector, nameKey, type PortName } from './rules.ts';

/**
 * A selector or a port name that somebody wants to be kept answered. Shared by all who ask the same.
 */
export interface Watch {
  /** Of the identities it means, ascending. */
  readonly slots: readonly number[];
}

interface Entry {
  readonly key: string;
  /** Absent for port names. */
  readonly selector?: KeyedSelector['selector'];
  /** The selector is the name of one workload and nothing else, as nearly all are: there may be 100,000 of them. */
  readonly literal: boolean;
  slots: readonly number[];
  users: number;
}

/** Ascending slots by what they have in common. A list is never changed in place: entries hold them. */
type SlotLists = Map<string, readonly number[]>;

/** What became different between two sets of identities. */
export interface IdentityChange {
  /** Filled, emptied, or somebody else's now. */
  readonly slots: ReadonlySet<number>;
  /** Those that mean others than before, and port names of which a number changed. */
  readonly watches: ReadonlySet<Watch>;
}

const NOTHING: readonly number[] = [];

/** Above this many changed identities everything is looked up anew: comparing each with each costs more. */
const MAX_INCREMENTAL = 64;

/** Knows which present identities a selector means, and keeps knowing while identities come and go. */
export class IdentityIndex {
  #identities: ReadonlyMap<number, KnownIdentity> = new Map();
  readonly #byWorkload: SlotLists = new Map();
  readonly #byNamespace: SlotLists = new Map();
  #sorted: readonly number[] = NOTHING;
  readonly #byPortName: SlotLists = new Map();
  readonly #selectors = new Map<string, Entry>();
  readonly #names = new Map<string, Entry>();

  get identities(): ReadonlyMap<number, KnownIdentity> {
    return this.#identities;
  }

  /** How many different selectors and port names are being kept answered. */
  get watched(): number {
    return this.#selectors.size + this.#names.size;
  }

  update(identities: ReadonlyMap<number, KnownIdentity>): IdentityChange {
    const slots = changedSlots(this.#identities, identities);
    const watches = new Set<Watch>();
    if (slots.size === 0) return { slots, watches };
    const before = this.#identities;
    this.#identities = identities;
    if (slots.size > MAX_INCREMENTAL) this.#index();
    else this.#reindex(before, slots);
    for (const entry of this.#selectors.values()) {
      const anew = entry.literal || slots.size > MAX_INCREMENTAL;
      const found = anew ? this.#find(entry) : this.#amend(entry, slots);
      if (sameSlots(entry.slots, found)) continue;
      entry.slots = found;
      watches.add(entry);
    }
    for (const entry of this.#names.values()) {
      const found = this.#byPortName.get(entry.key) ?? NOTHING;
      if (sameSlots(entry.slots, found) && !found.some((slot) => slots.has(slot))) continue;
      entry.slots = found;
      watches.add(entry);
    }
    return { slots, watches };
  }

  watch({ key, selector }: KeyedSelector): Watch {
    return (
      this.#known(this.#selectors, key) ??
      this.#added(this.#selectors, { key, selector, literal: isName(key, selector) })
    );
  }

  watchPort(name: PortName): Watch {
    const key = nameKey(name);
    return this.#known(this.#names, key) ?? this.#added(this.#names, { key, literal: true });
  }

  /** Every watch is to be given back once. */
  unwatch(watch: Watch): void {
    const entry = watch as Entry;
    if (--entry.users > 0) return;
    (entry.selector === undefined ? this.#names : this.#selectors).delete(entry.key);
  }

  #known(entries: ReadonlyMap<string, Entry>, key: string): Entry | undefined {
    const entry = entries.get(key);
    if (entry !== undefined) entry.users++;
    return entry;
  }

  #added(entries: Map<string, Entry>, asked: Asked): Entry {
    const entry = { ...asked, slots: this.#find(asked), users: 1 };
    entries.set(asked.key, entry);
    return entry;
  }

  #find({ key, selector, literal: isLiteral }: Asked): readonly number[] {
    if (selector === undefined) return this.#byPortName.get(key) ?? NOTHING;
    if (isLiteral) return this.#byWorkload.get(key) ?? NOTHING;
    const { namespace } = selector.workload;
    const literal = literalWorkload(selector);
    const candidates =
      literal !== undefined
        ? this.#byWorkload.get(formatWorkload(literal))
        : isGlob(namespace)
          ? this.#inNamespaces(selector.namespaces)
          : this.#byNamespace.get(namespace);
    return candidates?.filter((slot) => this.#selects(selector, slot)) ?? NOTHING;
  }

  /** Ascending; of all namespaces where none are named. */
  #inNamespaces(names: NameSet | undefined): readonly number[] {
    if (names === undefined || names.size > this.#byNamespace.size) return this.#sorted;
    const found: number[] = [];
    for (const name of names.values()) for (const slot of this.#byNamespace.get(name) ?? NOTHING) found.push(slot);
    return found.sort((a, b) => a - b);
  }

  #amend({ selector, slots }: Entry, changed: ReadonlySet<number>): readonly number[] {
    if (selector === undefined) return NOTHING;
    const joining = [...changed].filter((slot) => this.#selects(selector, slot));
    if (joining.length === 0 && !slots.some((slot) => changed.has(slot))) return slots;
    return [...slots.filter((slot) => !changed.has(slot)), ...joining].sort((a, b) => a - b);
  }

  #selects(selector: KeyedSelector['selector'], slot: number): boolean {
    const identity = this.#identities.get(slot);
    return identity !== undefined && selects(selector, identity);
  }

  #index(): void {
    const [workloads, namespaces, portNames] = [1, 2, 3].map(() => new Map<string, number[]>());
    this.#sorted = [...this.#identities.keys()].sort((a, b) => a - b);
    for (const slot of this.#sorted) {
      const identity = this.#identities.get(slot);
      for (const key of workloadKeys(identity)) append(workloads!, key, slot);
      for (const key of namespaceKeys(identity)) append(namespaces!, key, slot);
      for (const key of portKeys(identity)) append(portNames!, key, slot);
    }
    replace(this.#byWorkload, workloads!);
    replace(this.#byNamespace, namespaces!);
    replace(this.#byPortName, portNames!);
  }

  /** The same, of a few that are others now. */
  #reindex(before: ReadonlyMap<number, KnownIdentity>, changed: ReadonlySet<number>): void {
    const lists = [
      [this.#byWorkload, workloadKeys],
      [this.#byNamespace, namespaceKeys],
      [this.#byPortName, portKeys],
    ] as const;
    for (const slot of changed) {
      const [was, is] = [before.get(slot), this.#identities.get(slot)];
      for (const [list, keysOf] of lists) {
        for (const key of keysOf(was)) withdraw(list, key, slot);
        for (const key of keysOf(is)) insert(list, key, slot);
      }
    }
    const present = [...changed].filter((slot) => this.#identities.has(slot));
    this.#sorted = [...this.#sorted.filter((slot) => !changed.has(slot)), ...present].sort((a, b) => a - b);
  }
}

type Asked = Omit<Entry, 'slots' | 'users'>;

function isName(key: string, selector: KeyedSelector['selector']): boolean {
  const literal = literalWorkload(selector);
  return literal !== undefined && key === formatWorkload(literal);
}

function workloadKeys(identity: KnownIdentity | undefined): readonly string[] {
  if (identity === undefined) return [];
  return [identity.workload, ...(identity.aliases ?? [])].map(formatWorkload);
}

function namespaceKeys(identity: KnownIdentity | undefined): readonly string[] {
  if (identity === undefined) return [];
  return [identity.workload, ...(identity.aliases ?? [])].map(({ namespace }) => namespace);
}

function portKeys(identity: KnownIdentity | undefined): readonly string[] {
  return identity?.ports.map(({ protocol, name }) => `${protocol}/${name}`) ?? [];
}

function changedSlots(
  before: ReadonlyMap<number, KnownIdentity>,
  after: ReadonlyMap<number, KnownIdentity>,
): ReadonlySet<number> {
  const changed = new Set<number>();
  const few = changedKeys(before, after);
  for (const slot of few ?? after.keys()) {
    const [was, is] = [before.get(slot), after.get(slot)];
    if (was !== is && (was === undefined || is === undefined || !sameIdentity(was, is))) changed.add(slot);
  }
  if (few === undefined) for (const slot of before.keys()) if (!after.has(slot)) changed.add(slot);
  return changed;
}

/** Of two with one id: whether they have the same names, and the same names for ports. */
export function sameIdentity(a: KnownIdentity, b: KnownIdentity): boolean {
  return a.id === b.id && samePorts(a.ports, b.ports) && sameAliases(a.aliases ?? [], b.aliases ?? []);
}

function samePorts(a: KnownIdentity['ports'], b: KnownIdentity['ports']): boolean {
  return a.length === b.length && a.every((port, i) => samePort(port, b[i]));
}

function sameAliases(a: readonly Workload[], b: readonly Workload[]): boolean {
  return a === b || (a.length === b.length && a.every((one, i) => formatWorkload(one) === formatWorkload(b[i] ?? one)));
}

function samePort(a: KnownIdentity['ports'][number], b: KnownIdentity['ports'][number] | undefined): boolean {
  return a.name === b?.name && a.protocol === b.protocol && a.port === b.port;
}

function sameSlots(a: readonly number[], b: readonly number[]): boolean {
  return a === b || (a.length === b.length && a.every((slot, i) => slot === b[i]));
}

function append(map: Map<string, number[]>, key: string, slot: number): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [slot]);
  else if (list.at(-1) !== slot) list.push(slot);
}

function replace(lists: SlotLists, by: ReadonlyMap<string, readonly number[]>): void {
  lists.clear();
  for (const [key, list] of by) lists.set(key, list);
}

function insert(lists: SlotLists, key: string, slot: number): void {
  const list = lists.get(key) ?? NOTHING;
  const at = placeOf(list, slot);
  if (list[at] !== slot) lists.set(key, list.toSpliced(at, 0, slot));
}

function withdraw(lists: SlotLists, key: string, slot: number): void {
  const list = lists.get(key) ?? NOTHING;
  const at = placeOf(list, slot);
  if (list[at] !== slot) return;
  if (list.length === 1) lists.delete(key);
  else lists.set(key, list.toSpliced(at, 1));
}

/** Where a slot is in an ascending list, or would be. */
function placeOf(list: readonly number[], slot: number): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle]! < slot) low = middle + 1;
    else high = middle;
  }
  return low;
}
