import { Slot } from '../model/slot.ts';
import { IdentityIndex } from './identity-index.ts';
import { CompileError, type CompileInput, type KnownIdentity } from './input.ts';
import { PatchedMap } from './patched-map.ts';
import { Roster } from './roster.ts';
import { Selection } from './selection.ts';
import { Shelf } from './shelf.ts';
import { type Closed, type PolicyTables, SET_ELSEWHERE, type Subject } from './tables.ts';

/**
 * Turns policies into decision tables. Keeps what it made before, by content, and works out only what follows from
 * what changed: sets and classes that did not change are the same objects in the next result, which makes diffing
 * cheap too. What the last input did not need any more is forgotten.
 */
export class Compiler {
  readonly #onBuilt: () => void;
  #state = new State();

  /** @param onBuilt called now and then while it works, which may be long */
  constructor(onBuilt: () => void = () => {}) {
    this.#onBuilt = onBuilt;
  }

  /**
   * Ids of the rules of subjects that are denied everything: because they come, with others of the same subjects, to more
   * than tables hold (`size`), or because the sets of one owner are more than his share of the room (`share`).
   */
  closed(why: Closed): readonly number[] {
    return this.#state.closed(why);
  }

  /**
   * @throws CompileError where two policies have one name, or an identity has a reserved slot; nothing has changed
   */
  compile(input: CompileInput): PolicyTables {
    try {
      return this.#state.compile(input, this.#onBuilt);
    } catch (error) {
      // Anything else was not foreseen and may have left half an update: start over next time.
      if (!(error instanceof CompileError)) this.#state = new State();
      throw error;
    }
  }
}

/** One compilation that remembers nothing. */
export function compile(input: CompileInput): PolicyTables {
  return new Compiler().compile(input);
}

/** The sets a slot uses, by their keys on the shelf. */
interface Use {
  readonly egress: string;
  readonly ingress: string;
}

const UNUSED: Use = { egress: '', ingress: '' };

class State {
  readonly #roster = new Roster();
  readonly #index = new IdentityIndex();
  readonly #selection = new Selection(this.#index);
  readonly #shelf = new Shelf(this.#index);
  readonly #uses = new Map<number, Use>();
  /** As in the last input. */
  #here: ReadonlySet<number> | undefined;
  #subjects = new PatchedMap<number, Subject>();
  #tables: PolicyTables | undefined;

  closed(why: Closed): readonly number[] {
    return this.#shelf.closed(why);
  }

  compile(input: CompileInput, onBuilt: () => void): PolicyTables {
    // Both refuse bad input before they change anything, so neither may come after a change of the other.
    assertSlots(input.identities);
    const roster = this.#roster.update(input.policies);
    const identities = this.#index.update(input.identities);
    const moved = [...this.#moved(input)];
    this.#here = input.here;
    const selected = this.#selection.update(roster, identities, { moved, has: (slot) => this.#isHere(slot) });
    const touched = new Set([...selected, ...identities.slots]);
    for (const slot of touched) this.#reassign(slot, input.identities.get(slot));
    this.#shelf.settle(identities, {
      onBuilt,
      owners: () => this.#owners(input.identities),
      ...(input.room === undefined ? {} : { room: input.room }),
    });
    if (touched.size > 0) this.#subjects = this.#updatedSubjects(touched, input.identities);
    const { sets, classes } = this.#shelf;
    const rules = this.#roster.rules;
    const same =
      this.#tables?.sets === sets && this.#tables.rules === rules && this.#tables.subjects === this.#subjects;
    this.#tables = same ? this.#tables : { subjects: this.#subjects, sets, classes, rules };
    return this.#tables ?? { subjects: this.#subjects, sets, classes, rules };
  }

  /** Who has come to be judged here, or no longer is. */
  #moved({ here, identities }: CompileInput): Iterable<number> {
    const before = this.#here;
    if (here === before) return [];
    // Once in a life, if at all.
    if (here === undefined || before === undefined) return identities.keys();
    return [...here, ...before].filter((slot) => here.has(slot) !== before.has(slot));
  }

  #isHere(slot: number): boolean {
    return this.#here?.has(slot) ?? true;
  }

  #reassign(slot: number, identity: KnownIdentity | undefined): void {
    const before = this.#uses.get(slot) ?? UNUSED;
    if (identity === undefined || !this.#isHere(slot)) {
      this.#uses.delete(slot);
    } else {
      const egress = this.#shelf.take(this.#selection.partsOf(slot, 'egress'), undefined, before.egress);
      const ingress = this.#shelf.take(this.#selection.partsOf(slot, 'ingress'), identity.ports, before.ingress);
      this.#uses.set(slot, { egress, ingress });
    }
    this.#shelf.giveBack(before.egress);
    this.#shelf.giveBack(before.ingress);
  }

  /**
   * Whose each set is: of the namespace of those who use it, and of nobody where they are of several. Not that of its policies:
   * ports' names make many sets of one that is for the whole cluster, and whoever names so many is to have them for himself.
   */
  #owners(identities: ReadonlyMap<number, KnownIdentity>): ReadonlyMap<string, string> {
    const owners = new Map<string, string>();
    for (const [slot, { egress, ingress }] of this.#uses) {
      const namespace = identities.get(slot)?.workload.namespace ?? '';
      for (const key of [egress, ingress]) {
        const known = owners.get(key) ?? namespace;
        owners.set(key, known === namespace ? namespace : '');
      }
    }
    return owners;
  }

  #updatedSubjects(
    touched: ReadonlySet<number>,
    identities: ReadonlyMap<number, KnownIdentity>,
  ): PatchedMap<number, Subject> {
    const subjects = this.#subjects.edit();
    for (const slot of touched) {
      const identity = identities.get(slot);
      if (identity === undefined) {
        subjects.delete(slot);
        continue;
      }
      const use = this.#uses.get(slot) ?? UNUSED;
      const idOf = (key: string): bigint => (this.#isHere(slot) ? this.#shelf.idOf(key) : SET_ELSEWHERE);
      const [egress, ingress] = [idOf(use.egress), idOf(use.ingress)];
      const known = subjects.get(slot);
      const same = known?.identity === identity.id && known.egress === egress && known.ingress === ingress;
      if (!same) subjects.set(slot, { slot, identity: identity.id, egress, ingress });
    }
    return subjects.done();
  }
}

function assertSlots(identities: ReadonlyMap<number, KnownIdentity>): void {
  for (const slot of identities.keys()) {
    if (slot < Slot.First) throw new CompileError('RESERVED_SLOT', `slot ${slot} is not for identities`);
  }
}
