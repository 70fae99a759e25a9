/**
 * What the agent tells people. These shapes are the JSON of `event follow -o json`, of the API and of the log;
 * docs/events.md explains each field. Fields are only ever added.
 */

/** One end of a packet's way. */
export interface Party {
  readonly kind: 'workload' | 'host' | 'world' | 'unknown';
  /** `namespace/kind/name` of a workload, else the kind. */
  readonly name: string;
  /** Inside the workload; absent where it is not known which one. */
  readonly container?: string;
  /** 16 hexadecimal digits; workloads only. */
  readonly identity?: string;
  readonly address: string;
  /** 0 where the protocol has none; the destination's is the type for ICMP. */
  readonly port: number;
}

/** The rule that decided. */
export interface RuleReference {
  readonly id: number;
  /** `namespace/policy`, or `policy` for cluster-wide ones; empty where the rule is gone by now. */
  readonly policy: string;
  readonly name: string;
}

/** A packet was judged (`verdict`) or refused for another reason than policy (`drop`). */
export interface TrafficEvent {
  /** Counts up from 1 since the agent started. */
  readonly sequence: number;
  /** RFC 3339, milliseconds. */
  readonly time: string;
  readonly type: 'verdict' | 'drop';
  /** `Allow`, `Deny`, `Alert`. */
  readonly verdict: string;
  /** As the endpoint sees it. */
  readonly direction: 'egress' | 'ingress';
  /** Name of the drop reason; absent where nothing was dropped. */
  readonly reason?: string;
  /** The endpoint it was judged at. */
  readonly endpoint: string;
  readonly protocol: string;
  readonly source: Party;
  readonly destination: Party;
  readonly rule?: RuleReference;
  /** What the staged policies would have said, where that differs. */
  readonly staged?: { readonly verdict: string; readonly rule?: RuleReference };
  readonly bytes: number;
  /** Events of this endpoint that the kernel did not raise since its last one; they are in the counters. */
  readonly suppressed: number;
}

/** The hardening rule that decided. */
export interface HardeningRuleReference extends RuleReference {
  /** Name of the ready rule it stands for. */
  readonly ready?: string;
}

export const VIOLATION_CLASSES = ['file', 'capability', 'operation', 'socket', 'mount', 'network', 'orphan'] as const;
export type ViolationClass = (typeof VIOLATION_CLASSES)[number];

/** A container did, or tried, what a hardening rule is about. */
export interface ViolationEvent {
  readonly sequence: number;
  readonly time: string;
  readonly type: 'violation';
  /** `Deny`: it was refused. */
  readonly verdict: string;
  readonly class: ViolationClass | 'unknown';
  /** What was done: `read`, `SYS_ADMIN`, `ptrace-outside`, `new`, `TCP`, `inet6 raw`. */
  readonly action: string;
  /** What it was done to, where that has a name: a path in the container's own tree, an address and port. */
  readonly object?: string;
  /** `namespace/kind/name`; `unknown` where the container is gone by now. */
  readonly workload: string;
  /** The container's name in its workload. */
  readonly container: string;
  /** The runtime's id of the container. */
  readonly containerId: string;
  /** 16 hexadecimal digits. */
  readonly identity?: string;
  /** Absent where none spoke: a default of a policy, or an orphan. */
  readonly rule?: HardeningRuleReference;
  /** What the staged policies would have said, where that differs. */
  readonly staged?: { readonly verdict: string; readonly rule?: HardeningRuleReference };
  /** Path of what runs, in the container's own tree. */
  readonly executable?: string;
  readonly process: { readonly pid: number; readonly thread: number; readonly user: number };
  /** The process itself first, then its parents. */
  readonly ancestors: readonly { readonly pid: number; readonly name: string }[];
  /** Violations of this rule by this container that the kernel did not tell since its last one; all are counted. */
  readonly suppressed: number;
}

export type Severity = 'info' | 'warning' | 'error';

/** Something happened to the agent or to what it takes care of. */
export interface NoticeEvent {
  readonly sequence: number;
  readonly time: string;
  readonly type: 'endpoint' | 'policy' | 'source' | 'kernel' | 'agent' | 'gate';
  readonly severity: Severity;
  /** One word: `appeared`, `gone`, `applied`, `failed`, … */
  readonly action: string;
  /** Name of what it happened to. */
  readonly subject: string;
  readonly message: string;
}

/** A follower was too slow: this many events are missing here. */
export interface LostEvent {
  readonly type: 'lost';
  readonly time: string;
  readonly count: number;
}

export type Event = TrafficEvent | ViolationEvent | NoticeEvent;

export function isTraffic(event: Event): event is TrafficEvent {
  return event.type === 'verdict' || event.type === 'drop';
}

export function isViolation(event: Event): event is ViolationEvent {
  return event.type === 'violation';
}

/** An allowed packet that was reported only because somebody watches flows. */
export function isObservation(event: Event): boolean {
  return event.type === 'verdict' && event.verdict === 'Allow' && !('staged' in event && event.staged !== undefined);
}
