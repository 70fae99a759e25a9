/**
 * What Kubernetes' documentation of its policy APIs says, written down over pods and objects as they are there: it
 * knows nothing of our policies, selectors, or addresses. Objects are taken for valid.
 */
import { BlockList, isIPv6 } from 'node:net';
import { type Cluster, isPod, type Labels, type Outsider, type Pod } from './cluster.ts';

export interface LabelSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values?: readonly string[];
  }[];
}

interface NamespacedPeer {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}

interface NamespacedPort {
  readonly protocol?: string;
  readonly port?: number | string;
  readonly endPort?: number;
}

export interface NamespacedPolicy {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly podSelector?: LabelSelector;
    readonly policyTypes?: readonly string[];
    readonly ingress?: readonly {
      readonly from?: readonly NamespacedPeer[];
      readonly ports?: readonly NamespacedPort[];
    }[];
    readonly egress?: readonly {
      readonly to?: readonly NamespacedPeer[];
      readonly ports?: readonly NamespacedPort[];
    }[];
  };
}

interface PodsSelector {
  readonly namespaceSelector: LabelSelector;
  readonly podSelector: LabelSelector;
}

interface AdminPeer {
  readonly namespaces?: LabelSelector;
  readonly pods?: PodsSelector;
  readonly nodes?: LabelSelector;
  readonly networks?: readonly string[];
}

interface AdminPort {
  readonly portNumber?: { readonly protocol: string; readonly port: number };
  readonly portRange?: { readonly protocol?: string; readonly start: number; readonly end: number };
  readonly namedPort?: string;
}

interface AdminRule {
  readonly action: 'Allow' | 'Deny' | 'Pass';
  readonly from?: readonly AdminPeer[];
  readonly to?: readonly AdminPeer[];
  readonly ports?: readonly AdminPort[];
}

export interface AdminPolicy {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly priority?: number;
    readonly subject: { readonly namespaces?: LabelSelector; readonly pods?: PodsSelector };
    readonly ingress?: readonly AdminRule[];
    readonly egress?: readonly AdminRule[];
  };
}

export interface Objects {
  readonly networkPolicies: readonly NamespacedPolicy[];
  readonly adminNetworkPolicies: readonly AdminPolicy[];
  readonly baselineAdminNetworkPolicies: readonly AdminPolicy[];
}

export type Direction = 'ingress' | 'egress';

/** `TCP/80`; ICMP has no port. */
export interface Probe {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP' | 'ICMP';
  readonly port: number;
}

/** Whether the pod's own end lets the packet in or out. */
export function allowsAt(
  cluster: Cluster,
  objects: Objects,
  direction: Direction,
  pod: Pod,
  other: Pod | Outsider,
  probe: Probe,
): boolean {
  const receiver = direction === 'ingress' ? pod : other;
  const judge = (policies: readonly AdminPolicy[]) =>
    firstAction(cluster, policies, direction, pod, other, receiver, probe);
  const admin = judge(objects.adminNetworkPolicies);
  if (admin === 'Allow' || admin === 'Deny') return admin === 'Allow';
  const isolating = objects.networkPolicies.filter((policy) => isolates(policy, direction, pod));
  if (isolating.length > 0) {
    return isolating.some((policy) => allowsSome(cluster, policy, direction, other, receiver, probe));
  }
  return judge(objects.baselineAdminNetworkPolicies) !== 'Deny';
}

/** Both ends of a conversation. */
export function connects(
  cluster: Cluster,
  objects: Objects,
  from: Pod | Outsider,
  to: Pod | Outsider,
  probe: Probe,
): boolean {
  const out = !isPod(from) || allowsAt(cluster, objects, 'egress', from, to, probe);
  const into = !isPod(to) || allowsAt(cluster, objects, 'ingress', to, from, probe);
  return out && into;
}

function isolates({ metadata, spec }: NamespacedPolicy, direction: Direction, pod: Pod): boolean {
  const types =
    spec.policyTypes ?? (spec.egress !== undefined && spec.egress.length > 0 ? ['Ingress', 'Egress'] : ['Ingress']);
  const type = direction === 'ingress' ? 'Ingress' : 'Egress';
  return types.includes(type) && pod.namespace === metadata.namespace && matches(spec.podSelector ?? {}, pod.labels);
}

function allowsSome(
  cluster: Cluster,
  { metadata, spec }: NamespacedPolicy,
  direction: Direction,
  other: Pod | Outsider,
  receiver: Pod | Outsider,
  probe: Probe,
): boolean {
  const rules =
    direction === 'ingress'
      ? (spec.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
      : (spec.egress ?? []).map(({ to, ports }) => ({ peers: to, ports }));
  return rules.some(({ peers = [], ports = [] }) => {
    const peer = peers.length === 0 || peers.some((one) => isPeer(cluster, one, metadata.namespace, other));
    // In egress a pod that is meant by its address has no names for its ports.
    const selected = peers.filter(({ ipBlock }) => ipBlock === undefined);
    const named =
      direction === 'ingress' ||
      peers.length === 0 ||
      selected.some((one) => isPeer(cluster, one, metadata.namespace, other));
    const port =
      ports.length === 0 ||
      ports.some((one) => (named || typeof one.port !== 'string') && isPort(one, receiver, probe));
    return peer && port;
  });
}

function isPeer(cluster: Cluster, peer: NamespacedPeer, own: string, other: Pod | Outsider): boolean {
  if (peer.ipBlock !== undefined) {
    const { cidr, except = [] } = peer.ipBlock;
    return inNetwork(cidr, other.address) && !except.some((hole) => inNetwork(hole, other.address));
  }
  if (!isPod(other)) return false;
  const namespace =
    peer.namespaceSelector === undefined
      ? other.namespace === own
      : matches(peer.namespaceSelector, cluster.namespaces.get(other.namespace) ?? {});
  return namespace && matches(peer.podSelector ?? {}, other.labels);
}

function isPort({ protocol = 'TCP', port, endPort }: NamespacedPort, receiver: Pod | Outsider, probe: Probe): boolean {
  if (protocol !== probe.protocol) return false;
  if (port === undefined) return true;
  if (typeof port === 'string') return hasNamed(receiver, port, probe);
  return port <= probe.port && probe.port <= (endPort ?? port);
}

/** Only a pod names its ports. */
function hasNamed(receiver: Pod | Outsider, name: string, { protocol, port }: Probe): boolean {
  if (!isPod(receiver)) return false;
  return receiver.ports.some((one) => one.name === name && one.protocol === protocol && one.port === port);
}

/** What the first rule that matches says, over all policies whose subject the pod is, in their order. */
function firstAction(
  cluster: Cluster,
  policies: readonly AdminPolicy[],
  direction: Direction,
  pod: Pod,
  other: Pod | Outsider,
  receiver: Pod | Outsider,
  probe: Probe,
): AdminRule['action'] | undefined {
  const sorted = policies.toSorted((a, b) => (a.spec.priority ?? 0) - (b.spec.priority ?? 0));
  for (const { spec } of sorted) {
    const { namespaces, pods } = spec.subject;
    if (!(namespaces !== undefined ? inNamespaces(cluster, namespaces, pod) : isAmong(cluster, pods, pod))) continue;
    for (const { action, from, to, ports } of spec[direction] ?? []) {
      const peers = from ?? to ?? [];
      if (!peers.some((peer) => isAdminPeer(cluster, peer, other))) continue;
      if (ports === undefined || ports.some((port) => isAdminPort(port, receiver, probe))) return action;
    }
  }
  return undefined;
}

function isAdminPeer(cluster: Cluster, peer: AdminPeer, other: Pod | Outsider): boolean {
  if (peer.networks !== undefined) return peer.networks.some((network) => inNetwork(network, other.address));
  const { nodes, namespaces, pods } = peer;
  if (nodes !== undefined) {
    const meant = [...cluster.nodes.values()].filter(({ labels }) => matches(nodes, labels));
    return meant.some(({ addresses }) => addresses.includes(other.address));
  }
  if (!isPod(other)) return false;
  return namespaces !== undefined ? inNamespaces(cluster, namespaces, other) : isAmong(cluster, pods, other);
}

function isAdminPort({ portNumber, portRange, namedPort }: AdminPort, receiver: Pod | Outsider, probe: Probe): boolean {
  if (namedPort !== undefined) return hasNamed(receiver, namedPort, probe);
  if (portNumber !== undefined) return portNumber.protocol === probe.protocol && portNumber.port === probe.port;
  if (portRange === undefined) return false;
  const { protocol = 'TCP', start, end } = portRange;
  return protocol === probe.protocol && start <= probe.port && probe.port <= end;
}

function inNamespaces(cluster: Cluster, selector: LabelSelector, pod: Pod): boolean {
  return matches(selector, cluster.namespaces.get(pod.namespace) ?? {});
}

function isAmong(cluster: Cluster, pods: PodsSelector | undefined, pod: Pod): boolean {
  return (
    pods !== undefined && inNamespaces(cluster, pods.namespaceSelector, pod) && matches(pods.podSelector, pod.labels)
  );
}

export function matches({ matchLabels = {}, matchExpressions = [] }: LabelSelector, labels: Labels): boolean {
  for (const [key, value] of Object.entries(matchLabels)) if (labels[key] !== value) return false;
  for (const { key, operator, values = [] } of matchExpressions) {
    const value = labels[key];
    if (operator === 'Exists' && value === undefined) return false;
    if (operator === 'DoesNotExist' && value !== undefined) return false;
    if (operator === 'In' && (value === undefined || !values.includes(value))) return false;
    if (operator === 'NotIn' && value !== undefined && values.includes(value)) return false;
  }
  return true;
}

/** By the runtime's own matching of networks. */
function inNetwork(cidr: string, address: string): boolean {
  const [base = '', length = ''] = cidr.split('/');
  const family = isIPv6(base) ? 'ipv6' : 'ipv4';
  if (isIPv6(address) !== isIPv6(base)) return false;
  const list = new BlockList();
  list.addSubnet(base, Number(length), family);
  return list.check(address, family);
}
