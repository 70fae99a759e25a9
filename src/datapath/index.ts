/** The kernel, as the rest of the program sees it: see ./port.ts for what may be asked. */
import { rmSync } from 'node:fs';
import type { Plan } from '../compile/diff.ts';
import { diff } from '../compile/diff.ts';
import type { PolicyTables } from '../compile/tables.ts';
import { type BpfMap, RingBuffer } from '../libbpf/index.ts';
import type { Endpoint, Frontend } from '../model/endpoint.ts';
import type { Identity } from '../model/identity.ts';
import { Slot } from '../model/slot.ts';
import { Allocator } from './allocator.ts';
import { Attachments, detachAll } from './attachments.ts';
import { wallClock } from './clock.ts';
import { driftOf } from './drift.ts';
import { Endpoints } from './endpoints.ts';
import { readFlows } from './flows.ts';
import { expedited } from './grace-periods.ts';
import { readHostFacts } from './host-facts.ts';
import { Incident, Reason } from './layouts.gen.ts';
import { applyPolicyPlan, readPolicyTables } from './policy-tables.ts';
import type {
  Counter,
  Datapath,
  DatapathOptions,
  Drift,
  EndpointStatus,
  FlowRecord,
  KernelRecord,
  MapFill,
  ProgramStats,
} from './port.ts';
import { loadPrograms, type Programs, removeOldVersions } from './programs.ts';
import { decodeRecords, type RecordContext } from './records.ts';

const SETTINGS = 0;
const GATE_PROGRAMS = ['cgroup_created', 'cgroup_entered', 'cgroup_removed'] as const;

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
  rmSync(pins, { recursive: true, force: true });
}

class KernelDatapath implements Datapath {
  readonly adopted: boolean;
  readonly #options: DatapathOptions;
  readonly #programs: Programs;
  readonly #attachments: Attachments;
  readonly #endpoints: Endpoints;
  readonly #slots: Allocator<bigint>;
  readonly #context: RecordContext;
  readonly #ring: RingBuffer;
  readonly #listeners: ((records: readonly KernelRecord[]) => void)[] = [];
  #tables: PolicyTables;
  #cleaned = false;

  constructor(options: DatapathOptions) {
    this.#options = options;
    this.#programs = loadPrograms(options);
    this.adopted = this.#programs.adopted;
    const { tables } = this.#programs;
    this.#slots = new Allocator<bigint>(Slot.First, options.sizes.subjects);
    for (const [slot, { identity }] of tables.subjects.entries())
      if (identity !== 0n) this.#slots.adopt(identity, slot);
    this.#tables = readPolicyTables(tables);
    this.#writeSettings({});
    this.#attachments = new Attachments(this.#programs, options.pins);
    this.#endpoints = new Endpoints({
      tables,
      attachments: this.#attachments,
      cgroupRoot: options.cgroupRoot,
      burst: options.events.burst,
      slotOf: (identity) => this.#slots.numberOf(identity),
      bumpRevision: () => this.#bumpRevision(),
    });
    this.#context = { endpointName: (number) => this.#endpoints.nameOf(number), wallClock: wallClock() };
    this.#ring = new RingBuffer(this.#programs.events, {
      onBatch: (batch) => this.#deliver(decodeRecords(batch, this.#context)),
      keepAlive: false,
    });
    this.#attachments.attachGate(GATE_PROGRAMS);
  }

  get revision(): number {
    return this.#settings().revision;
  }

  assignSlots(identities: Iterable<Identity>): ReadonlyMap<bigint, number> {
    const assigned = new Map<bigint, number>();
    for (const { id } of identities) {
      const slot = this.#slots.assign(id);
      if (slot !== undefined) assigned.set(id, slot);
    }
    return assigned;
  }

  slotOf(identity: bigint): number | undefined {
    return this.#slots.numberOf(identity);
  }

  identityOf(slot: number): bigint | undefined {
    return this.#slots.keyOf(slot);
  }

  async applyEndpoints(
    endpoints: readonly Endpoint[],
    frontends: readonly Frontend[],
    { keepOthers = false }: { readonly keepOthers?: boolean } = {},
  ): Promise<readonly EndpointStatus[]> {
    const interfaces = new Set(endpoints.flatMap((endpoint) => endpoint.interfaces.map(({ ifindex }) => ifindex)));
    const status = this.#endpoints.apply(endpoints, frontends, readHostFacts(interfaces), keepOthers);
    // Only when all are known does no program refer to the maps of an older layout any more.
    if (!this.#cleaned && !keepOthers) {
      removeOldVersions(this.#options.pins);
      this.#cleaned = true;
    }
    return status;
  }

  endpointStatus(): readonly EndpointStatus[] {
    return this.#endpoints.status();
  }

  currentTables(): PolicyTables {
    return this.#tables;
  }

  applyPlan(plan: Plan): void {
    try {
      applyPolicyPlan(this.#programs.tables, plan, () => this.#bumpRevision());
      this.#tables = plan.desired;
    } catch (error) {
      // What was written is read back, so that the next plan starts from the truth.
      this.#tables = readPolicyTables(this.#programs.tables);
      throw error;
    }
    for (const [identity, slot] of [...this.#slots.entries()]) {
      if (!plan.desired.subjects.has(slot)) this.#slots.release(identity);
    }
  }

  drift(): readonly Drift[] {
    return driftOf(diff(readPolicyTables(this.#programs.tables), this.#tables));
  }

  flows(): Iterable<FlowRecord> {
    return readFlows(this.#programs.tables.flows, this.revision, this.#context);
  }

  ruleCounters(): ReadonlyMap<number, Counter> {
    return new Map(this.#programs.tables.rule_counters.entries());
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
    for (const name of COUNTED_MAPS) {
      const map: BpfMap = this.#programs.map(name);
      fill.push({ name, type: map.type, entries: map.count(), maxEntries: map.maxEntries });
    }
    return fill;
  }

  programs(): readonly ProgramStats[] {
    const attachments = this.#attachments.described();
    return this.#programs.names.flatMap((name) => {
      const program = this.#programs.program(name);
      if (program === undefined) return [];
      const { id, runCount, runTimeNs } = program.info();
      return [{ name, id, runCount, runTimeNs, attachments: attachments.get(name) ?? [] }];
    });
  }

  observe(on: boolean): void {
    this.#writeSettings({ observe: on ? 1 : 0 });
  }

  onRecords(listener: (records: readonly KernelRecord[]) => void): void {
    this.#listeners.push(listener);
  }

  heartbeat(): void {
    this.#writeSettings({ heartbeat: process.hrtime.bigint() });
  }

  close(): void {
    this.#ring.close();
    this.#programs.close();
  }

  remove(): void {
    this.close();
    removeDatapath(this.#options.pins);
  }

  #deliver(records: readonly KernelRecord[]): void {
    for (const listener of this.#listeners) listener(records);
  }

  #settings() {
    const settings = this.#programs.tables.settings.get(SETTINGS);
    if (settings === undefined) throw new RangeError('The settings table has no entry 0');
    return settings;
  }

  #writeSettings(change: { revision?: number; observe?: number; heartbeat?: bigint }): void {
    const { ratePerSecond, burst } = this.#options.events;
    const settings = { ...this.#settings(), eventRate: ratePerSecond, eventBurst: burst, ...change };
    this.#programs.tables.settings.set(SETTINGS, settings);
  }

  #bumpRevision(): void {
    this.#writeSettings({ revision: (this.revision + 1) >>> 0 });
  }
}

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
] as const;
