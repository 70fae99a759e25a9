import { Compiler } from '../compile/compiler.ts';
import { diff, type Plan } from '../compile/diff.ts';
import type { KnownIdentity } from '../compile/input.ts';
import { changedKeys, PatchedMap } from '../compile/patched-map.ts';
import type { Closed } from '../compile/tables.ts';
import type { Datapath, EndpointStatus } from '../datapath/port.ts';
import { CLOSES_CUT, isCut } from '../model/cut-labels.ts';
import type { Endpoint, Frontend, ServiceAddress } from '../model/endpoint.ts';
import type { HardeningPolicy } from '../model/hardening.ts';
import { formatIdentity } from '../model/identity.ts';
import type { Policy } from '../model/policy.ts';
import type { NodePeers } from '../sources/kubernetes/node-peers.ts';
import { AgentError } from './errors.ts';
import { type Identities, KnownIdentities } from './known-identities.ts';
import { withSubjectsOf } from './untold.ts';

/** What the kernel should enforce. */
export interface Wanted {
  readonly endpoints: readonly Endpoint[];
  readonly frontends: readonly Frontend[];
  /** False while some source has not told all it knows: endpoints that are missing may still be there. */
  readonly complete: boolean;
  /** Another one after the node's own links or addresses changed. */
  readonly hostRevision: number;
  /** Who may talk to whom. */
  readonly policies: readonly Policy[];
  /** What containers may do to this node. */
  readonly hardening: readonly HardeningPolicy[];
  /** What runs on other nodes, as their agents announce it. */
  readonly elsewhere: readonly KnownIdentity[];
  /** What nodes mean as peers. Absent: there is no cluster that has any. */
  readonly nodes?: NodePeers;
  /** Where Services are reached. Absent: nowhere. */
  readonly services?: readonly ServiceAddress[];
}

/** Everything nobody has told us about yet. */
export const NOTHING_WANTED: Wanted = {
  endpoints: [],
  frontends: [],
  complete: false,
  hostRevision: 0,
  policies: [],
  hardening: [],
  elsewhere: [],
};

/** Identities, and the same by slot. */
interface Slotted {
  readonly identities: Identities;
  readonly bySlot: PatchedMap<number, KnownIdentity>;
}

/** Where tables take long to be worked out the kernel's gate must not take us for gone meanwhile, milliseconds. */
const BEAT_MS = 500;

/** What containers may do to this node. */
export interface Hardening {
  /** @throws AgentError KERNEL where some containers are not judged as they should be; the others are */
  apply(wanted: Pick<Wanted, 'endpoints' | 'hardening' | 'complete'>, anew: boolean): Promise<void>;
}

/**
 * Brings the kernel to what is wanted, in an order that leaves no gap:
 *
 * 1. Slots for the identities of the new *and* of the present endpoints.
 * 2. The tables for all of them. What a new endpoint's packets will be judged by, and what others' packets to it
 *    will be judged by, is in the kernel before anything in the kernel knows the endpoint. A packet from it is, until
 *    then, one of an address nobody owns.
 * 3. The profiles of hardened containers. What fails here keeps no packet from being judged.
 * 4. The endpoints: who is who, then the programs at the new doors, then nothing more at the doors of the gone.
 * 5. The tables without the identities that are gone. Not before 4: as long as a program stands at a door, the
 *    subject it asks about must have tables, or it denies all (REASON_NO_TABLE).
 *
 * 3 and 4 are left out where nothing they look at has changed since they last succeeded, which makes a change of
 * policies cheap.
 *
 * A failure leaves what was done; each step alone is consistent, and the next round begins at 1. The one gap left is
 * before us: between a container's first packet and the source's word of it, which is the gate's to close.
 */
export class Enforcement {
  readonly #datapath: Datapath;
  readonly #hardening: Hardening;
  readonly #compiler: Compiler;
  #overloaded: ReadonlyMap<string, Closed> = new Map();
  #applied: Wanted = NOTHING_WANTED;
  /** The endpoints of `#applied` are all as they should be. */
  #attached = false;
  /** Of the applied and of the ones before them that are still in the tables. */
  #identities: Identities = new PatchedMap();
  /** Of them those at whose doors programs of ours stand, or may still stand. */
  #here: ReadonlySet<bigint> = new Set();
  readonly #known = new KnownIdentities();
  /** What was last made, and from what: sources give the same objects while nothing changes. */
  #made: { readonly wanted: Wanted; readonly identities: Identities } = {
    wanted: NOTHING_WANTED,
    identities: new PatchedMap(),
  };
  /** Those last compiled. None can have lost its slot: they are all in the tables. */
  #slotted: Slotted | undefined;

  constructor(datapath: Datapath, hardening: Hardening) {
    this.#datapath = datapath;
    this.#hardening = hardening;
    let beatAt = performance.now();
    this.#compiler = new Compiler(() => {
      if (performance.now() - beatAt < BEAT_MS) return;
      beatAt = performance.now();
      datapath.heartbeat();
    });
  }

  /** What tables and endpoints were last made for, also where some containers could not be enforced. */
  get applied(): Wanted {
    return this.#applied;
  }

  /** Identities known to this node, by id. */
  get identities(): Identities {
    return this.#identities;
  }

  /**
   * @param anew look at every endpoint and identity, also where nothing is known to have changed
   * @throws AgentError KERNEL where endpoints could not be attached; the errors of compiling and of the datapath
   */
  async apply(wanted: Wanted, anew = false): Promise<void> {
    if (anew) this.#slotted = undefined;
    const wantedIdentities = this.#identitiesOf(wanted);
    const present = this.#identities;
    const all = together(present, wantedIdentities);
    const here = judgedHere(wanted.endpoints);
    const judged = new Set([...this.#here, ...here]);
    // Where there are more than slots nothing is kept of them: the next round may have fewer.
    this.#bySlot(all, judged);
    this.#identities = all;
    this.#here = judged;
    this.#applyTables(all, wanted);
    const unhardened = await this.#hardening.apply(wanted, anew).catch((error: unknown) => ({ error }));
    const failed = anew || !this.#attached || differ(wanted, this.#applied) ? await this.#applyEndpoints(wanted) : [];
    const fewer = all.size > wantedIdentities.size || this.#here.size > here.size;
    this.#here = here;
    if (fewer) this.#applyTables(wantedIdentities, wanted);
    this.#identities = wantedIdentities;
    this.#applied = wanted;
    const [first] = failed;
    this.#attached = first === undefined;
    if (first === undefined && unhardened === undefined) return;
    if (first === undefined) throw unhardened?.error;
    const message = `Cannot enforce ${failed.length} endpoints; ${first.id}: ${first.error ?? 'not attached'}`;
    throw new AgentError('KERNEL', message, { hint: 'see "sallyport endpoint list -o wide" and "sallyport doctor"' });
  }

  /** How many identities of elsewhere are nobody here, because there are not so many slots, or too many that rest. */
  get slotless(): number {
    return this.#slotted === undefined ? 0 : this.#slotted.identities.size - this.#slotted.bySlot.size;
  }

  /** The policies in force as they were compiled: with what nodes mean as peers, and what closes whose labels were cut. */
  get meant(): readonly Policy[] {
    return this.#meant(this.#applied.policies, this.#applied);
  }

  /**
   * Policies, by title, whose rules come to more than tables hold, or to more than the share of those whom they select: they
   * are denied everything.
   */
  get overloaded(): ReadonlyMap<string, Closed> {
    return this.#overloaded;
  }

  /** What `apply` with these policies would do to the tables. Changes nothing. */
  preview(policies: readonly Policy[]): Plan {
    const desired = new Compiler().compile({
      policies: this.#meant(policies, this.#applied),
      identities: bySlotOf(this.#identities, this.#here, (id) => this.#datapath.slotOf(id)),
      here: this.#slotsHere(),
      room: this.#datapath.room,
    });
    return diff(this.#datapath.currentTables(), desired);
  }

  /** @returns those that should be enforced and are not */
  async #applyEndpoints({ endpoints, frontends, services = [], complete }: Wanted): Promise<readonly EndpointStatus[]> {
    this.#attached = false;
    const statuses = await this.#datapath.applyEndpoints(endpoints, frontends, { keepOthers: !complete, services });
    const unprotected = new Set(endpoints.filter(({ mode }) => mode === 'unprotected').map(({ id }) => id));
    return statuses.filter(({ id, enforced }) => !enforced && !unprotected.has(id));
  }

  #identitiesOf(wanted: Wanted): Identities {
    const { wanted: former, identities } = this.#made;
    if (former.endpoints === wanted.endpoints && sameItems(former.elsewhere, wanted.elsewhere)) return identities;
    this.#made = { wanted, identities: this.#known.update(wanted.endpoints, wanted.elsewhere) };
    return this.#made.identities;
  }

  #applyTables(identities: Identities, wanted: Wanted): void {
    const policies = this.#meant(wanted.policies, wanted);
    const bySlot = this.#bySlot(identities, this.#here);
    const { room } = this.#datapath;
    const compiled = this.#compiler.compile({ policies, identities: bySlot, here: this.#slotsHere(), room });
    const overloaded = new Map<string, Closed>();
    // Of whoever is both it is told what he can mend by himself.
    for (const why of ['share', 'size'] as const) {
      for (const id of this.#compiler.closed(why)) {
        const policy = compiled.rules.get(id)?.policy;
        if (policy !== undefined) overloaded.set(policy, why);
      }
    }
    this.#overloaded = overloaded;
    const current = this.#datapath.currentTables();
    const plan = diff(current, wanted.complete ? compiled : withSubjectsOf(current, compiled, room));
    // An empty plan is applied too: it is what frees the slots of identities that are gone.
    this.#datapath.applyPlan(plan);
  }

  #meant(policies: readonly Policy[], { nodes }: Pick<Wanted, 'nodes'>): readonly Policy[] {
    const meant = nodes === undefined ? policies : nodes.resolve(policies);
    const identities = [...this.#here].flatMap((id) => this.#identities.get(id) ?? []);
    return identities.some(isCut) ? [...meant, CLOSES_CUT] : meant;
  }

  #slotsHere(): ReadonlySet<number> {
    return new Set([...this.#here].flatMap((id) => this.#datapath.slotOf(id) ?? []));
  }

  /** With the slots they have or get. */
  #bySlot(identities: Identities, here: ReadonlySet<bigint>): ReadonlyMap<number, KnownIdentity> {
    // Who had none elsewhere may run here by now.
    const lacking = this.slotless > 0 && [...here].some((id) => this.#datapath.slotOf(id) === undefined);
    const former = lacking ? undefined : this.#slotted;
    if (former?.identities === identities) return former.bySlot;
    const bySlot =
      (former && this.#amended(former, identities, here)) ?? new PatchedMap(this.#slotsOf(identities, here));
    this.#slotted = { identities, bySlot };
    return bySlot;
  }

  /** The former ones but for the few that differ; undefined where all are to be looked at. */
  #amended(former: Slotted, identities: Identities, here: ReadonlySet<bigint>): Slotted['bySlot'] | undefined {
    const changed = changedKeys(former.identities, identities);
    if (changed === undefined) return undefined;
    const edit = former.bySlot.edit();
    const present = new Map<bigint, KnownIdentity>();
    for (const id of changed) {
      const identity = identities.get(id);
      if (identity !== undefined) {
        present.set(id, identity);
      } else if (former.identities.has(id)) {
        const slot = this.#datapath.slotOf(id);
        if (slot === undefined) return undefined;
        edit.delete(slot);
      }
    }
    for (const [slot, identity] of this.#slotsOf(present, here)) edit.set(slot, identity);
    return edit.done();
  }

  #slotsOf(identities: ReadonlyMap<bigint, KnownIdentity>, here: ReadonlySet<bigint>): Map<number, KnownIdentity> {
    const slots = this.#datapath.assignSlots(identities.values(), here);
    return bySlotOf(identities, here, (id) => slots.get(id));
  }
}

/**
 * Without those of elsewhere that have none: they are nobody's here.
 * @throws AgentError KERNEL where one of here has none
 */
function bySlotOf(
  identities: ReadonlyMap<bigint, KnownIdentity>,
  here: ReadonlySet<bigint>,
  slotOf: (id: bigint) => number | undefined,
): Map<number, KnownIdentity> {
  const bySlot = new Map<number, KnownIdentity>();
  for (const [id, identity] of identities) {
    const slot = slotOf(id);
    if (slot === undefined) {
      if (!here.has(id)) continue;
      throw new AgentError('KERNEL', `No slot is left for identity ${formatIdentity(id)}`, {
        hint: 'raise datapath.sizes.subjects',
      });
    }
    bySlot.set(slot, identity);
  }
  return bySlot;
}

/** The wanted ones, which are the later, and those of the present ones that are not among them. */
function together(present: Identities, wanted: Identities): Identities {
  if (present === wanted) return wanted;
  const all = wanted.edit();
  for (const id of changedKeys(present, wanted) ?? present.keys()) {
    const leaving = wanted.has(id) ? undefined : present.get(id);
    if (leaving !== undefined) all.set(id, leaving);
  }
  return all.done();
}

function sameItems<T>(a: readonly T[], b: readonly T[]): boolean {
  return a === b || (a.length === b.length && a.every((one, i) => one === b[i]));
}

/** Whether the kernel has to hear of endpoints anew. Sources give the same objects while nothing changes. */
function differ(a: Wanted, b: Wanted): boolean {
  const same = a.endpoints === b.endpoints && a.frontends === b.frontends && a.services === b.services;
  return !same || a.complete !== b.complete || a.hostRevision !== b.hostRevision;
}

/** Identities that packets of these endpoints are judged by; all others are peers only. */
function judgedHere(endpoints: readonly Endpoint[]): ReadonlySet<bigint> {
  return new Set(
    endpoints.flatMap(({ identity, containers }) => [identity.id, ...containers.map((one) => one.identity.id)]),
  );
}
