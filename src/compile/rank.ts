import type { PolicyMode } from '../model/policy.ts';
import { ACTION_ORDER, type Action } from '../model/verdict.ts';

/** What no rule matched, `RANK_DEFAULT` in `bpf/api/policy.h`. */
export const RANK_DEFAULT = 0x7ffffffe;

/** What was not asked: no rule, and no default either. `RANK_NONE` in `bpf/api/policy.h`. */
export const RANK_NONE = 0x7fffffff;

/** Tiers order policies before their priorities do; all policies are in this one so far. 0–15. */
const DEFAULT_TIER = 8;

/**
 * The order in which rules decide: lower first. 4 bits of tier, 16 of priority, 2 of action, 1 of mode: among equals
 * a staged rule comes after an enforced one, so that it is named only where it makes a difference. Rules of equal
 * rank give the same verdict; the one with the lower id is named as the one that decided.
 */
export function rankOf(priority: number, action: Action, mode: PolicyMode, tier: number = DEFAULT_TIER): number {
  return (tier << 19) | (priority << 3) | (ACTION_ORDER[action] << 1) | (mode === 'Stage' ? 1 : 0);
}
