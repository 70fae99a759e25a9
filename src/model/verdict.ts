/** What a rule or a default says. */
export type Action = 'Allow' | 'Deny' | 'Alert';

/**
 * What a rule of a network policy says. `Pass`, which only administrators' policies can say: the tiers below decide,
 * and no other rule of this one.
 */
export type RuleAction = Action | 'Pass';

/** At equal priority, lower decides first: deny, then alert, then allow. */
export const ACTION_ORDER: Readonly<Record<RuleAction, number>> = { Deny: 0, Alert: 1, Allow: 2, Pass: 3 };

/** `enum verdict` of `bpf/api/types.h`. A test keeps both lists equal. */
export const Verdict = {
  /** No rule spoke. */
  None: 0,
  Allow: 1,
  Deny: 2,
  /** Allow, and report. */
  Alert: 3,
  /** Wait for the handshake. */
  Hold: 4,
} as const;

const VERDICT_OF: Readonly<Record<RuleAction, number>> = {
  Allow: Verdict.Allow,
  Deny: Verdict.Deny,
  Alert: Verdict.Alert,
  Pass: Verdict.None,
};

/** The verdict an action gives. */
export function verdictOf(action: RuleAction): number {
  return VERDICT_OF[action];
}

/** A verdict as people read it; `verdict 9` for numbers that have no name. */
export function verdictName(verdict: number): string {
  for (const [name, value] of Object.entries(Verdict)) if (value === verdict) return name;
  return `verdict ${verdict}`;
}
