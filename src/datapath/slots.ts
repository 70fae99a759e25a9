/** Which identity has which slot, here and in the kernel's `identities`. */
import { Slot } from '../model/slot.ts';
import { Allocator, type Quarantine } from './allocator.ts';
import type { Tables } from './maps.ts';

/** Minutes in which a flow of the table, or a record under way, may still name a slot that was given up. */
const QUARANTINE: Quarantine = { rest: 10 * 60_000, now: () => performance.now() };

/** Of all slots so many are for who runs here alone: others name whom they like, and their slots rest when they stop. */
const OWN_PART = 1 / 10;

/**
 * The kernel finds an identity here exactly while it has a slot: a row is written before anybody can refer to the
 * slot, and deleted before the slot's rules go, so that nobody is ever judged as somebody without any.
 */
export class Slots {
  readonly #table: Tables['identities'];
  readonly #numbers: Allocator<bigint>;
  /** For who runs here, when there are no others. */
  readonly #own: Allocator<bigint>;
  /** As the kernel has it. */
  readonly #rows: Map<bigint, number>;

  /** Takes over the slots of an earlier agent's subjects, and mends `identities` where it says otherwise. */
  constructor(tables: Pick<Tables, 'identities' | 'subjects'>, limit: number, quarantine = QUARANTINE) {
    this.#table = tables.identities;
    const own = Math.max(Slot.First, limit - Math.floor(limit * OWN_PART));
    this.#numbers = new Allocator(Slot.First, own, quarantine);
    this.#own = new Allocator(own, limit, quarantine);
    for (const [slot, { identity }] of tables.subjects.entries()) {
      if (identity !== 0n && this.slotOf(identity) === undefined) this.#of(slot).adopt(identity, slot);
    }
    this.#rows = new Map(this.#table.entries());
    this.#remove([...this.#rows.keys()].filter((identity) => this.slotOf(identity) === undefined));
    this.#write(this.#held());
  }

  /**
   * A slot for each, where there is room; those that have one keep it.
   * @param isOwn whether one runs here
   */
  assign(identities: Iterable<bigint>, isOwn: (identity: bigint) => boolean): ReadonlyMap<bigint, number> {
    const assigned = new Map<bigint, number>();
    const fresh: (readonly [bigint, number])[] = [];
    for (const identity of identities) {
      const shared = this.#own.numberOf(identity) ?? this.#numbers.assign(identity);
      const slot = shared ?? (isOwn(identity) ? this.#own.assign(identity) : undefined);
      if (slot === undefined) continue;
      assigned.set(identity, slot);
      // Of thousands a few.
      if (this.#rows.get(identity) !== slot) fresh.push([identity, slot]);
    }
    this.#write(fresh);
    return assigned;
  }

  /** Makes the kernel forget those whose slot does not stay; to be released when nothing refers to them any more. */
  withdraw(stays: (slot: number) => boolean): ReadonlyMap<bigint, number> {
    const leaving = new Map<bigint, number>();
    for (const [identity, slot] of this.#held()) if (!stays(slot)) leaving.set(identity, slot);
    this.#remove([...leaving.keys()]);
    return leaving;
  }

  release(identities: Iterable<bigint>): void {
    for (const identity of identities) {
      this.#numbers.release(identity);
      this.#own.release(identity);
    }
  }

  slotOf(identity: bigint): number | undefined {
    return this.#numbers.numberOf(identity) ?? this.#own.numberOf(identity);
  }

  identityOf(slot: number): bigint | undefined {
    return this.#of(slot).keyOf(slot);
  }

  #of(slot: number): Allocator<bigint> {
    return this.#own.covers(slot) ? this.#own : this.#numbers;
  }

  *#held(): Generator<readonly [bigint, number]> {
    yield* this.#numbers.entries();
    yield* this.#own.entries();
  }

  #write(slots: Iterable<readonly [bigint, number]>): void {
    const fresh = [...slots].filter(([identity, slot]) => this.#rows.get(identity) !== slot);
    if (fresh.length === 0) return;
    this.#table.setAll(fresh);
    for (const [identity, slot] of fresh) this.#rows.set(identity, slot);
  }

  #remove(identities: readonly bigint[]): void {
    const present = identities.filter((identity) => this.#rows.has(identity));
    if (present.length === 0) return;
    this.#table.deleteAll(present);
    for (const identity of present) this.#rows.delete(identity);
  }
}
