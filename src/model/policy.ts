import type { Network } from './address.ts';
import type { WorkloadSelector } from './selector.ts';
import type { RuleAction } from './verdict.ts';

export const API_VERSION = 'sallyport.dev/v1alpha1';

/** Kinds of ours, which files can have. */
export type OwnPolicyKind = 'WorkloadNetworkPolicy' | 'ClusterWorkloadNetworkPolicy';

/** Kinds of Kubernetes, translated from its objects; docs/network-policy.md. */
export type UpstreamPolicyKind = 'NetworkPolicy' | 'AdminNetworkPolicy' | 'BaselineAdminNetworkPolicy';

/** Says the tier too: see `tierOf`. */
export type PolicyKind = OwnPolicyKind | UpstreamPolicyKind;

export type Direction = 'ingress' | 'egress';

/** `Stage` judges and reports, and changes no verdict. */
export type PolicyMode = 'Enforce' | 'Stage';

/** Where a subject's traffic comes from or goes to. */
export type Peer =
  | { readonly type: 'workload'; readonly selector: WorkloadSelector }
  /** Any peer whose address lies in `network` and in none of `except`, endpoints included. */
  | { readonly type: 'network'; readonly network: Network; readonly except: readonly Network[] }
  /** `host`: this node itself. `world`: addresses that belong to nobody we know. */
  | { readonly type: 'entity'; readonly entity: 'world' | 'host' };

/** Which packets a rule is about, by protocol and destination port. */
export interface PortMatch {
  /** IP protocol number. */
  readonly protocol: number;
  /**
   * Destination port, or ICMP type; a name is looked up on the workload that receives the packet: the subject for
   * ingress, the peer for egress. Absent: every packet of the protocol.
   */
  readonly port?: number | string;
  /** Last port of a range that starts at `port`. */
  readonly endPort?: number;
}

export interface Rule {
  /** Unique in its list; not a number and not `default`. Absent: known by its index. */
  readonly name?: string;
  readonly action: RuleAction;
  /** Absent: any peer at all. Never empty. */
  readonly peers?: readonly Peer[];
  /** Absent: any protocol and port. Never empty. */
  readonly ports?: readonly PortMatch[];
}

/** What a policy says about one direction of its subjects' traffic. */
export interface DirectionPolicy {
  /** For what no rule of any policy matched. `Pass`: the policy says nothing of that. */
  readonly default: RuleAction;
  /** Where the kind has no priorities among rules, their order means nothing; administrators' are in order. */
  readonly rules: readonly Rule[];
}

/** A validated policy, as `parsePolicyFile` and `toPolicy` make it. */
export interface Policy {
  readonly kind: PolicyKind;
  /** Empty for cluster-wide policies. */
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly subject: WorkloadSelector;
  /** 0–65535; lower is judged first. */
  readonly priority: number;
  /** False where the priority is the default one. */
  readonly explicitPriority: boolean;
  readonly mode: PolicyMode;
  /** Absent: the policy does not select this direction. */
  readonly ingress?: DirectionPolicy;
  readonly egress?: DirectionPolicy;
}

/** What a policy of any kind is known by. */
export interface PolicyId {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** `namespace/name`, or `name` for cluster-wide policies. Unique only within a kind. */
export function policyName(policy: Pick<PolicyId, 'namespace' | 'name'>): string {
  return policy.namespace === '' ? policy.name : `${policy.namespace}/${policy.name}`;
}

/** `kind namespace/name`: what no two policies share. */
export function policyKey(policy: PolicyId): string {
  return `${policy.kind} ${policyName(policy)}`;
}

export function isOwnKind(kind: string): kind is OwnPolicyKind {
  return kind === 'WorkloadNetworkPolicy' || kind === 'ClusterWorkloadNetworkPolicy';
}

/** As rules and events name it: `namespace/name`, before which Kubernetes' own kinds are written out. */
export function policyTitle(policy: PolicyId): string {
  return isOwnKind(policy.kind) ? policyName(policy) : policyKey(policy);
}

/** A rule as people name it inside its list: its name, or its index. */
export function ruleName(rule: { readonly name?: string | undefined }, index: number): string {
  return rule.name ?? String(index);
}
