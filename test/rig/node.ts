/**
 * Topologies: a *node* is a host with endpoints; an *endpoint* is a network namespace of its own behind a veth,
 * with a cgroup of its own, as a container has. `segment.ts` joins nodes.
 */

import { join } from 'node:path';
import { Cgroup } from './cgroup.ts';
import { closeOnExit } from './cleanup.ts';
import { uniqueInterface, uniqueName } from './names.ts';
import { Namespace, Place } from './netns.ts';
import { attemptSync } from './process.ts';
import { borrowSysctls } from './sysctls.ts';

export interface NodeOptions {
  readonly name?: string;
  /**
   * `own` (the default): the host side is a new namespace too. `current`: it is this process's, so that the
   * process can attach programs to the host side of veths itself.
   */
  readonly namespace?: 'own' | 'current';
  /** How endpoints reach the host: each by its own route (the default), or as ports of one bridge. */
  readonly attach?: 'routed' | 'bridged';
}

export interface EndpointOptions {
  /** Address in the node's /16, by default the next free one. */
  readonly ipv4?: string;
  readonly mtu?: number;
}

let nodesMade = 0;

/** Makes a node; `close()` it in the end, which closes its endpoints. */
export async function createNode(options: NodeOptions = {}): Promise<Node> {
  nodesMade += 1;
  const label = options.name ?? `node${nodesMade}`;
  const current = options.namespace === 'current';
  const namespace = current ? Namespace.current() : await Namespace.create(label);
  // Different for processes that test at the same time in the same namespace; never 0, which addresses leave out.
  const number = 1 + ((process.pid * 7 + nodesMade) % 128);
  const node = new Node(label, namespace, options.attach ?? 'routed', number);
  await node.prepare();
  return node;
}

/** A network interface as the kernel knows it. */
export interface Interface {
  readonly name: string;
  readonly ifindex: number;
  readonly mac: string;
}

interface IpLink {
  readonly ifname: string;
  readonly ifindex: number;
  readonly address: string;
}

/** Looks an interface up by name. Throws when there is none. */
export async function findInterface(namespace: Namespace, name: string): Promise<Interface> {
  const links = (await namespace.ipJson(['link', 'show', 'dev', name])) as IpLink[];
  const link = links[0]!;
  return { name: link.ifname, ifindex: link.ifindex, mac: link.address };
}

export class Node {
  readonly name: string;
  readonly namespace: Namespace;
  readonly attach: 'routed' | 'bridged';
  /** Parent of its endpoints' cgroups. */
  readonly cgroup: Cgroup;
  /** Where commands of the host itself run: its namespace, no cgroup. */
  readonly host: Place;
  readonly endpoints = new Map<string, Endpoint>();
  /** Its endpoints' networks. */
  readonly ipv4Network: string;
  readonly ipv6Network: string;
  /** The host's own address toward its endpoints. */
  readonly ipv4: string;
  readonly ipv6: string;
  /** The bridge's name; undefined on routed nodes. */
  readonly bridge: string | undefined;
  readonly close: () => void;
  readonly #number: number;
  #giveBack: () => void = () => {};
  #next = 2;

  constructor(name: string, namespace: Namespace, attach: 'routed' | 'bridged', number: number) {
    this.name = name;
    this.namespace = namespace;
    this.attach = attach;
    this.#number = number;
    this.cgroup = new Cgroup(uniqueName(name));
    this.host = new Place(namespace);
    this.ipv4Network = `10.${64 + number}.0.0/16`;
    this.ipv6Network = `fd5a:11:${number.toString(16)}::/64`;
    this.ipv4 = this.#ipv4(1);
    this.ipv6 = this.#ipv6(1);
    this.bridge = attach === 'bridged' ? uniqueInterface() : undefined;
    this.close = closeOnExit(() => {
      for (const endpoint of this.endpoints.values()) endpoint.close();
      if (this.bridge && namespace.name === undefined) attemptSync(['ip', 'link', 'del', this.bridge]);
      this.cgroup.close();
      namespace.close();
      this.#giveBack();
    });
  }

  #ipv4(n: number): string {
    return `10.${64 + this.#number}.${n >> 8}.${n & 255}`;
  }

  #ipv6(n: number): string {
    return `fd5a:11:${this.#number.toString(16)}::${n.toString(16)}`;
  }

  /** @internal Forwarding, and the bridge. */
  async prepare(): Promise<void> {
    const forwarding = { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 };
    if (this.namespace.name === undefined) this.#giveBack = borrowSysctls(forwarding);
    else await this.namespace.sysctl(forwarding);
    if (!this.bridge) return;
    await this.namespace.ip([
      `link add ${this.bridge} type bridge`,
      `link set ${this.bridge} up`,
      `addr add ${this.ipv4}/16 dev ${this.bridge}`,
      `addr add ${this.ipv6}/64 dev ${this.bridge} nodad`,
    ]);
  }

  /** Adds an endpoint, reachable from the host and from the other endpoints at once. */
  async createEndpoint(name: string, options: EndpointOptions = {}): Promise<Endpoint> {
    if (this.endpoints.has(name)) throw new Error(`rig: node "${this.name}" has an endpoint "${name}" already`);
    const number = this.#next++;
    const ipv4 = options.ipv4 ?? this.#ipv4(number);
    const ipv6 = this.#ipv6(number);
    const outside = uniqueInterface();
    const inside = await Namespace.create(`${this.name}-${name}`);
    const peer = `type veth peer name eth0 netns ${inside.name}`;
    const mtu = options.mtu === undefined ? '' : ` mtu ${options.mtu}`;
    if (this.bridge) {
      await this.namespace.ip([
        `link add ${outside}${mtu} ${peer}${mtu}`,
        `link set ${outside} master ${this.bridge}`,
        `link set ${outside} up`,
      ]);
      await inside.ip([
        'link set eth0 up',
        `addr add ${ipv4}/16 dev eth0`,
        `addr add ${ipv6}/64 dev eth0 nodad`,
        `route add default via ${this.ipv4}`,
        `route add default via ${this.ipv6}`,
      ]);
    } else {
      await this.namespace.ip([
        `link add ${outside}${mtu} ${peer}${mtu}`,
        `link set ${outside} up`,
        `addr add ${this.ipv4}/32 dev ${outside}`,
        `addr add ${this.ipv6}/128 dev ${outside} nodad`,
        `addr add fe80::1/64 dev ${outside} nodad`,
        `route add ${ipv4}/32 dev ${outside} src ${this.ipv4}`,
        `route add ${ipv6}/128 dev ${outside}`,
      ]);
      await inside.ip([
        'link set eth0 up',
        `addr add ${ipv4}/32 dev eth0`,
        `addr add ${ipv6}/128 dev eth0 nodad`,
        `route add ${this.ipv4}/32 dev eth0 scope link`,
        `route add default via ${this.ipv4} dev eth0`,
        'route add default via fe80::1 dev eth0',
      ]);
    }
    const endpoint = new Endpoint(this, name, {
      namespace: inside,
      cgroup: new Cgroup(join(this.cgroup.name, name)),
      ipv4,
      ipv6,
      inside: await findInterface(inside, 'eth0'),
      outside: await findInterface(this.namespace, outside),
    });
    this.endpoints.set(name, endpoint);
    return endpoint;
  }

  /** A process group in the host's own namespace with a cgroup of its own: a host-network container. */
  createHostContainer(name: string): Place {
    return new Place(this.namespace, new Cgroup(join(this.cgroup.name, name)));
  }
}

interface EndpointParts {
  readonly namespace: Namespace;
  readonly cgroup: Cgroup;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly inside: Interface;
  readonly outside: Interface;
}

export class Endpoint extends Place {
  readonly node: Node;
  readonly name: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** `eth0`, as seen inside. */
  readonly inside: Interface;
  /** The host side of its veth. */
  readonly outside: Interface;
  override readonly cgroup: Cgroup;
  readonly close: () => void;

  constructor(node: Node, name: string, parts: EndpointParts) {
    super(parts.namespace, parts.cgroup);
    this.node = node;
    this.name = name;
    this.cgroup = parts.cgroup;
    this.ipv4 = parts.ipv4;
    this.ipv6 = parts.ipv6;
    this.inside = parts.inside;
    this.outside = parts.outside;
    this.close = closeOnExit(() => {
      node.endpoints.delete(name);
      parts.cgroup.close();
      if (node.namespace.name === undefined) attemptSync(['ip', 'link', 'del', parts.outside.name]);
      parts.namespace.close();
    });
  }

  /** Another container in the same namespace, as in a pod: a cgroup beside the endpoint's, below its own. */
  createContainer(name: string): Place {
    return new Place(this.namespace, new Cgroup(join(this.cgroup.name, name)));
  }
}
