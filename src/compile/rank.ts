import type { Policy, PolicyMode } from '../model/policy.ts';
import { Tier, tierOf } from '../model/tier.ts';
import { ACTION_ORDER, type RuleAction } from '../model/verdict.ts';

/** What no rule matched, `RANK_DEFAULT` in `bpf/api/policy.h`. */
export const RANK_DEFAULT = 0x7ffffffe;

/** What was not asked: no rule, and no default either. `RANK_NONE` in `bpf/api/policy.h`. */
export const RANK_NONE = 0x7fffffff;

/** Most rules of an administrator's policy in one direction: their places are ranked one by one. */
export const MAX_ORDERED_RULES = 128;

/**
 * The order in which rules decide: lower first. 4 bits of tier, 16 of priority, 2 of action, 1 of mode: among equals
 * a staged rule comes after an enforced one, so that it is named only where it makes a difference. Rules of equal
 * rank give the same verdict; the one with the lower id is named as the one that decided.
 */
export function rankOf(priority: number, action: RuleAction, mode: PolicyMode, tier: number = Tier.Workload): number {
  return (tier << 19) | (priority << 3) | (ACTION_ORDER[action] << 1) | (mode === 'Stage' ? 1 : 0);
}

/** The rank of a policy's rule. @param index in its list, which counts where the kind's rules are in order */
export function rankOfRule(
  { kind, priority, mode }: Pick<Policy, 'kind' | 'priority' | 'mode'>,
  action: RuleAction,
  index: number,
): number {
  const tier = tierOf(kind);
  if (tier !== Tier.Admin && tier !== Tier.Baseline) return rankOf(priority, action, mode, tier);
  const place = Math.min(priority * MAX_ORDERED_RULES + index, LAST_PLACE);
  // Of 1,001 priorities with 128 places each some are beyond what one tier has room for.
  return rankOf(place & 0xffff, action, mode, tier + (place >>> 16));
}

/** Two tiers' room. */
const LAST_PLACE = 0x1ffff;

/** Whether a rank is of an administrator's rule, which may pass to those that are not. */
export function isAdminRank(rank: number): boolean {
  return rank < (Tier.Admin + 2) << 19;
}
