/**
 * Packets from their parts, for test runs of BPF programs and for raw sockets. Everything is computed (lengths,
 * checksums, header chains) and everything can be overridden, so that broken packets are as easy as right ones.
 *
 * ```ts
 * ethernet({}, ipv4({ source: '10.0.0.2', destination: '10.0.0.3' }, tcp({ destinationPort: 80, flags: ['SYN'] })))
 * ```
 */

import { addressBytes, checksum, macBytes } from './wire.ts';

export const EtherType = { IPv4: 0x0800, ARP: 0x0806, VLAN: 0x8100, QinQ: 0x88a8, IPv6: 0x86dd } as const;
export const Protocol = {
  HopByHop: 0,
  ICMP: 1,
  IGMP: 2,
  TCP: 6,
  UDP: 17,
  Routing: 43,
  Fragment: 44,
  ESP: 50,
  AH: 51,
  ICMPv6: 58,
  NoNext: 59,
  Destination: 60,
  SCTP: 132,
} as const;

/** What the checksum of a transport header covers besides it: bytes of both addresses. */
export interface Pseudo {
  readonly source: Buffer;
  readonly destination: Buffer;
}

/** Something an IP header can carry. */
export interface Transport {
  readonly protocol: number;
  encode(pseudo: Pseudo): Buffer;
}

/** Something an Ethernet or VLAN header can carry. */
export interface Frame {
  readonly etherType: number;
  readonly bytes: Buffer;
}

export function hex(bytes: Buffer): string {
  return bytes.toString('hex');
}

/** Bytes under any protocol number. */
export function raw(protocol: number, bytes: Buffer): Transport {
  return { protocol, encode: () => bytes };
}

// --- links

export interface EthernetFields {
  readonly source?: string;
  readonly destination?: string;
  readonly etherType?: number;
}

export function ethernet(fields: EthernetFields, payload: Frame): Buffer {
  const header = Buffer.alloc(14);
  macBytes(fields.destination ?? '02:00:00:00:00:02').copy(header, 0);
  macBytes(fields.source ?? '02:00:00:00:00:01').copy(header, 6);
  header.writeUInt16BE(fields.etherType ?? payload.etherType, 12);
  return Buffer.concat([header, payload.bytes]);
}

/** A VLAN tag in front of `payload`, itself a frame. */
export function vlan(fields: { readonly id: number; readonly type?: number }, payload: Frame): Frame {
  const tag = Buffer.alloc(4);
  tag.writeUInt16BE(fields.id, 0);
  tag.writeUInt16BE(payload.etherType, 2);
  return { etherType: fields.type ?? EtherType.VLAN, bytes: Buffer.concat([tag, payload.bytes]) };
}

export interface ArpFields {
  readonly operation?: 'request' | 'reply';
  readonly senderMac?: string;
  readonly sender: string;
  readonly targetMac?: string;
  readonly target: string;
}

export function arp(fields: ArpFields): Frame {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16BE(1, 0);
  bytes.writeUInt16BE(EtherType.IPv4, 2);
  bytes[4] = 6;
  bytes[5] = 4;
  bytes.writeUInt16BE(fields.operation === 'reply' ? 2 : 1, 6);
  macBytes(fields.senderMac ?? '02:00:00:00:00:01').copy(bytes, 8);
  addressBytes(fields.sender).copy(bytes, 14);
  macBytes(fields.targetMac ?? '00:00:00:00:00:00').copy(bytes, 18);
  addressBytes(fields.target).copy(bytes, 24);
  return { etherType: EtherType.ARP, bytes };
}

// --- IP

export interface Ipv4Fields {
  readonly source: string;
  readonly destination: string;
  readonly ttl?: number;
  readonly tos?: number;
  readonly id?: number;
  readonly dontFragment?: boolean;
  readonly moreFragments?: boolean;
  /** In units of 8 bytes, as in the header. */
  readonly fragmentOffset?: number;
  /** Padded to 4 bytes. */
  readonly options?: Buffer;
  // For broken packets:
  readonly version?: number;
  /** In units of 4 bytes. */
  readonly headerLength?: number;
  readonly totalLength?: number;
  readonly checksum?: number;
  readonly protocol?: number;
}

export function ipv4(fields: Ipv4Fields, payload: Transport): Frame {
  const source = addressBytes(fields.source);
  const destination = addressBytes(fields.destination);
  const options = pad(fields.options ?? Buffer.alloc(0), 4);
  const body = payload.encode({ source, destination });
  const header = Buffer.alloc(20 + options.length);
  header[0] = ((fields.version ?? 4) << 4) | (fields.headerLength ?? header.length / 4);
  header[1] = fields.tos ?? 0;
  header.writeUInt16BE(fields.totalLength ?? header.length + body.length, 2);
  header.writeUInt16BE(fields.id ?? 0, 4);
  const flags = (fields.dontFragment ? 0x4000 : 0) | (fields.moreFragments ? 0x2000 : 0);
  header.writeUInt16BE(flags | (fields.fragmentOffset ?? 0), 6);
  header[8] = fields.ttl ?? 64;
  header[9] = fields.protocol ?? payload.protocol;
  source.copy(header, 12);
  destination.copy(header, 16);
  options.copy(header, 20);
  header.writeUInt16BE(fields.checksum ?? checksum(header), 10);
  return { etherType: EtherType.IPv4, bytes: Buffer.concat([header, body]) };
}

export interface Extension {
  readonly header: number;
  /** What follows the next-header byte. */
  readonly rest: Buffer;
}

export interface Ipv6Fields {
  readonly source: string;
  readonly destination: string;
  readonly hopLimit?: number;
  readonly trafficClass?: number;
  readonly flowLabel?: number;
  /** In order, before the transport header. */
  readonly extensions?: readonly Extension[];
  // For broken packets:
  readonly version?: number;
  readonly payloadLength?: number;
  readonly nextHeader?: number;
}

export function ipv6(fields: Ipv6Fields, payload: Transport): Frame {
  const source = addressBytes(fields.source);
  const destination = addressBytes(fields.destination);
  let next: number = payload.protocol;
  let body = payload.encode({ source, destination });
  for (const extension of [...(fields.extensions ?? [])].reverse()) {
    body = Buffer.concat([Buffer.from([next]), extension.rest, body]);
    next = extension.header;
  }
  const header = Buffer.alloc(40);
  const first = (fields.version ?? 6) * 0x10000000 + ((fields.trafficClass ?? 0) << 20) + (fields.flowLabel ?? 0);
  header.writeUInt32BE(first, 0);
  header.writeUInt16BE(fields.payloadLength ?? body.length, 4);
  header[6] = fields.nextHeader ?? next;
  header[7] = fields.hopLimit ?? 64;
  source.copy(header, 8);
  destination.copy(header, 24);
  return { etherType: EtherType.IPv6, bytes: Buffer.concat([header, body]) };
}

/** Hop-by-hop or destination options: PadN up to a multiple of 8 bytes. `length` is that of the whole header. */
export function optionsHeader(header: number, length = 8): Extension {
  const rest = Buffer.alloc(length - 1);
  rest[0] = length / 8 - 1;
  rest[1] = 1; // PadN
  rest[2] = length - 4;
  return { header, rest };
}

export function routingHeader(type: number, segmentsLeft: number, addresses: readonly string[]): Extension {
  const rest = Buffer.concat([Buffer.alloc(7), ...addresses.map(addressBytes)]);
  rest[0] = addresses.length * 2;
  rest[1] = type;
  rest[2] = segmentsLeft;
  return { header: Protocol.Routing, rest };
}

/** `offset` in units of 8 bytes, as in the header. */
export function fragmentHeader(fields: { id: number; offset: number; more: boolean }): Extension {
  const rest = Buffer.alloc(7);
  rest.writeUInt16BE((fields.offset << 3) | (fields.more ? 1 : 0), 1);
  rest.writeUInt32BE(fields.id, 3);
  return { header: Protocol.Fragment, rest };
}

/** Cuts an unfragmented packet without options or extensions into fragments with at most `size` bytes of payload. */
export function fragments(packet: Frame, size: number, id = 1): Frame[] {
  const v6 = packet.etherType === EtherType.IPv6;
  const header = packet.bytes.subarray(0, v6 ? 40 : 20);
  const body = packet.bytes.subarray(header.length);
  const step = size - (size % 8);
  const pieces: Frame[] = [];
  for (let at = 0; at < body.length; at += step) {
    const piece = body.subarray(at, at + step);
    const more = at + step < body.length;
    const copy = Buffer.from(header);
    if (v6) {
      const { rest } = fragmentHeader({ id, offset: at / 8, more });
      copy.writeUInt16BE(8 + piece.length, 4);
      copy[6] = Protocol.Fragment;
      pieces.push({ ...packet, bytes: Buffer.concat([copy, Buffer.from([header[6]!]), rest, piece]) });
    } else {
      copy.writeUInt16BE(20 + piece.length, 2);
      copy.writeUInt16BE(id, 4);
      copy.writeUInt16BE((more ? 0x2000 : 0) | (at / 8), 6);
      copy.writeUInt16BE(0, 10);
      copy.writeUInt16BE(checksum(copy), 10);
      pieces.push({ ...packet, bytes: Buffer.concat([copy, piece]) });
    }
  }
  return pieces;
}

function pad(bytes: Buffer, multiple: number): Buffer {
  const missing = (multiple - (bytes.length % multiple)) % multiple;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}
