/**
 * What the rest of the program may ask of the kernel. `openDatapath` (./index.ts) returns the real one; there
 * is no other writer to the kernel's tables.
 */
import type { Plan } from '../compile/diff.ts';
import type { TableRows } from '../compile/rows.ts';
import type { PolicyTables } from '../compile/tables.ts';
import type { Endpoint, Frontend, ServiceAddress } from '../model/endpoint.ts';
import type { Identity } from '../model/identity.ts';
import type { Gate, GateRecord } from './gate/port.ts';
import type { HardeningTables, ViolationRecord } from './hardening-port.ts';
import type { ClaimRecord, PeerTables, StrangerRecord } from './peer-port.ts';

/** A packet that was taken from an endpoint of the host's own network, because it has to wait. */
export interface TakenPacket {
  /** Its id. */
  readonly endpoint: string;
  /** From its IP header on; checksums may not be complete. Valid until the listener returns. */
  readonly packet: Buffer;
  /** Bytes of payload of each packet it was to become; 0: it is one. */
  readonly segment: number;
}

/** They have left their sockets, and nobody but the listener has them. */
export interface TakenPackets {
  /** One listener; what comes before there is one is lost. */
  onPackets(listener: (packets: readonly TakenPacket[]) => void): void;
  /** Delivers now what has been taken so far. Does nothing while packets are being delivered. */
  drain(): void;
}

/** A flow as the kernel counts it. Times are milliseconds since the epoch. */
export interface FlowRecord {
  readonly endpoint: string;
  readonly direction: 'egress' | 'ingress';
  readonly protocol: number;
  readonly local: { readonly address: string; readonly port: number; readonly slot: number };
  readonly remote: { readonly address: string; readonly port: number; readonly slot: number };
  readonly verdict: number;
  readonly stagedVerdict: number;
  readonly rule: number;
  readonly stagedRule: number;
  readonly state: 'new' | 'established' | 'closing' | 'closed';
  /** Decided under the policy now in force; false: the next packet is decided anew. */
  readonly current: boolean;
  readonly adopted: boolean;
  /** Opened, and nobody knows yet to whom: no payload passes. */
  readonly pending: boolean;
  /** The remote end's, where a tag or a handshake told it; else its address did. */
  readonly identity?: bigint;
  readonly createdAt: number;
  readonly seenAt: number;
  readonly packets: { readonly egress: bigint; readonly ingress: bigint };
  readonly bytes: { readonly egress: bigint; readonly ingress: bigint };
}

/** What the kernel tells of one judged packet. */
export interface VerdictRecord {
  readonly kind: 'verdict' | 'drop';
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly endpoint: string;
  readonly local: number;
  readonly peer: number;
  readonly rule: number;
  readonly stagedRule: number;
  readonly verdict: number;
  readonly stagedVerdict: number;
  readonly direction: 'egress' | 'ingress';
  readonly reason: number;
  readonly protocol: number;
  readonly source: { readonly address: string; readonly port: number };
  readonly destination: { readonly address: string; readonly port: number };
  readonly bytes: number;
  /** Events of this endpoint that were not raised since the last one; their counts are in the counters. */
  readonly suppressed: number;
}

export interface CgroupRecord {
  readonly kind: 'cgroup';
  readonly time: number;
  readonly cgroup: bigint;
  readonly operation: 'created' | 'entered' | 'removed';
  readonly level: number;
  readonly pid: number;
}

export type KernelRecord = VerdictRecord | CgroupRecord | ClaimRecord | StrangerRecord | ViolationRecord | GateRecord;

export interface Counter {
  readonly packets: bigint;
  readonly bytes: bigint;
}

export interface MapFill {
  readonly name: string;
  readonly type: string;
  readonly entries: number;
  /** There is room for; in decision tables `Datapath.room`. */
  readonly maxEntries: number;
}

export interface ProgramStats {
  readonly name: string;
  readonly id: number;
  /** Where it is attached: `tcx ingress veth1a2b`, `cgroup /system.slice/x`, `tp_btf cgroup_mkdir`. */
  readonly attachments: readonly string[];
  /** Zero unless kernel.bpf_stats_enabled. */
  readonly runCount: bigint;
  readonly runTimeNs: bigint;
}

/** How one endpoint stands in the kernel. */
export interface EndpointStatus {
  readonly id: string;
  readonly number: number;
  /** Programs attached and tables in. */
  readonly enforced: boolean;
  readonly error?: string;
  readonly denied: Counter;
}

/** A difference between what was compiled and what the kernel holds. */
export interface Drift {
  readonly map: string;
  readonly key: string;
  readonly desired?: string;
  readonly actual?: string;
}

/** Beside endpoints and published ports. */
export interface ApplyOptions {
  /** What the kernel has of endpoints that are not listed stays. */
  readonly keepOthers?: boolean;
  readonly services?: readonly ServiceAddress[];
}

export interface Datapath {
  /** True when a former agent's pins were taken over. */
  readonly adopted: boolean;
  readonly revision: number;
  /** Peers of other nodes. What it says of endpoints of an earlier agent it can say after the first `applyEndpoints`. */
  readonly peers: PeerTables;
  readonly taken: TakenPackets;
  /** What containers may do to this node. */
  readonly hardening: HardeningTables;
  /** What keeps new containers waiting until their tables are in. Off until it is configured. */
  readonly gate: Gate;
  /**
   * What is not in force although it was asked for, and why: objects (`tag.bpf.o`), `conntrack`, the uplinks
   * (`interface 7`) by which packets could leave that were to be held, `adopt_listeners` where what has listened on the
   * host network before tags were written for it answers without, and `listeners of ID` where only that endpoint's do.
   */
  readonly missing: ReadonlyMap<string, string>;

  /**
   * Gives each identity its slot, keeping the ones it has. Whose slot is no subject of the plan applied next loses it.
   * @param here who runs here, and has slots where others get none; all of them unless told
   */
  assignSlots(identities: Iterable<Identity>, here?: ReadonlySet<bigint>): ReadonlyMap<bigint, number>;
  slotOf(identity: bigint): number | undefined;
  identityOf(slot: number): bigint | undefined;

  /**
   * Makes the kernel know exactly these endpoints: attaches, fills interface, cgroup and address tables, detaches the
   * gone. With `keepOthers` what it has of endpoints that are not listed stays, programs and rows: after a restart,
   * while a source is away, nobody knows yet whether they are gone.
   */
  applyEndpoints(
    endpoints: readonly Endpoint[],
    frontends: readonly Frontend[],
    options?: ApplyOptions,
  ): Promise<readonly EndpointStatus[]>;
  endpointStatus(): readonly EndpointStatus[];
  /**
   * What is done with packets that go between nodes, from now on. Programs are attached before they are needed, and
   * detached after: at the endpoints and uplinks of the last `applyEndpoints`, and of every later one.
   */
  setBetween(between: Between): void;

  /** Rows that the policy tables may have. What has more can fail, and everybody's changes with it. */
  readonly room: TableRows;
  /** What the policy tables were after the last apply (read from the kernel after adoption). */
  currentTables(): PolicyTables;
  applyPlan(plan: Plan): void;
  /** Compares the kernel's tables with what was applied last. */
  drift(): readonly Drift[];

  flows(): Iterable<FlowRecord>;
  ruleCounters(): ReadonlyMap<number, Counter>;
  /** Rules that are enforced and for which there is no counter. */
  readonly uncountedRules: number;
  /** By drop reason number. */
  dropCounters(): ReadonlyMap<number, Counter>;
  /** What went wrong without changing a verdict, by incident number. */
  incidents(): ReadonlyMap<number, bigint>;
  eventsLost(): bigint;
  mapFill(): readonly MapFill[];
  programs(): readonly ProgramStats[];

  /** Report allowed flows too, while somebody listens. */
  observe(on: boolean): void;
  onRecords(listener: (records: readonly KernelRecord[]) => void): void;
  heartbeat(): void;

  /** Stops listening; leaves everything enforced. */
  close(): void;
  /** Detaches and unpins everything. */
  remove(): void;
}

export interface DatapathOptions {
  /** Directory of the compiled objects (`network.bpf.o`, …). */
  readonly objects: string;
  /** Directory on a bpffs for the pins; created when missing. */
  readonly pins: string;
  readonly cgroupRoot: string;
  readonly sizes: DatapathSizes;
  readonly events: { readonly ratePerSecond: number; readonly burst: number };
  /** Default: as an earlier agent has left it until `setBetween`; else nothing is held and no tags are written. */
  readonly between?: Between;
}

/** What is done with packets that go between nodes. */
export interface Between {
  /** Write tags, once there are keys. */
  readonly tags: boolean;
  /** The bit of `skb->mark` that says "hold"; 0: nothing is held; what an agent speaks for is dropped instead. */
  readonly holdMark: number;
  /** Packets an endpoint may have held in a second. */
  readonly holdRate: number;
  /** What nobody can hold passes. */
  readonly holdOpen: boolean;
  /** What a refused packet is answered with, where its sender is no stranger. */
  readonly refusal: 'silence' | 'reset' | 'icmp';
}

/** Entries; bytes of kernel memory each in the comment. */
export interface DatapathSizes {
  /** ~190 B. */
  readonly flows: number;
  /** 24 B. */
  readonly subjects: number;
  /** ~110 B. */
  readonly peers: number;
  /** ~100 B. */
  readonly ports: number;
  /** ~120 B. */
  readonly networks: number;
  /** ~80 B. */
  readonly endpoints: number;
  /** ~100 B; default 131,072. */
  readonly verified?: number;
  /** Containers that wait to begin. ~300 B; default 4,096. */
  readonly gates?: number;
}
