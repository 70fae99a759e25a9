/** Address families by the names rules have for them (socket.h, Linux 6.12). */
export const SOCKET_FAMILIES = {
  unix: 1,
  inet: 2,
  ax25: 3,
  ipx: 4,
  appletalk: 5,
  netrom: 6,
  bridge: 7,
  x25: 9,
  inet6: 10,
  rose: 11,
  key: 15,
  netlink: 16,
  packet: 17,
  econet: 19,
  rds: 21,
  irda: 23,
  pppox: 24,
  llc: 26,
  ib: 27,
  mpls: 28,
  can: 29,
  tipc: 30,
  bluetooth: 31,
  iucv: 32,
  rxrpc: 33,
  isdn: 34,
  phonet: 35,
  ieee802154: 36,
  caif: 37,
  alg: 38,
  nfc: 39,
  vsock: 40,
  kcm: 41,
  qipcrtr: 42,
  smc: 43,
  xdp: 44,
  mctp: 45,
} as const;

/** Types of sockets by the names rules have for them (net.h). */
export const SOCKET_TYPES = { stream: 1, dgram: 2, raw: 3, rdm: 4, seqpacket: 5, dccp: 6, packet: 10 } as const;

export type SocketFamilyName = keyof typeof SOCKET_FAMILIES;
export type SocketTypeName = keyof typeof SOCKET_TYPES;

/** `inet6`; undefined for families without a name here. */
export function socketFamilyName(family: number): SocketFamilyName | undefined {
  return nameIn(SOCKET_FAMILIES, family);
}

/** `stream`; undefined for types without a name here. */
export function socketTypeName(type: number): SocketTypeName | undefined {
  return nameIn(SOCKET_TYPES, type);
}

function nameIn<K extends string>(names: Readonly<Record<K, number>>, number: number): K | undefined {
  return (Object.keys(names) as K[]).find((name) => names[name] === number);
}
