/** The kinds of documents policy files have, network policies and hardening policies side by side. */
import { HARDENING_SCHEMAS, type HardeningManifest } from './hardening.ts';
import { NETWORK_SCHEMAS, type NetworkManifest } from './policy.ts';

/** By kind. */
export const POLICY_SCHEMAS = { ...NETWORK_SCHEMAS, ...HARDENING_SCHEMAS } as const;

export type PolicyManifest = NetworkManifest | HardeningManifest;
