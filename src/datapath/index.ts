/** The kernel, as the rest of the program sees it: see ./port.ts for what may be asked. */
import { rmSync } from 'node:fs';
import type { Plan } from '../compile/diff.ts';
import { diff } from '../compile/diff.ts';
import type { TableRows } from '../compile/rows.ts';
import type { PolicyTables } from '../compile/tables.ts';
import { type BpfMap, RingBuffer } from '../libbpf/index.ts';
import type { Endpoint, Frontend } from '../model/endpoint.ts';
import type { Identity } from '../model/identity.ts';
import { Attachments, detachAll } from './attachments.ts';
import { Clock } from './clock.ts';
import { Doors } from './doors.ts';
import { driftOf } from './drift.ts';
import { EarlyListeners } from './early-listeners.ts';
import { Endpoints } from './endpoints.ts';
import { readFlows } from './flows.ts';
import { openGate, openPinnedGate } from './gate/kernel-gate.ts';
import type { Gate } from './gate/port.ts';
import { expedited } from './grace-periods.ts';
import { Hardening } from './hardening/index.ts';
import type { HardeningTables } from './hardening-port.ts';
import { readHostFacts } from './host-facts.ts';
import { Incident, Reason } from './layouts.gen.ts';
import { ownCgroup } from './own-cgroup.ts';
import type { PeerTables } from './peer-port.ts';
import { KernelPeerTables } from './peer-tables.ts';
import { applyMakingRoom, readPolicyTables, roomOf } from './policy-tables.ts';
import type {
  ApplyOptions,
  Between,
  Counter,
  Datapath,
  DatapathOptions,
  Drift,
  EndpointStatus,
  FlowRecord,
  KernelRecord,
  MapFill,
  ProgramStats,
  TakenPackets,
} from './port.ts';
import { loadPrograms, type Programs, removeOldVersions, versionDirectories } from './programs.ts';
import { decodeRecords, type RecordContext } from './records.ts';
import { uncountedOf } from './rule-counters.ts';
import { checkHoldMark, SettingsRow } from './settings.ts';
import { Slots } from './slots.ts';
import { TakenRing } from './taken.ts';

const CGROUP_PROGRAMS = ['cgroup_created', 'cgroup_entered', 'cgroup_removed'] as const;

/**
 * Loads the kernel programs, or takes over what an earlier agent has left in force.
 * @throws BpfError where a required program cannot be loaded
 */
export function openDatapath(options: DatapathOptions): Datapath {
  return new KernelDatapath(options);
}

/** Ends all enforcement that is pinned there. Loads nothing, so that it also works where nothing can be loaded. */
export function removeDatapath(pins: string): void {
  expedited(() => detachAll(pins));
  // Nobody is stopped any more.
  for (const directory of versionDirectories(pins)) openPinnedGate(directory);
  rmSync(pins, { recursive: true, force: true });
}

class KernelDatapath implements Datapath {
  readonly adopted: boolean;
  readonly #options: DatapathOptions;
  readonly #programs: Programs;
  readonly #attachments: Attachments;
  readonly #earlyListeners: EarlyListeners;
  readonly #doors: Doors;
  readonly #endpoints: Endpoints;
  readonly #slots: Slots;
  readonly #settings: SettingsRow;
  readonly #clock = new Clock();
  readonly #peers: KernelPeerTables;
  readonly #hardening: Hardening;
  readonly #gate: Gate;
  readonly #context: RecordContext;
  readonly #ring: RingBuffer;
  readonly #taken: TakenRing;
  readonly #listeners: ((records: readonly KernelRecord[]) => void)[] = [];
  #tables: PolicyTables;
  #cleaned = false;

  constructor(options: DatapathOptions) {
    this.#options = options;
    this.#programs = loadPrograms(options);
    this.adopted = this.#programs.adopted;
    const { tables } = this.#programs;
    this.#slots = new Slots(tables, options.sizes.subjects);
    this.#tables = readPolicyTables(tables);
    this.#settings = new SettingsRow(tables.settings);
    this.#settings.begin(options.events);
    this.#attachments = new Attachments(this.#programs, options.pins);
    this.#earlyListeners = new EarlyListeners(this.#programs);
    this.#doors = new Doors(this.#attachments, options.cgroupRoot, this.#earlyListeners, ownCgroup(options.cgroupRoot));
    this.#endpoints = new Endpoints({
      tables,
      doors: this.#doors,
      burst: options.events.burst,
      slotOf: (identity) => this.#slots.slotOf(identity),
      bumpRevision: () => this.#settings.bumpRevision(),
      onGone: (present) => this.#peers.retainEndpoints(present),
    });
    this.#peers = new KernelPeerTables({
      tables,
      settings: this.#settings,
      clock: this.#clock,
      findReceiver: this.#programs.program('find_receiver'),
      endpointNumber: (id) => this.#endpoints.numberOf(id),
      endpointId: (number) => this.#endpoints.idOf(number),
      slotOf: (identity) => this.#slots.slotOf(identity),
      identityOf: (slot) => this.#slots.identityOf(slot),
    });
    this.#peers.setClock();
    if (options.between === undefined) {
      this.#endpoints.watchmen = { tags: this.#attachments.tagging, guard: this.#settings.now.holdMark !== 0 };
    } else {
      this.setBetween(options.between);
    }
    this.#hardening = new Hardening({
      programs: this.#programs,
      pins: options.pins,
      cgroupRoot: options.cgroupRoot,
      wallClock: (monotonic) => this.#clock.wall(monotonic),
    });
    this.#context = {
      endpointName: (number) => this.#endpoints.nameOf(number),
      containerName: (subject) => this.#hardening.nameOf(subject),
      wallClock: (monotonic) => this.#clock.wall(monotonic),
    };
    this.#ring = new RingBuffer(this.#programs.events, {
      onBatch: (batch) => {
        this.#clock.refresh();
        this.#deliver(decodeRecords(batch, this.#context));
      },
      keepAlive: false,
    });
    this.#taken = new TakenRing(this.#programs.taken, (number) => this.#endpoints.idOf(number));
    this.#attachments.attachGate(CGROUP_PROGRAMS);
    this.#gate = openGate({
      programs: this.#programs,
      attach: (names) => this.#attachments.attachGate(names),
      lsm: this.#hardening.active,
      clock: this.#clock,
    });
  }

  get revision(): number {
    return this.#settings.now.revision;
  }

  get peers(): PeerTables {
    return this.#peers;
  }

  get taken(): TakenPackets {
    return this.#taken;
  }

  get hardening(): HardeningTables {
    return this.#hardening;
  }

  get gate(): Gate {
    return this.#gate;
  }

  get missing(): ReadonlyMap<string, string> {
    return new Map([...this.#programs.missing, ...this.#doors.faults]);
  }

  assignSlots(identities: Iterable<Identity>, here?: ReadonlySet<bigint>): ReadonlyMap<bigint, number> {
    const ids = Array.from(identities, ({ id }) => id);
    return this.#slots.assign(ids, (id) => here === undefined || here.has(id));
  }

  slotOf(identity: bigint): number | undefined {
    return this.#slots.slotOf(identity);
  }

  identityOf(slot: number): bigint | undefined {
    return this.#slots.identityOf(slot);
  }

  async applyEndpoints(
    endpoints: readonly Endpoint[],
    frontends: readonly Frontend[],
    { keepOthers = false, services = [] }: ApplyOptions = {},
  ): Promise<readonly EndpointStatus[]> {
    const interfaces = new Set(endpoints.flatMap((endpoint) => endpoint.interfaces.map(({ ifindex }) => ifindex)));
    const status = this.#endpoints.apply(endpoints, frontends, readHostFacts(interfaces), keepOthers, services);
    // Only when all are known does no program refer to the maps of an older layout any more.
    if (!this.#cleaned && !keepOthers && this.#hardening.settled) {
      removeOldVersions(this.#options.pins);
      this.#cleaned = true;
    }
    return status;
  }

  endpointStatus(): readonly EndpointStatus[] {
    return this.#endpoints.status();
  }

  get room(): TableRows {
    return roomOf(this.#programs.tables);
  }

  currentTables(): PolicyTables {
    return this.#tables;
  }

  setBetween(between: Between): void {
    const guard = between.holdMark !== 0;
    checkHoldMark(between.holdMark);
    // Guards stand before anything is marked, and stay until nothing is any more.
    if (guard) this.#doors.guard(readHostFacts(this.#endpoints.interfaces).uplinks);
    this.#settings.setBetween(between);
    this.#endpoints.watchmen = { tags: between.tags, guard };
  }

  applyPlan(plan: Plan): void {
    const leaving = this.#slots.withdraw((slot) => plan.desired.subjects.has(slot));
    try {
      applyMakingRoom(this.#programs.tables, plan, () => this.#settings.bumpRevision());
      this.#tables = plan.desired;
    } catch (error) {
      // What was written is read back, so that the next plan starts from the truth.
      this.#tables = readPolicyTables(this.#programs.tables);
      throw error;
    }
    if (leaving.size === 0) return;
    this.#peers.forgetSenders(new Set(leaving.values()));
    this.#slots.release(leaving.keys());
  }

  drift(): readonly Drift[] {
    return [...driftOf(diff(readPolicyTables(this.#programs.tables), this.#tables)), ...this.#hardening.drift()];
  }

  flows(): Iterable<FlowRecord> {
    this.#clock.refresh();
    return readFlows(this.#programs.tables.flows, this.revision, this.#context);
  }

  ruleCounters(): ReadonlyMap<number, Counter> {
    return new Map(this.#programs.tables.rule_counters.entries());
  }

  get uncountedRules(): number {
    return uncountedOf(this.#tables.rules.size, this.#programs.tables.rule_counters);
  }

  dropCounters(): ReadonlyMap<number, Counter> {
    const counters = new Map<number, Counter>();
    for (let reason = Reason.None + 1; reason < Reason.Max; reason++) {
      let packets = 0n;
      let bytes = 0n;
      for (const value of this.#programs.tables.drops.get(reason) ?? []) {
        packets += value.packets;
        bytes += value.bytes;
      }
      counters.set(reason, { packets, bytes });
    }
    return counters;
  }

  incidents(): ReadonlyMap<number, bigint> {
    const counters = new Map<number, bigint>();
    for (let incident = 0; incident < Incident.Max; incident++) {
      const perCpu = this.#programs.tables.incidents.get(incident) ?? [];
      counters.set(
        incident,
        perCpu.reduce((sum, value) => sum + value, 0n),
      );
    }
    return counters;
  }

  eventsLost(): bigint {
    return this.incidents().get(Incident.EventLost) ?? 0n;
  }

  mapFill(): readonly MapFill[] {
    const fill: MapFill[] = [];
    const { ranges, ...room } = this.room;
    const shared: Readonly<Record<string, number>> = { ...room, port_ranges: ranges };
    for (const name of [...COUNTED_MAPS, ...(this.#hardening.loaded ? HARDENING_COUNTED : [])]) {
      const map: BpfMap = this.#programs.map(name);
      fill.push({ name, type: map.type, entries: map.count(), maxEntries: shared[name] ?? map.maxEntries });
    }
    return fill;
  }

  programs(): readonly ProgramStats[] {
    const hooks = [...this.#hardening.attached].map(([name, hook]) => [name, [hook]] as const);
    const attachments = new Map<string, readonly string[]>([...this.#attachments.described(), ...hooks]);
    return this.#programs.names.flatMap((name) => {
      const program = this.#programs.program(name);
      if (program === undefined) return [];
      const { id, runCount, runTimeNs } = program.info();
      return [{ name, id, runCount, runTimeNs, attachments: attachments.get(name) ?? [] }];
    });
  }

  observe(on: boolean): void {
    this.#settings.change({ observe: on ? 1 : 0 });
  }

  onRecords(listener: (records: readonly KernelRecord[]) => void): void {
    this.#listeners.push(listener);
  }

  heartbeat(): void {
    this.#settings.change({ heartbeat: process.hrtime.bigint() });
  }

  close(): void {
    this.#ring.close();
    this.#taken.close();
    this.#earlyListeners.close();
    this.#hardening.close();
    this.#programs.close();
  }

  remove(): void {
    this.close();
    removeDatapath(this.#options.pins);
  }

  #deliver(records: readonly KernelRecord[]): void {
    for (const listener of this.#listeners) listener(records);
  }
}

/** Of the tables of hardening, the same. */
const HARDENING_COUNTED = ['hardened', 'anchors', 'violations'] as const;

/** Tables whose fill says something: arrays are always full, and the LRU ones are meant to be. */
const COUNTED_MAPS = [
  'interfaces',
  'containers',
  'addresses',
  'frontends',
  'peers',
  'networks',
  'ports',
  'port_ranges',
  'rule_counters',
  'flows',
  'endpoint_states',
  'identities',
  'verified',
  'claims',
] as const;
