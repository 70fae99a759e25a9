import type { RuleReference } from '../../events/event.ts';

/** A rule or default that matches, in the order in which they decide. */
export interface MatchView extends RuleReference {
  readonly mode: 'Enforce' | 'Stage';
  readonly action: string;
  readonly priority: number;
  readonly decides: boolean;
  readonly decidesStaged: boolean;
}

/** What one end says. */
export interface ExplainSide {
  readonly direction: 'egress' | 'ingress';
  /** The workload at which it is judged. */
  readonly at: string;
  /** False: no policy selects it in this direction, so everything is allowed. */
  readonly selected: boolean;
  readonly verdict: string;
  /** With the staged policies counted in. */
  readonly stagedVerdict: string;
  readonly rule?: RuleReference;
  readonly matches: readonly MatchView[];
  /** What the policies say where the kernel's tables say otherwise: a fault of ours. */
  readonly disagreement?: string;
}

/** The answer to "may from reach to on this port, and which rule says so". */
export interface ExplainView {
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  readonly port: number;
  /** `Deny` when either side denies, else `Alert` when either alerts, else `Allow`. */
  readonly verdict: string;
  readonly stagedVerdict: string;
  /** Absent ends are not on this node. */
  readonly sides: readonly ExplainSide[];
  /** The same for people, several lines. */
  readonly text: string;
}
