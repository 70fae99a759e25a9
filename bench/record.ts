/** What the bench writes: `results/latest.json` is a list of these. */

export const SCENARIOS = [
  'crr',
  'rr',
  'stream1',
  'stream4',
  'udp-pps',
  'tagged-crr',
  'tag-verify',
  'verified-rr',
  'first-datagram',
  'pair-rate',
  'policy-latency',
  'load',
  'memory',
  'start',
  'apply-to-enforced',
  'pod-start',
  'scale',
  'lsm-open',
  'lsm-stat',
  'lsm-exec',
  'lsm-connect',
  'lsm-build',
] as const;
export type ScenarioName = (typeof SCENARIOS)[number];

/** `untagged` is Sallyport on both nodes without tags and handshakes: the other is known by address. */
export const SUBJECTS = ['nothing', 'sallyport', 'untagged', 'iptables', 'nftables', 'nfqueue', 'apparmor'] as const;
export type SubjectName = (typeof SUBJECTS)[number];

export interface BenchRecord {
  readonly scenario: ScenarioName;
  readonly subject: SubjectName;
  /** 0 where the subject has none. */
  readonly rules: number;
  readonly metric: string;
  readonly unit: string;
  /** Median over the rounds. */
  readonly value: number;
  /** Median over the rounds of the value divided by that of "nothing" in the same round; null where there is none. */
  readonly ratio: number | null;
}

/** One number of one round. */
export interface Measurement {
  readonly metric: string;
  readonly unit: string;
  readonly value: number;
}
