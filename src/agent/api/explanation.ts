import type { RuleReference } from '../../events/event.ts';

/** A policy rule that was looked at, in the order of its rank. */
export interface ConsideredRule extends RuleReference {
  readonly mode: 'Enforce' | 'Stage';
  readonly action: string;
  readonly priority: number;
  readonly decides: boolean;
  /** Why it decides, or why not. */
  readonly why: string;
}

/** What one end says. */
export interface ExplainSide {
  readonly direction: 'egress' | 'ingress';
  /** The end at which it is judged. */
  readonly at: string;
  /** False: nothing is judged there, because it is not on this node or no policy selects it. */
  readonly judged: boolean;
  readonly verdict: string;
  readonly rule?: RuleReference;
  readonly staged?: { readonly verdict: string; readonly rule?: RuleReference };
  readonly why: string;
  readonly considered: readonly ConsideredRule[];
}

/** The answer to "may from reach to on this port, and which rule says so". */
export interface ExplainView {
  readonly from: string;
  readonly to: string;
  readonly protocol: string;
  readonly port: number;
  /** `Deny` when either side denies, else `Alert` when either alerts, else `Allow`. */
  readonly verdict: string;
  readonly sides: readonly ExplainSide[];
}
