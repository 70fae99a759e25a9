import type { EndpointInterface } from '../model/endpoint.ts';
import type { Link, NamespaceView } from './host.ts';
import type { SeenAddress } from './source.ts';

/** How a network namespace is attached to this node. */
export interface Attachment {
  /** `interface`: through interfaces of this node. `cgroup`: otherwise, so only its sockets can be judged. */
  readonly mode: 'interface' | 'cgroup';
  /** Why not `interface`; or, with `interface`, what goes past those interfaces. */
  readonly reason?: string;
  readonly interfaces: readonly EndpointInterface[];
  readonly seen: readonly SeenAddress[];
  readonly gateways: readonly string[];
}

/** More are not read from one namespace; its owner may add as many as it likes. */
const MOST_SEEN = 256;

/**
 * Finds this node's ends of a namespace's veths. Both ends must name each other *and* the node's end must name the
 * namespace: whoever administers a namespace chooses interface numbers in it and in those below it, and could
 * otherwise show a veth that seems to end at another's interface.
 */
export function findAttachment(node: readonly Link[], view: NamespaceView): Attachment {
  const byIndex = new Map(node.map((link) => [link.ifindex, link]));
  const interfaces: EndpointInterface[] = [];
  const ends = new Map<number, number>();
  const passing: Link[] = [];
  for (const link of view.links) {
    if (link.loopback) continue;
    const end = findEnd(byIndex, link, view.netnsid);
    if (end !== undefined) {
      interfaces.push({ ifindex: end.ifindex, name: end.name });
      ends.set(link.ifindex, end.ifindex);
    } else if (leadsOut(link, view)) {
      passing.push(link);
    }
  }
  const passes = passing.map((link) => `${link.name} (${link.kind || 'a device'})`).join(', ');
  if (interfaces.length > 0) {
    const attachment = { mode: 'interface' as const, interfaces, ...addressesOf(view, ends) };
    return passes === '' ? attachment : { ...attachment, reason: `${passes} leads past this node’s interfaces` };
  }
  const outside = new Map(passing.map((link) => [link.ifindex, undefined]));
  return {
    mode: 'cgroup',
    reason: passes === '' ? 'its network namespace has no interface' : `${passes} is no interface of this node`,
    interfaces: [],
    ...addressesOf(view, outside),
  };
}

/** How processes in the node's own namespace are attached: not at all. */
export const ON_THE_NODE: Attachment = {
  mode: 'cgroup',
  reason: 'it uses the node’s own network',
  interfaces: [],
  seen: [],
  gateways: [],
};

/** How a process group is attached whose processes are in several network namespaces. */
export const SCATTERED: Attachment = { ...ON_THE_NODE, reason: 'its processes are in several network namespaces' };

function findEnd(node: ReadonlyMap<number, Link>, link: Link, netnsid: number | undefined): Link | undefined {
  if (link.kind !== 'veth' || link.peerIfindex === undefined || netnsid === undefined) return undefined;
  const end = node.get(link.peerIfindex);
  const mutual = end?.kind === 'veth' && end.peerIfindex === link.ifindex && end.linkNetnsid === netnsid;
  return mutual ? end : undefined;
}

/**
 * Hardware, devices on top of one in another namespace, and veths with addresses whose other end is elsewhere (Swarm's
 * overlay networks have theirs). Tunnels, bridges, dummies and veths without addresses were made inside.
 */
function leadsOut(link: Link, { addresses }: NamespaceView): boolean {
  if (link.kind === '') return true;
  if (link.linkNetnsid === undefined) return false;
  return (
    link.kind !== 'veth' ||
    addresses.some(({ ifindex, address }) => ifindex === link.ifindex && !/^fe80:/i.test(address))
  );
}

/** @param links the interfaces that count, by their index, and the node's end of each */
function addressesOf(
  view: NamespaceView,
  links: ReadonlyMap<number, number | undefined>,
): { seen: SeenAddress[]; gateways: readonly string[] } {
  const names = new Map(view.links.map((link) => [link.ifindex, link.name]));
  const seen = view.addresses
    .filter((address) => links.has(address.ifindex))
    .slice(0, MOST_SEEN)
    .map(({ ifindex, address, prefix }) => {
      const one = { address, prefix, device: names.get(ifindex) ?? '', declared: false };
      const via = links.get(ifindex);
      return via === undefined ? one : { ...one, via };
    });
  return { seen, gateways: view.gateways.slice(0, MOST_SEEN) };
}
