/** What is between nodes: a switch they are plugged into, routes between their endpoints, and NAT. */

import { closeOnExit } from './cleanup.ts';
import { uniqueInterface } from './names.ts';
import { Namespace } from './netns.ts';
import { findInterface, type Interface, type Node } from './node.ts';

let segmentsMade = 0;

/** A node's plug in a segment. */
export interface Uplink {
  readonly node: Node;
  readonly interface: Interface;
  /** The switch's end of its wire, in the segment's namespace. */
  readonly port: string;
  readonly ipv4: string;
  readonly ipv6: string;
}

/** An Ethernet segment: a switch in a namespace of its own. Endpoints stay closed to it until `routeTo` or NAT. */
export async function createSegment(name = 'segment'): Promise<Segment> {
  segmentsMade += 1;
  const namespace = await Namespace.create(name);
  await namespace.ip(['link add switch type bridge', 'link set switch up']);
  return new Segment(namespace, 1 + (segmentsMade % 200));
}

export class Segment {
  readonly namespace: Namespace;
  readonly ipv4Network: string;
  readonly ipv6Network: string;
  readonly uplinks: Uplink[] = [];
  readonly close: () => void;
  readonly #number: number;

  constructor(namespace: Namespace, number: number) {
    this.namespace = namespace;
    this.#number = number;
    this.ipv4Network = `192.168.${number}.0/24`;
    this.ipv6Network = `fd5a:12:${number.toString(16)}::/64`;
    this.close = closeOnExit(() => namespace.close());
  }

  /** Plugs a node in; it must have a namespace of its own. */
  async connect(node: Node): Promise<Uplink> {
    if (node.namespace.name === undefined) throw new Error('rig: only nodes with their own namespace have uplinks');
    const number = this.uplinks.length + 1;
    const [inside, port] = [uniqueInterface(), uniqueInterface()];
    const ipv4 = `192.168.${this.#number}.${number}`;
    const ipv6 = `fd5a:12:${this.#number.toString(16)}::${number.toString(16)}`;
    await this.namespace.ip([
      `link add ${port} type veth peer name ${inside} netns ${node.namespace.name}`,
      `link set ${port} master switch`,
      `link set ${port} up`,
    ]);
    await node.namespace.ip([
      `link set ${inside} up`,
      `addr add ${ipv4}/24 dev ${inside}`,
      `addr add ${ipv6}/64 dev ${inside} nodad`,
    ]);
    const uplink = { node, interface: await findInterface(node.namespace, inside), port, ipv4, ipv6 };
    this.uplinks.push(uplink);
    return uplink;
  }

  /** Lets every node route to the endpoints of every other. Nodes behind NAT are left out by not connecting them. */
  async routeAll(): Promise<void> {
    for (const from of this.uplinks) {
      for (const to of this.uplinks) if (from !== to) await this.routeTo(from, to);
    }
  }

  /** Lets one node route to the endpoints of another. */
  async routeTo(from: Uplink, to: Uplink): Promise<void> {
    await from.node.namespace.ip([
      `route replace ${to.node.ipv4Network} via ${to.ipv4}`,
      `route replace ${to.node.ipv6Network} via ${to.ipv6}`,
    ]);
  }
}

/** Source NAT: what leaves through `uplink` bears the node's address there, as behind a home or cloud router. */
export async function masquerade(uplink: Uplink): Promise<void> {
  for (const tool of ['iptables-legacy', 'ip6tables-legacy']) {
    await uplink.node.namespace.run([
      ...[tool, '-w', '-t', 'nat', '-A', 'POSTROUTING', '-o', uplink.interface.name, '-j', 'MASQUERADE'],
    ]);
  }
}

/** Destination NAT: connections to the node's own `port` at `uplink` go to an address behind it. */
export async function forwardPort(
  uplink: Uplink,
  port: number,
  to: { readonly ipv4: string; readonly ipv6: string; readonly port: number },
): Promise<void> {
  for (const protocol of ['tcp', 'udp']) {
    for (const [tool, own, target] of [
      ['iptables-legacy', uplink.ipv4, `${to.ipv4}:${to.port}`],
      ['ip6tables-legacy', uplink.ipv6, `[${to.ipv6}]:${to.port}`],
    ] as const) {
      const match = ['-p', protocol, '-d', own, '--dport', String(port)];
      await uplink.node.namespace.run([
        ...[tool, '-w', '-t', 'nat', '-A', 'PREROUTING', ...match, '-j', 'DNAT', '--to-destination', target],
      ]);
    }
  }
}
