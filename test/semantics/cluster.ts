/** A cluster as Kubernetes sees it: namespaces, pods, nodes, and who is outside. */
import type { KnownIdentity } from '../../src/compile/input.ts';
import type { NamedPort } from '../../src/model/endpoint.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import { Slot } from '../../src/model/slot.ts';
import { identityLabels } from '../../src/sources/naming.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Pod {
  /** `namespace/name`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  readonly address: string;
  readonly ports: readonly NamedPort[];
  /** `Kind/name` of its owner; a pod without one owns itself. */
  readonly owner: string;
}

/** Somebody who is no pod: this node, or an address of the world. */
export interface Outsider {
  readonly key: string;
  readonly address: string;
  readonly node: boolean;
}

export interface Node {
  readonly labels: Labels;
  readonly addresses: readonly string[];
}

export class Cluster {
  readonly namespaces = new Map<string, Labels>();
  readonly pods = new Map<string, Pod>();
  readonly outsiders = new Map<string, Outsider>();
  readonly nodes = new Map<string, Node>();
  readonly #slots = new Map<bigint, number>();

  /** Pods and outsiders. */
  get everybody(): readonly (Pod | Outsider)[] {
    return [...this.pods.values(), ...this.outsiders.values()];
  }

  /** As the agent of a node has them: one for all pods that are alike. */
  identities(): ReadonlyMap<number, KnownIdentity> {
    return new Map([...this.pods.values()].map((pod) => [this.slotOf(pod), identityOf(pod)]));
  }

  slotOf(end: Pod | Outsider): number {
    if ('node' in end) return end.node ? Slot.Host : Slot.World;
    const { id } = identityOf(end);
    const slot = this.#slots.get(id) ?? Slot.First + this.#slots.size;
    this.#slots.set(id, slot);
    return slot;
  }
}

function identityOf(pod: Pod): KnownIdentity {
  const [kind = '', name = ''] = pod.owner.split('/');
  const workload = { namespace: pod.namespace, kind, name };
  const identity = deriveIdentity('semantics', { workload, container: '', labels: identityLabels(pod.labels) });
  return { ...identity, ports: pod.ports };
}

export function isPod(end: Pod | Outsider): end is Pod {
  return 'namespace' in end;
}

const PORTS: readonly NamedPort[] = [
  { name: 'serve-80-tcp', protocol: 'TCP', port: 80 },
  { name: 'serve-81-tcp', protocol: 'TCP', port: 81 },
  { name: 'serve-80-udp', protocol: 'UDP', port: 80 },
];

/** Three namespaces with three pods each, somebody on the local network, somebody far away, and the node. */
export function threeByThree(): Cluster {
  const cluster = new Cluster();
  for (const [i, namespace] of ['x', 'y', 'z'].entries()) {
    cluster.namespaces.set(namespace, { ns: namespace });
    for (const [j, name] of ['a', 'b', 'c'].entries()) {
      const key = `${namespace}/${name}`;
      const address = `10.0.${i + 1}.${j + 1}`;
      const pod = { key, namespace, name, labels: { pod: name }, address, ports: PORTS, owner: `Pod/${name}` };
      cluster.pods.set(key, pod);
    }
  }
  cluster.outsiders.set('@node', { key: '@node', address: '192.168.1.10', node: true });
  cluster.outsiders.set('@lan', { key: '@lan', address: '192.168.7.7', node: false });
  cluster.outsiders.set('@far', { key: '@far', address: '203.0.113.5', node: false });
  cluster.nodes.set('node1', { labels: { role: 'worker' }, addresses: ['192.168.1.10'] });
  cluster.nodes.set('node2', { labels: { role: 'edge' }, addresses: ['192.168.7.7'] });
  return cluster;
}
