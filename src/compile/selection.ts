import type { Direction } from '../model/policy.ts';
import type { IdentityChange, IdentityIndex, Watch } from './identity-index.ts';
import type { Member } from './prepared.ts';
import type { RosterChange } from './roster.ts';
import type { CompiledDirection } from './rules.ts';

const DIRECTIONS = ['egress', 'ingress'] as const satisfies readonly Direction[];

interface Selecting {
  readonly watch: Watch;
  slots: readonly number[];
}

/** Whose packets are judged here. */
export interface Here {
  has(slot: number): boolean;
  /** Slots of which that has changed. */
  readonly moved: Iterable<number>;
}

/** Which policies select which slot of those that are judged here, in each direction. */
export class Selection {
  readonly #index: IdentityIndex;
  readonly #members = new Map<Member, Selecting>();
  readonly #parts = {
    egress: new Map<number, Set<CompiledDirection>>(),
    ingress: new Map<number, Set<CompiledDirection>>(),
  };

  constructor(index: IdentityIndex) {
    this.#index = index;
  }

  /** Empty where no policy selects the slot. */
  partsOf(slot: number, direction: Direction): readonly CompiledDirection[] {
    return [...(this.#parts[direction].get(slot) ?? [])];
  }

  /** @returns slots that are now selected by others than before */
  update(roster: RosterChange, identities: IdentityChange, here: Here): ReadonlySet<number> {
    const touched = new Set(here.moved);
    const isHere = (slot: number): boolean => here.has(slot);
    for (const direction of DIRECTIONS) for (const slot of here.moved) this.#parts[direction].delete(slot);
    for (const member of roster.left) {
      const selecting = this.#members.get(member);
      if (selecting === undefined) continue;
      this.#deselect(member, selecting.slots, touched);
      this.#index.unwatch(selecting.watch);
      this.#members.delete(member);
    }
    if (identities.watches.size > 0) {
      for (const [member, selecting] of this.#members) {
        if (!identities.watches.has(selecting.watch)) continue;
        this.#deselect(member, selecting.slots, touched);
        selecting.slots = selecting.watch.slots;
        this.#select(member, selecting.slots.filter(isHere), touched);
      }
    }
    for (const member of roster.joined) {
      const watch = this.#index.watch(member.prepared.subject);
      this.#members.set(member, { watch, slots: watch.slots });
      this.#select(member, watch.slots.filter(isHere), touched);
    }
    const arrived = [...here.moved].filter(isHere);
    for (const [member, { slots }] of arrived.length === 0 ? [] : this.#members) {
      const known = arrived.filter((slot) => slots.includes(slot));
      this.#select(member, known, touched);
    }
    return touched;
  }

  #select({ compiled }: Member, slots: readonly number[], touched: Set<number>): void {
    for (const direction of DIRECTIONS) {
      const part = slots.length === 0 ? undefined : compiled.directionOf(direction);
      if (part === undefined) continue;
      for (const slot of slots) {
        const parts = this.#parts[direction].get(slot);
        if (parts === undefined) this.#parts[direction].set(slot, new Set([part]));
        else parts.add(part);
        touched.add(slot);
      }
    }
  }

  #deselect({ compiled }: Member, slots: readonly number[], touched: Set<number>): void {
    for (const direction of DIRECTIONS) {
      const part = compiled.madeOf(direction);
      if (part === undefined) continue;
      for (const slot of slots) {
        const parts = this.#parts[direction].get(slot);
        parts?.delete(part);
        if (parts?.size === 0) this.#parts[direction].delete(slot);
        touched.add(slot);
      }
    }
  }
}
