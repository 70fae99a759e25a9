/** What an automaton may take before its patterns are refused. Counted, not timed: the same on every machine. */
export interface AutomatonLimits {
  /** Places in patterns, shared beginnings counted once. */
  readonly places: number;
  /** States. 24 bytes each while compiling, about 20 in the profile. */
  readonly states: number;
  /** Transitions that are not their state's default. 8 bytes each in the profile. */
  readonly transitions: number;
  /** Places looked at while making states: some ten millions a second. */
  readonly steps: number;
}

export const AUTOMATON_LIMITS: AutomatonLimits = {
  places: 2_000_000,
  states: 1_000_000,
  transitions: 2_000_000,
  steps: 40_000_000,
};
