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

export type Severity = 'info' | 'warning' | 'error';

/** Something happened to the agent or to what it takes care of. */
export interface NoticeEvent {
  readonly sequence: number;
  readonly time: string;
  readonly type: 'endpoint' | 'policy' | 'source' | 'kernel' | 'agent';
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

export type Event = TrafficEvent | NoticeEvent;

export function isTraffic(event: Event): event is TrafficEvent {
  return event.type === 'verdict' || event.type === 'drop';
}

/** An allowed packet that was reported only because somebody watches flows. */
export function isObservation(event: Event): boolean {
  return event.type === 'verdict' && event.verdict === 'Allow' && !('staged' in event && event.staged !== undefined);
}
