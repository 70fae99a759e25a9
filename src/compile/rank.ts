import type { Action } from '../model/verdict.ts';

/** What no rule matched, `RANK_DEFAULT` in `bpf/api/policy.h`. */
export const RANK_DEFAULT = 0x7ffffffe;

/** What was not asked: no rule, and no default either. `RANK_NONE` in `bpf/api/policy.h`. */
export const RANK_NONE = 0x7fffffff;

/** Tiers order policies before their priorities do; all policies are in this one so far. 0–15. */
export const DEFAULT_TIER = 8;

/** At equal priority: deny, then alert, then allow. */
const ACTION_ORDER: Readonly<Record<Action, number>> = { Deny: 0, Alert: 1, Allow: 2 };

/**
 * The order in which rules decide: lower first. 4 bits of tier, 16 of priority, 2 of action. Rules of equal rank
 * give the same verdict; the one with the lower id is named as the one that decided.
 */
export function rankOf(priority: number, action: Action, tier: number = DEFAULT_TIER): number {
  return (tier << 18) | (priority << 2) | ACTION_ORDER[action];
}

/** Negative where `a` comes before `b` by action: deny, alert, allow. */
export function compareActions(a: Action, b: Action): number {
  return ACTION_ORDER[a] - ACTION_ORDER[b];
}
