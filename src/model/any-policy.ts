import type { HardeningKind, HardeningPolicy } from './hardening.ts';
import type { Policy, PolicyKind } from './policy.ts';

/** A policy of any kind: who may talk to whom, or what a container may do to its host. */
export type AnyPolicy = Policy | HardeningPolicy;
export type AnyPolicyKind = PolicyKind | HardeningKind;

export function isHardeningKind(kind: AnyPolicyKind): kind is HardeningKind {
  return kind === 'HardeningPolicy' || kind === 'ClusterHardeningPolicy';
}

export function isHardening(policy: AnyPolicy): policy is HardeningPolicy {
  return isHardeningKind(policy.kind);
}
