import type { Plan } from './plan.ts';
import type { PolicyTables } from './tables.ts';

export type { ClassPatch, Plan, SetPatch, Step } from './plan.ts';

/** Tables of a kernel that has none yet. */
export const EMPTY_TABLES: PolicyTables = {
  subjects: new Map(),
  sets: new Map(),
  classes: new Map(),
  rules: new Map(),
};

/** What to do to get from the current tables to the desired ones; no steps where they are equal. */
export function diff(_current: PolicyTables, desired: PolicyTables): Plan {
  return { steps: [], desired };
}

/** A plan as `--dry-run` prints it, one line a step, entries below it up to a bound. */
export function formatPlan(_plan: Plan): string {
  return '';
}
