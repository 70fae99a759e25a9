/** What a rule or a default says. */
export type Action = 'Allow' | 'Deny' | 'Alert';

/** At equal priority, lower decides first: deny, then alert, then allow. */
export const ACTION_ORDER: Readonly<Record<Action, number>> = { Deny: 0, Alert: 1, Allow: 2 };

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

const VERDICT_OF: Readonly<Record<Action, number>> = {
  Allow: Verdict.Allow,
  Deny: Verdict.Deny,
  Alert: Verdict.Alert,
};

/** The verdict an action gives. */
export function verdictOf(action: Action): number {
  return VERDICT_OF[action];
}

/** A verdict as people read it; `verdict 9` for numbers that have no name. */
export function verdictName(verdict: number): string {
  for (const [name, value] of Object.entries(Verdict)) if (value === verdict) return name;
  return `verdict ${verdict}`;
}
