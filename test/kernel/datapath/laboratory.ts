/** The kernel programs on made-up packets: a datapath of the test's own, tables from real policies, BPF_PROG_TEST_RUN. */
import { mkdtempSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { Compiler } from '../../../src/compile/compiler.ts';
import { diff, EMPTY_TABLES } from '../../../src/compile/diff.ts';
import type { KnownIdentity } from '../../../src/compile/input.ts';
import type { PolicyTables, RuleInfo } from '../../../src/compile/tables.ts';
import { driftOf } from '../../../src/datapath/drift.ts';
import { readFlows } from '../../../src/datapath/flows.ts';
import {
  type EndpointState,
  Incident,
  InterfaceFlags,
  Reason,
  ReasonName,
  type Settings,
  Slot,
} from '../../../src/datapath/layouts.gen.ts';
import { applyPolicyPlan, readPolicyTables } from '../../../src/datapath/policy-tables.ts';
import type { DatapathSizes, Drift, FlowRecord, KernelRecord } from '../../../src/datapath/port.ts';
import { loadPrograms, type Programs } from '../../../src/datapath/programs.ts';
import { decodeRecords } from '../../../src/datapath/records.ts';
import { mountBpffs, RingBuffer } from '../../../src/libbpf/index.ts';
import { parseAddress } from '../../../src/model/address.ts';
import { deriveIdentity } from '../../../src/model/identity.ts';
import { parsePolicyFile } from '../../../src/model/policy-file.ts';
import { formatProblem } from '../../../src/model/problem.ts';
import { parseWorkload } from '../../../src/model/workload.ts';
import { RememberedTags } from './remembered-tags.ts';

export const SIZES: DatapathSizes = {
  flows: 4096,
  subjects: 1024,
  peers: 4096,
  ports: 4096,
  networks: 4096,
  endpoints: 256,
};
export const OBJECTS = resolve(import.meta.dirname, '../../../dist/bpf');

/** A test run's packets come in at the loopback link. */
export const IFINDEX = 1;
const DROP = 2;
const PASS_ON = 0xffffffff;
const REDIRECT = 7;
/** `struct __sk_buff` up to what a test run may set. */
const SKB_SIZE = 192;
const MARK_OFFSET = 8;
const INGRESS_IFINDEX_OFFSET = 36;

export interface Outcome {
  readonly passed: boolean;
  /** Why it was dropped. */
  readonly reason?: string;
  /** The rule that counted it, as `policy direction name`. */
  readonly rule?: string;
  /** `skb->mark` afterwards, where it is not 0. */
  readonly mark?: number;
  /** What the packet has become, where it is sent back. */
  readonly answer?: Buffer;
}

export interface Inhabitant {
  /** `namespace/kind/name`. */
  readonly workload: string;
  /** None: it runs on another node. */
  readonly addresses: readonly string[];
}

export interface VerifiedEntry {
  readonly remote: string;
  /** The endpoint's own number and slot are the first inhabitant's. */
  readonly opened: 'egress' | 'ingress';
  /** This conversation only. */
  readonly protocol?: number;
  readonly remotePort?: number;
  readonly localPort?: number;
  readonly identity: bigint;
  /** Seconds from now. */
  readonly lifetime?: number;
  readonly flags?: number;
}

/** No tags, no holding, no answers. */
const SETTINGS: Settings = {
  revision: 0,
  observe: 0,
  heartbeat: 0n,
  eventRate: 0,
  eventBurst: 0,
  clockOffset: 0n,
  tagWindow: 0,
  tagEpoch: 0,
  holdMark: 0,
  answerMark: 0,
  holdRate: 0,
  refusal: 0,
  holdOpen: 0,
};

const FRESH: EndpointState = {
  refilled: 0n,
  budget: 1000,
  suppressed: 0,
  deniedPackets: 0n,
  deniedBytes: 0n,
  holdRefilled: 0n,
  holdBudget: 0,
};

/**
 * A node with endpoints. The first one is behind the interface that test packets pass; every inhabitant's slot is
 * 16 + its index, its endpoint number 1 + its index.
 */
export class Laboratory {
  readonly programs: Programs;
  readonly #pins: string;
  readonly #identities = new Map<number, KnownIdentity>();
  readonly #compiler = new Compiler();
  readonly #records: KernelRecord[] = [];
  readonly #ring: RingBuffer;
  readonly #tags: RememberedTags;
  #tables: PolicyTables = EMPTY_TABLES;
  #revision = 0;

  constructor(inhabitants: readonly Inhabitant[]) {
    mountBpffs('/sys/fs/bpf');
    this.#pins = mkdtempSync('/sys/fs/bpf/sallyport-test-');
    const events = { ratePerSecond: 1000, burst: 1000 };
    try {
      this.programs = loadPrograms({ objects: OBJECTS, pins: this.#pins, cgroupRoot: '/', sizes: SIZES, events });
    } catch (error) {
      rmSync(this.#pins, { recursive: true });
      throw error;
    }
    const { tables } = this.programs;
    tables.settings.set(0, { ...SETTINGS, eventRate: 1000, eventBurst: 1000 });
    for (const [index, { workload, addresses }] of inhabitants.entries()) {
      const parsed = parseWorkload(workload);
      if (parsed === undefined) throw new Error(`not a workload: ${workload}`);
      const identity = deriveIdentity('test', { workload: parsed, container: parsed.name, labels: {} });
      const slot = Slot.First + index;
      tables.identities.set(identity.id, slot);
      this.#identities.set(slot, { ...identity, ports: [] });
      tables.endpoint_states.set(index + 1, FRESH);
      for (const address of addresses) this.own(address, { endpoint: index + 1, slot, flags: 0 });
    }
    tables.interfaces.set(IFINDEX, { endpoint: 1, slot: Slot.First, flags: 0, cgroupLevel: 0 });
    this.#tags = new RememberedTags(tables.replays.map, () => Number(this.incident(Incident.TagVerified)));
    this.#ring = new RingBuffer(this.programs.events, {
      onBatch: (batch) => this.#records.push(...decodeRecords(batch, this.#context)),
    });
    this.policy('');
  }

  /** Enforces exactly the policies of these YAML documents. */
  policy(yaml: string): void {
    const { policies, problems } = parsePolicyFile('test.yaml', Buffer.from(yaml));
    if (problems.length > 0) throw new Error(problems.map(formatProblem).join('\n'));
    const desired = this.#compiler.compile({
      policies: policies.map(({ policy }) => policy),
      identities: this.#identities,
    });
    this.enforce(desired);
  }

  enforce(desired: PolicyTables): void {
    applyPolicyPlan(this.programs.tables, diff(this.#tables, desired), () => this.bump());
    this.#tables = desired;
  }

  /** Where the kernel's tables are other than what was last enforced. */
  drift(): readonly Drift[] {
    return driftOf(diff(readPolicyTables(this.programs.tables), this.#tables));
  }

  /** Whose packets the test's are from now on: of this slot, as the endpoint of the same number. */
  become(slot: number): void {
    this.programs.tables.interfaces.set(IFINDEX, { endpoint: slot, slot, flags: 0, cgroupLevel: 0 });
    this.programs.tables.endpoint_states.set(slot, FRESH);
  }

  /** Makes every verdict an event, in the order of the packets. */
  observe(): void {
    const { settings } = this.programs.tables;
    const now = settings.get(0);
    if (now !== undefined) settings.set(0, { ...now, observe: 1, eventRate: 1_000_000, eventBurst: 1_000_000 });
  }

  own(address: string, owner: { endpoint: number; slot: number; flags: number }): void {
    this.programs.tables.addresses.set({ bytes: parse(address) }, owner);
  }

  set(some: Partial<Settings>): void {
    const { settings } = this.programs.tables;
    settings.set(0, { ...(settings.get(0) ?? SETTINGS), ...some });
  }

  /** The identity of the inhabitant of that name. */
  identity(name: string): bigint {
    for (const { id, workload } of this.#identities.values()) if (workload.name === name) return id;
    throw new RangeError(`nobody is called ${name}`);
  }

  /** Every address below is of the domain from now on. `flags`: `DomainFlags`. */
  domain(address: string, length: number, flags: number): void {
    this.programs.tables.domains.set({ prefix: 96 + length, network: { bytes: parse(address) } }, { flags });
  }

  /** What a handshake has brought about. */
  verify(entry: VerifiedEntry): void {
    const now = Number(process.hrtime.bigint() / 1_000_000_000n);
    this.programs.tables.verified.set(verifiedKey(entry), {
      identity: entry.identity,
      expires: now + (entry.lifetime ?? 300),
      used: 0,
      flags: entry.flags ?? 0,
    });
  }

  /** When the entry last decided a packet, in seconds of the monotonic clock. */
  usedAt(entry: Omit<VerifiedEntry, 'identity'>): number | undefined {
    return this.programs.tables.verified.get(verifiedKey(entry))?.used;
  }

  incident(number: number): bigint {
    return (this.programs.tables.incidents.get(number) ?? []).reduce((sum, count) => sum + count, 0n);
  }

  /** Makes the link `ifindex` one that leads out of the node. */
  uplink(ifindex: number): void {
    this.programs.tables.interfaces.set(ifindex, {
      endpoint: 0,
      slot: 0,
      flags: InterfaceFlags.Uplink,
      cgroupLevel: 0,
    });
  }

  /** Forgets all flows, fragments and strangers: what comes next is met for the first time. */
  forget(): void {
    const { flows, fragments, verified, claims } = this.programs.tables;
    flows.deleteAll([...flows.keys()]);
    fragments.deleteAll([...fragments.keys()]);
    verified.deleteAll([...verified.keys()]);
    claims.deleteAll([...claims.keys()]);
    this.#tags.forget();
  }

  bump(): void {
    this.#revision += 1;
    const settings = this.programs.tables.settings.get(0);
    if (settings !== undefined) this.programs.tables.settings.set(0, { ...settings, revision: this.#revision });
  }

  /** What the first inhabitant sends. */
  sends(frame: Buffer): Outcome {
    return this.#run('from_endpoint', frame);
  }

  /** The same with a mark on it, which none can have. */
  sendsMarked(frame: Buffer, mark: number): Outcome {
    return this.#run('from_endpoint', frame, 0, mark);
  }

  /** What reaches the first inhabitant, having come to the node by `ifindex`. */
  receives(frame: Buffer, ifindex = 0, mark = 0): Outcome {
    return this.#run('to_endpoint', frame, ifindex, mark);
  }

  /** What is about to leave the node. */
  leaves(frame: Buffer, mark: number): Outcome {
    return this.#run('to_uplink', frame, 0, mark);
  }

  flows(): FlowRecord[] {
    return [...readFlows(this.programs.tables.flows, this.#revision, this.#context)];
  }

  /** Events raised so far. */
  async records(): Promise<readonly KernelRecord[]> {
    await new Promise((done) => setTimeout(done, 50));
    return this.#records;
  }

  rule(id: number): RuleInfo | undefined {
    return this.#tables.rules.get(id);
  }

  close(): void {
    this.#ring.close();
    this.programs.close();
    rmSync(this.#pins, { recursive: true });
  }

  readonly #context = {
    endpointName: (number: number) => `#${number}`,
    containerName: (number: number) => `#${number}`,
    wallClock: (time: bigint) => Number(time),
  };

  #run(name: string, frame: Buffer, ingressIfindex = 0, mark = 0): Outcome {
    const program = this.programs.program(name);
    if (program === undefined) throw new Error(`no program ${name}`);
    const drops = this.#drops();
    const rules = this.#rules();
    const context = Buffer.alloc(SKB_SIZE);
    context.writeUInt32LE(ingressIfindex, INGRESS_IFINDEX_OFFSET);
    context.writeUInt32LE(mark, MARK_OFFSET);
    const { retval, data, context: after } = program.testRun({ data: frame, context });
    if (retval !== DROP && retval !== PASS_ON && retval !== REDIRECT) throw new Error(`${name} returned ${retval}`);
    const marked = after.readUInt32LE(MARK_OFFSET);
    const counted = [...this.#rules()].find(([id, packets]) => packets !== rules.get(id))?.[0];
    const info = counted === undefined ? undefined : this.#tables.rules.get(counted);
    const reason = [...this.#drops()].find(([id, packets]) => packets !== drops.get(id))?.[0];
    return {
      passed: retval === PASS_ON,
      ...(reason === undefined ? {} : { reason: ReasonName(reason) }),
      ...(info === undefined ? {} : { rule: `${info.policy} ${info.direction} ${info.name}` }),
      ...(marked === 0 || retval === DROP ? {} : { mark: marked }),
      ...(retval === REDIRECT || (retval === PASS_ON && !data.equals(frame)) ? { answer: Buffer.from(data) } : {}),
    };
  }

  #drops(): Map<number, bigint> {
    const counters = new Map<number, bigint>();
    for (let reason = 1; reason < Reason.Max; reason++) {
      const values = this.programs.tables.drops.get(reason) ?? [];
      counters.set(
        reason,
        values.reduce((sum, { packets }) => sum + packets, 0n),
      );
    }
    return counters;
  }

  #rules(): Map<number, bigint> {
    return new Map([...this.programs.tables.rule_counters.entries()].map(([id, { packets }]) => [id, packets]));
  }
}

function verifiedKey({ remote, opened, protocol = 0, remotePort = 0, localPort = 0 }: Omit<VerifiedEntry, 'identity'>) {
  const local = opened === 'egress' ? Slot.First : 0;
  return { endpoint: 1, local, remote: { bytes: parse(remote) }, remotePort, localPort, protocol };
}

function parse(address: string): Uint8Array {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new Error(`not an address: ${address}`);
  return bytes;
}
