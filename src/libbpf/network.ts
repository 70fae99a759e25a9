import { closeSync, constants, openSync } from 'node:fs';
import { LITTLE_ENDIAN, viewOf } from './byte-order.ts';
import { argumentError, BpfError } from './errors.ts';
import { Attributes, type NamespaceOptions, type NetlinkMessage, RouteSocket } from './netlink.ts';
import { checkPath } from './resource.ts';

/** include/uapi/linux/rtnetlink.h and if_link.h. */
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const RTM_GETNSID = 90;
const IFLA = { address: 1, name: 3, mtu: 4, link: 5, master: 10, linkInfo: 18, linkNetnsid: 37 } as const;
const IFLA_INFO_KIND = 1;
const IFA = { address: 1, local: 2, flags: 8 } as const;
const RTA = {
  destination: 1,
  outInterface: 4,
  gateway: 5,
  priority: 6,
  preferredSource: 7,
  multipath: 9,
  table: 15,
} as const;
/** include/uapi/linux/net_namespace.h. */
const NETNSA = { id: 1, fd: 3 } as const;
const IFF_UP = 1;
const LINK_HEADER = 16;
const ADDRESS_HEADER = 8;
const ROUTE_HEADER = 12;
const NSID_HEADER = 4;
const AF_INET = 2;
const AF_INET6 = 10;

export type Family = 4 | 6;

/** A network interface. */
export interface NetworkLink {
  readonly ifindex: number;
  readonly name: string;
  /** The driver's kind, `veth` or `bridge`; undefined for physical ones and `lo`. */
  readonly kind: string | undefined;
  /** A veth's other end, a VLAN's parent: an index in the namespace of `linkNetnsid`, or in this one without. */
  readonly peerIfindex: number | undefined;
  /** The id this namespace gives the peer's; undefined when the peer is in this one. */
  readonly linkNetnsid: number | undefined;
  /** The bridge or bond it belongs to. */
  readonly master: number | undefined;
  /** Set up by the administrator. */
  readonly up: boolean;
  /** `02:42:ac:11:00:02`; undefined where it has none. */
  readonly mac: string | undefined;
  /** Bytes. */
  readonly mtu: number;
}

export interface NetworkAddress {
  readonly ifindex: number;
  readonly family: Family;
  /** Canonical text. */
  readonly address: string;
  readonly prefix: number;
  readonly scope: 'global' | 'site' | 'link' | 'host' | `scope ${number}`;
}

export interface NetworkRoute {
  readonly family: Family;
  /** Canonical text; undefined for the default route. */
  readonly destination: string | undefined;
  readonly prefix: number;
  /** Of the first next hop. */
  readonly gateway: string | undefined;
  /** Of the first next hop; undefined for routes that lead nowhere, such as blackholes. */
  readonly ifindex: number | undefined;
  readonly table: number;
  readonly priority: number;
  readonly type:
    | 'unicast'
    | 'local'
    | 'broadcast'
    | 'anycast'
    | 'multicast'
    | 'blackhole'
    | 'unreachable'
    | 'prohibit'
    | `type ${number}`;
  readonly preferredSource: string | undefined;
}

/** All interfaces of a network namespace. Throws `BpfError` NETLINK, or NOT_FOUND when the namespace has gone. */
export function listLinks(options: NamespaceOptions = {}): NetworkLink[] {
  return withSocket(options, dumpLinks);
}

/** All addresses of a network namespace. */
export function listAddresses(options: NamespaceOptions = {}): NetworkAddress[] {
  return withSocket(options, dumpAddresses);
}

/** All routes of a network namespace, of every table. */
export function listRoutes(options: NamespaceOptions = {}): NetworkRoute[] {
  return withSocket(options, dumpRoutes);
}

/** A network namespace's interfaces, addresses and routes, at a third of the cost of asking for each. */
export function listNetwork(options: NamespaceOptions = {}): {
  readonly links: NetworkLink[];
  readonly addresses: NetworkAddress[];
  readonly routes: NetworkRoute[];
} {
  return withSocket(options, (socket) => ({
    links: dumpLinks(socket),
    addresses: dumpAddresses(socket),
    routes: dumpRoutes(socket),
  }));
}

/**
 * The id by which the namespace of `options` knows another one, as in `linkNetnsid`; undefined when it has none,
 * because no link leads there. Throws `BpfError` NETLINK, or NOT_FOUND when a namespace has gone.
 */
export function netnsId(netns: string, options: NamespaceOptions = {}): number | undefined {
  const fd = openNamespace(checkPath(netns, 'a network namespace'));
  try {
    return withSocket(options, (socket) => {
      const request = Buffer.alloc(NSID_HEADER + 8);
      const view = viewOf(request);
      view.setUint16(NSID_HEADER, 8, LITTLE_ENDIAN);
      view.setUint16(NSID_HEADER + 2, NETNSA.fd, LITTLE_ENDIAN);
      view.setUint32(NSID_HEADER + 4, fd, LITTLE_ENDIAN);
      const answer = socket.ask(RTM_GETNSID, request);
      const id = answer && new Attributes(answer.body.subarray(NSID_HEADER)).i32(NETNSA.id);
      // NETNSA_NSID_NOT_ASSIGNED
      return id === -1 ? undefined : id;
    });
  } finally {
    closeSync(fd);
  }
}

function openNamespace(path: string): number {
  try {
    // O_NONBLOCK: the path may turn out to be a FIFO.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const attempted = `open network namespace "${path}"`;
    throw new BpfError('NOT_FOUND', { attempted, reason: error instanceof Error ? error.message : String(error) });
  }
}

function withSocket<T>(options: NamespaceOptions, use: (socket: RouteSocket) => T): T {
  const socket = new RouteSocket(options, 0);
  try {
    return use(socket);
  } finally {
    socket.close();
  }
}

const dumpLinks = (socket: RouteSocket) => dump(socket, RTM_GETLINK, LINK_HEADER, RTM_NEWLINK, decodeLink);
const dumpAddresses = (socket: RouteSocket) => dump(socket, RTM_GETADDR, ADDRESS_HEADER, RTM_NEWADDR, decodeAddress);
const dumpRoutes = (socket: RouteSocket) => dump(socket, RTM_GETROUTE, ROUTE_HEADER, RTM_NEWROUTE, decodeRoute);

function dump<T>(
  socket: RouteSocket,
  request: number,
  headerBytes: number,
  answer: number,
  decode: (body: Buffer) => T | undefined,
): T[] {
  const found: T[] = [];
  for (const message of socket.dump(request, Buffer.alloc(headerBytes))) {
    const value = message.type === answer ? decode(message.body) : undefined;
    if (value !== undefined) found.push(value);
  }
  return found;
}

/** struct ifinfomsg and its attributes; undefined for what is shorter. */
export function decodeLink(body: Buffer): NetworkLink | undefined {
  if (body.length < LINK_HEADER) return undefined;
  const view = viewOf(body);
  const attributes = new Attributes(body.subarray(LINK_HEADER));
  const name = attributes.text(IFLA.name);
  if (name === undefined) return undefined;
  const mac = attributes.bytes(IFLA.address);
  return {
    ifindex: view.getInt32(4, LITTLE_ENDIAN),
    name,
    kind: attributes.nested(IFLA.linkInfo)?.text(IFLA_INFO_KIND),
    peerIfindex: attributes.u32(IFLA.link),
    linkNetnsid: attributes.i32(IFLA.linkNetnsid),
    master: attributes.u32(IFLA.master),
    up: (view.getUint32(8, LITTLE_ENDIAN) & IFF_UP) !== 0,
    mac: mac?.length === 6 ? mac.toString('hex').replace(/..(?!$)/g, '$&:') : undefined,
    mtu: attributes.u32(IFLA.mtu) ?? 0,
  };
}

function familyOf(number: number): Family | undefined {
  return number === AF_INET ? 4 : number === AF_INET6 ? 6 : undefined;
}

const SCOPES: Readonly<Record<number, NetworkAddress['scope']>> = {
  0: 'global',
  200: 'site',
  253: 'link',
  254: 'host',
};

/** struct ifaddrmsg and its attributes; undefined for other families. */
export function decodeAddress(body: Buffer): NetworkAddress | undefined {
  const family = familyOf(body[0] ?? 0);
  if (body.length < ADDRESS_HEADER || family === undefined) return undefined;
  const attributes = new Attributes(body.subarray(ADDRESS_HEADER));
  // On point-to-point interfaces IFA_ADDRESS is the other end's.
  const address = formatAddress(attributes.bytes(IFA.local) ?? attributes.bytes(IFA.address));
  if (address === undefined) return undefined;
  const scope = body[3]!;
  return {
    ifindex: viewOf(body).getUint32(4, LITTLE_ENDIAN),
    family,
    address,
    prefix: body[1]!,
    scope: SCOPES[scope] ?? `scope ${scope}`,
  };
}

const ROUTE_TYPES: Readonly<Record<number, NetworkRoute['type']>> = {
  1: 'unicast',
  2: 'local',
  3: 'broadcast',
  4: 'anycast',
  5: 'multicast',
  6: 'blackhole',
  7: 'unreachable',
  8: 'prohibit',
};

/** struct rtmsg and its attributes; undefined for other families. */
export function decodeRoute(body: Buffer): NetworkRoute | undefined {
  const family = familyOf(body[0] ?? 0);
  if (body.length < ROUTE_HEADER || family === undefined) return undefined;
  const attributes = new Attributes(body.subarray(ROUTE_HEADER));
  const hop = firstHop(attributes.bytes(RTA.multipath));
  const type = body[7]!;
  return {
    family,
    destination: formatAddress(attributes.bytes(RTA.destination)),
    prefix: body[1]!,
    gateway: formatAddress(attributes.bytes(RTA.gateway)) ?? hop?.gateway,
    ifindex: attributes.u32(RTA.outInterface) ?? hop?.ifindex,
    table: attributes.u32(RTA.table) ?? body[4]!,
    priority: attributes.u32(RTA.priority) ?? 0,
    type: ROUTE_TYPES[type] ?? `type ${type}`,
    preferredSource: formatAddress(attributes.bytes(RTA.preferredSource)),
  };
}

/** struct rtnexthop: length, flags, hops, ifindex, attributes. */
function firstHop(hops: Buffer | undefined): { ifindex: number; gateway: string | undefined } | undefined {
  if (hops === undefined || hops.length < 8) return undefined;
  const length = Math.min(viewOf(hops).getUint16(0, LITTLE_ENDIAN), hops.length);
  if (length < 8) return undefined;
  const gateway = formatAddress(new Attributes(hops.subarray(8, length)).bytes(RTA.gateway));
  return { ifindex: viewOf(hops).getInt32(4, LITTLE_ENDIAN), gateway };
}

/** Canonical text (RFC 5952) of 4 or 16 bytes; undefined for anything else. */
export function formatAddress(bytes: Uint8Array | undefined): string | undefined {
  if (bytes?.length === 4) return bytes.join('.');
  if (bytes?.length !== 16) return undefined;
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff)
    return `::ffff:${bytes.slice(12).join('.')}`;
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  const text = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  if (best.start === -1) return text(groups);
  return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`;
}

/** What a watcher is told; `resync`: changes before this one were lost. */
export type NetworkChange =
  | { readonly kind: 'resync' }
  | { readonly kind: 'link'; readonly gone: boolean; readonly link: NetworkLink }
  | { readonly kind: 'address'; readonly gone: boolean; readonly address: NetworkAddress }
  | { readonly kind: 'route'; readonly gone: boolean; readonly route: NetworkRoute };

/** What one message says; undefined for other messages. */
export function decodeChange({ type, body }: NetlinkMessage): NetworkChange | undefined {
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const link = decodeLink(body);
      return link && { kind: 'link', gone: type === RTM_DELLINK, link };
    }
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const address = decodeAddress(body);
      return address && { kind: 'address', gone: type === RTM_DELADDR, address };
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = decodeRoute(body);
      return route && { kind: 'route', gone: type === RTM_DELROUTE, route };
    }
    default:
      return undefined;
  }
}

const GROUPS = { link: 0x1, address: 0x10 | 0x100, route: 0x40 | 0x400 } as const;
export type WatchedKind = keyof typeof GROUPS;

/** The rtnetlink multicast groups of these kinds. */
export function groupsOf(kinds: readonly WatchedKind[]): number {
  let groups = 0;
  for (const kind of kinds) {
    if (!Object.hasOwn(GROUPS, kind))
      throw argumentError(`watch "${String(kind)}"`, 'link, address and route can be watched');
    groups |= GROUPS[kind];
  }
  return groups;
}
