import { literalWorkload, selects } from '../model/selector.ts';
import { formatWorkload } from '../model/workload.ts';
import type { KnownIdentity } from './input.ts';
import { type KeyedSelector, nameKey, type PortName } from './rules.ts';

/** Slots a selector means. The list is the same object for as long as its content is the same. */
export type Slots = readonly number[];

const NO_SLOTS: Slots = [];

/** Above this many changed identities everything is looked up anew: comparing each with each costs more. */
const MAX_INCREMENTAL = 64;

interface Memo {
  readonly selector: KeyedSelector;
  slots: Slots;
  /** Round in which it was last asked for. */
  used: number;
}

/** Answers which present identities a selector means, and remembers the answers while identities come and go. */
export class IdentityIndex {
  #identities: ReadonlyMap<number, KnownIdentity> = new Map();
  #byWorkload = new Map<string, number[]>();
  #byNamespace = new Map<string, number[]>();
  #byPortName = new Map<string, Slots>();
  readonly #memo = new Map<string, Memo>();
  #round = 0;

  /** Starts a round with these identities; forgets selectors nobody asked about in the last one. */
  update(identities: ReadonlyMap<number, KnownIdentity>): void {
    for (const [key, memo] of this.#memo) if (memo.used !== this.#round) this.#memo.delete(key);
    this.#round++;
    const changed = changedSlots(this.#identities, identities);
    if (changed.size === 0) return;
    this.#identities = identities;
    this.#index(changed);
    for (const memo of this.#memo.values()) {
      const slots = changed.size > MAX_INCREMENTAL ? this.#find(memo.selector) : this.#amend(memo, changed);
      memo.slots = sameSlots(memo.slots, slots) ? memo.slots : slots;
    }
  }

  get identities(): ReadonlyMap<number, KnownIdentity> {
    return this.#identities;
  }

  /** Ascending. */
  slotsOf(selector: KeyedSelector): Slots {
    let memo = this.#memo.get(selector.key);
    if (memo === undefined) {
      memo = { selector, slots: this.#find(selector), used: this.#round };
      this.#memo.set(selector.key, memo);
    }
    memo.used = this.#round;
    return memo.slots;
  }

  /** Slots of the identities with a port of this name and protocol; another list also where only a number changed. */
  slotsWithPort(name: PortName): Slots {
    return this.#byPortName.get(nameKey(name)) ?? NO_SLOTS;
  }

  #find({ selector }: KeyedSelector): Slots {
    const literal = literalWorkload(selector);
    const candidates =
      literal !== undefined
        ? (this.#byWorkload.get(formatWorkload(literal)) ?? NO_SLOTS)
        : (this.#byNamespace.get(selector.workload.namespace) ?? this.#unlessLiteral(selector.workload.namespace));
    return candidates.filter((slot) => this.#selects(selector, slot));
  }

  #unlessLiteral(namespace: string): Slots {
    return /[*?]/.test(namespace) ? [...this.#identities.keys()].sort((a, b) => a - b) : NO_SLOTS;
  }

  #amend({ selector, slots }: Memo, changed: ReadonlySet<number>): Slots {
    const joining = [...changed].filter((slot) => this.#selects(selector.selector, slot));
    if (joining.length === 0 && !slots.some((slot) => changed.has(slot))) return slots;
    return [...slots.filter((slot) => !changed.has(slot)), ...joining].sort((a, b) => a - b);
  }

  #selects(selector: KeyedSelector['selector'], slot: number): boolean {
    const identity = this.#identities.get(slot);
    return identity !== undefined && selects(selector, identity);
  }

  #index(changed: ReadonlySet<number>): void {
    const workloads = new Map<string, number[]>();
    const namespaces = new Map<string, number[]>();
    const portNames = new Map<string, number[]>();
    for (const slot of [...this.#identities.keys()].sort((a, b) => a - b)) {
      const identity = this.#identities.get(slot);
      if (identity === undefined) continue;
      append(workloads, formatWorkload(identity.workload), slot);
      append(namespaces, identity.workload.namespace, slot);
      for (const { protocol, name } of identity.ports) append(portNames, `${protocol}/${name}`, slot);
    }
    const kept = new Map<string, Slots>(portNames);
    this.#byWorkload = workloads;
    this.#byNamespace = namespaces;
    for (const [key, slots] of this.#byPortName) {
      const found = portNames.get(key);
      if (found === undefined || !sameSlots(slots, found) || found.some((slot) => changed.has(slot))) continue;
      kept.set(key, slots);
    }
    this.#byPortName = kept;
  }
}

/** Slots that were filled, emptied, or are somebody else's now. */
function changedSlots(
  before: ReadonlyMap<number, KnownIdentity>,
  after: ReadonlyMap<number, KnownIdentity>,
): ReadonlySet<number> {
  const changed = new Set<number>();
  if (before === after) return changed;
  for (const [slot, identity] of after) {
    const known = before.get(slot);
    if (known !== identity && (known === undefined || !sameIdentity(known, identity))) changed.add(slot);
  }
  for (const slot of before.keys()) if (!after.has(slot)) changed.add(slot);
  return changed;
}

function sameIdentity(a: KnownIdentity, b: KnownIdentity): boolean {
  return a.id === b.id && a.ports.length === b.ports.length && a.ports.every((port, i) => samePort(port, b.ports[i]));
}

function samePort(a: KnownIdentity['ports'][number], b: KnownIdentity['ports'][number] | undefined): boolean {
  return a.name === b?.name && a.protocol === b.protocol && a.port === b.port;
}

function sameSlots(a: Slots, b: Slots): boolean {
  return a === b || (a.length === b.length && a.every((slot, i) => slot === b[i]));
}

function append(map: Map<string, number[]>, key: string, slot: number): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [slot]);
  else if (list.at(-1) !== slot) list.push(slot);
}
