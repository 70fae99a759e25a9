import { createHash } from 'node:crypto';
import { formatNetwork } from './address.ts';
import { type AnyPolicy, isHardening } from './any-policy.ts';
import { fromHardening } from './hardening-manifest.ts';
import {
  API_VERSION,
  type DirectionPolicy,
  isOwnKind,
  type Peer,
  type Policy,
  type PortMatch,
  type Rule,
} from './policy.ts';
import { hasTypes, parseProtocol, protocolName } from './protocol.ts';
import type { PolicyManifest } from './schema/kinds.ts';
import type { NetworkManifest, PeerManifest, PortManifest, RuleManifest } from './schema/policy.ts';
import { DEFAULT_PRIORITY, fromSelector, nonEmpty, toNetwork, toSelector, unvalidated } from './selector-manifest.ts';
import type { Action, RuleAction } from './verdict.ts';

const DEFAULT_ACTION: Action = 'Deny';

/** The network policy a validated document describes, with all that it leaves out filled in. */
export function toPolicy(manifest: NetworkManifest): Policy {
  const { metadata, spec } = manifest;
  const namespace = manifest.kind === 'WorkloadNetworkPolicy' ? manifest.metadata.namespace : '';
  const ingress = toDirection(spec.ingress, spec.defaults?.ingress, namespace);
  const egress = toDirection(spec.egress, spec.defaults?.egress, namespace);
  return {
    kind: manifest.kind,
    namespace,
    name: metadata.name,
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    subject: toSelector(spec.subject, namespace),
    priority: spec.priority ?? DEFAULT_PRIORITY,
    explicitPriority: spec.priority !== undefined,
    mode: spec.mode ?? 'Enforce',
    ...(ingress === undefined ? {} : { ingress }),
    ...(egress === undefined ? {} : { egress }),
  };
}

/**
 * The document of a policy of any kind, everything spelled out but a priority that was not given. Of Kubernetes' own
 * kinds it is what they come to, for reading and comparing: no file can have it.
 */
export function toManifest(policy: AnyPolicy): PolicyManifest {
  return isHardening(policy) ? fromHardening(policy) : fromNetwork(policy);
}

/** `toPolicy` of it is the policy, where its kind is one of ours. */
function fromNetwork(policy: Policy): NetworkManifest {
  const { kind, namespace, name } = policy;
  const metadata = { name, ...nonEmpty('labels', policy.labels), ...nonEmpty('annotations', policy.annotations) };
  const { ingress, egress } = policy;
  const spec = {
    subject: fromSelector(policy.subject),
    ...(policy.explicitPriority ? { priority: policy.priority } : {}),
    mode: policy.mode,
    defaults: {
      ...(ingress === undefined ? {} : { ingress: written(ingress.default) }),
      ...(egress === undefined ? {} : { egress: written(egress.default) }),
    },
    ...(ingress === undefined ? {} : { ingress: ingress.rules.map((rule) => fromRule(rule, 'from')) }),
    ...(egress === undefined ? {} : { egress: egress.rules.map((rule) => fromRule(rule, 'to')) }),
  };
  if (!isOwnKind(kind)) {
    return { apiVersion: API_VERSION, kind, metadata: { ...metadata, namespace }, spec } as unknown as NetworkManifest;
  }
  return kind === 'WorkloadNetworkPolicy'
    ? { apiVersion: API_VERSION, kind, metadata: { ...metadata, namespace }, spec }
    : { apiVersion: API_VERSION, kind, metadata, spec };
}

/** The document as JSON with sorted keys and no spaces: equal for policies that were written differently. */
export function canonicalJson(policy: AnyPolicy): string {
  return JSON.stringify(sorted(toManifest(policy)));
}

/** SHA-256 of the canonical JSON, hexadecimal. */
export function policyHash(policy: AnyPolicy): string {
  return createHash('sha256').update(canonicalJson(policy)).digest('hex');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}

function toDirection(
  rules: readonly RuleManifest[] | undefined,
  written: Action | undefined,
  namespace: string,
): DirectionPolicy | undefined {
  if (rules === undefined && written === undefined) return undefined;
  return { default: written ?? DEFAULT_ACTION, rules: (rules ?? []).map((rule) => toRule(rule, namespace)) };
}

function toRule(rule: RuleManifest, namespace: string): Rule {
  const peers = rule.from ?? rule.to;
  return {
    ...(rule.name === undefined ? {} : { name: rule.name }),
    action: rule.action ?? 'Allow',
    ...(peers === undefined ? {} : { peers: peers.map((peer) => toPeer(peer, namespace)) }),
    ...(rule.ports === undefined ? {} : { ports: rule.ports.map(toPort) }),
  };
}

function fromRule(rule: Rule, side: 'from' | 'to'): RuleManifest {
  return {
    ...(rule.name === undefined ? {} : { name: rule.name }),
    action: written(rule.action),
    ...(rule.peers === undefined ? {} : { [side]: rule.peers.map(fromPeer) }),
    ...(rule.ports === undefined ? {} : { ports: rule.ports.map(fromPort) }),
  };
}

/** `Pass` is in no document of ours. */
function written(action: RuleAction): Action {
  return action as Action;
}

function toPeer(peer: PeerManifest, namespace: string): Peer {
  if (peer.workload !== undefined) {
    return { type: 'workload', selector: toSelector({ ...peer, workload: peer.workload }, namespace) };
  }
  if (peer.cidr !== undefined) {
    return { type: 'network', network: toNetwork(peer.cidr), except: (peer.except ?? []).map(toNetwork) };
  }
  if (peer.entity !== undefined) return { type: 'entity', entity: peer.entity };
  throw unvalidated('peer');
}

function fromPeer(peer: Peer): PeerManifest {
  if (peer.type === 'workload') return fromSelector(peer.selector);
  if (peer.type === 'entity') return { entity: peer.entity };
  const except = peer.except.map(formatNetwork);
  return { cidr: formatNetwork(peer.network), ...(except.length === 0 ? {} : { except }) };
}

function toPort(entry: PortManifest): PortMatch {
  const protocol = parseProtocol(entry.protocol);
  if (protocol === undefined) throw unvalidated('protocol');
  const port = entry.port ?? entry.type;
  return {
    protocol,
    ...(port === undefined ? {} : { port }),
    ...(entry.endPort === undefined ? {} : { endPort: entry.endPort }),
  };
}

function fromPort(match: PortMatch): PortManifest {
  const name = protocolName(match.protocol);
  const protocol = parseProtocol(name) === undefined ? match.protocol : (name as PortManifest['protocol']);
  if (match.port === undefined) return { protocol };
  if (hasTypes(match.protocol)) return { protocol, type: Number(match.port) };
  return { protocol, port: match.port, ...(match.endPort === undefined ? {} : { endPort: match.endPort }) };
}
