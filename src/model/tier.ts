/** Which policies decide before which others, whatever their priorities. 0–15, lower first. */
import type { PolicyKind } from './policy.ts';

export const Tier = {
  /** AdminNetworkPolicy. It has the next number too: its rules are ranked one by one, and need the room. */
  Admin: 2,
  /** Our own kinds: their rules. */
  Workload: 8,
  /** NetworkPolicy: what it allows. */
  Namespace: 10,
  /** What no rule of the two above matched: their defaults. Nothing later is asked where one of them selects. */
  Default: 11,
  /** BaselineAdminNetworkPolicy. */
  Baseline: 12,
} as const;

const TIER_OF: Readonly<Record<PolicyKind, number>> = {
  WorkloadNetworkPolicy: Tier.Workload,
  ClusterWorkloadNetworkPolicy: Tier.Workload,
  NetworkPolicy: Tier.Namespace,
  AdminNetworkPolicy: Tier.Admin,
  BaselineAdminNetworkPolicy: Tier.Baseline,
};

/** Where the rules of a kind are judged. */
export function tierOf(kind: PolicyKind): number {
  return TIER_OF[kind];
}
