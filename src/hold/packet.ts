/**
 * IP packets as they wait in NFQUEUE, read as `bpf/lib/parse.h` reads them: parsed right or refused. What is written in
 * them was written by a container; nothing outside the packet is read whatever they claim.
 */
import { formatAddress, V4_MAPPED } from '../model/address.ts';
import type { Conversation } from '../model/conversation.ts';
import { PROTOCOLS } from '../model/protocol.ts';

const { ICMP, TCP, UDP, ICMPv6: ICMPV6, SCTP, UDPLite: UDP_LITE } = PROTOCOLS;
const DCCP = 33;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION = 60;
const MOBILITY = 135;
/** As in parse.h: the eighth is refused. */
const EXTENSIONS_MAX = 8;

/** Stands for a port in ICMP that is no echo, and for the identifier 0. */
const PORT_MESSAGE = 0xffff;

const TCP_SYN = 0x02;
const TCP_ACK = 0x10;
const TAG_KIND = 254;
const TAG_LENGTH = 20;
const TAG_EXPERIMENT = 0x5a11;

export interface IpPacket {
  /** The packet and nothing behind it. */
  readonly bytes: Buffer;
  readonly version: 4 | 6;
  readonly protocol: number;
  /** As the kernel names them: the one who asks for an ICMP echo has its identifier, the other end 0. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Offset of the transport header. */
  readonly transport: number;
  /** Offset of what the transport header carries; of the transport header itself where the protocol is unknown. */
  readonly payload: number;
  /** A TCP SYN, and no SYN-ACK. */
  readonly opensTcp: boolean;
  /** It opens TCP, bears a tag, and no payload, for which no tag speaks. */
  readonly tagged: boolean;
  /** A payload can be put in the place of its own: UDP, UDP-Lite, TCP SYN, echo requests. */
  readonly replaceable: boolean;
  /** IPv6: where fragments are cut, behind the headers that each of them repeats. */
  readonly divisible: number;
}

/** Why a packet is refused. */
export interface Malformed {
  readonly malformed: 'version' | 'header' | 'truncated' | 'fragment' | 'extensions';
}

interface Network {
  readonly end: number;
  readonly protocol: number;
  readonly transport: number;
  readonly divisible: number;
  /** What the packet carries is authenticated with it (AH): it cannot be another. */
  readonly sealed: boolean;
}

const refuse = (malformed: Malformed['malformed']): Malformed => ({ malformed });

/** Reads a packet from its IP header on. */
export function parsePacket(buffer: Buffer): IpPacket | Malformed {
  const version = (buffer[0] ?? 0) >> 4;
  if (version !== 4 && version !== 6) return refuse('version');
  const network = version === 4 ? parseIpv4(buffer) : parseIpv6(buffer);
  if ('malformed' in network) return network;
  return parseTransport(buffer.subarray(0, network.end), version, network);
}

function parseIpv4(buffer: Buffer): Network | Malformed {
  if (buffer.length < 20) return refuse('truncated');
  const header = ((buffer[0] ?? 0) & 15) * 4;
  const end = buffer.readUInt16BE(2);
  if (header < 20 || end < header) return refuse('header');
  if (end > buffer.length) return refuse('truncated');
  // Connection tracking has put fragments together before they come here.
  if ((buffer.readUInt16BE(6) & 0x3fff) !== 0) return refuse('fragment');
  return { end, protocol: buffer[9] ?? 0, transport: header, divisible: header, sealed: false };
}

function parseIpv6(buffer: Buffer): Network | Malformed {
  if (buffer.length < 40) return refuse('truncated');
  const end = 40 + buffer.readUInt16BE(4);
  if (end > buffer.length) return refuse('truncated');
  // An IPv4 address in IPv6 clothes would be taken for the real one.
  if (isMapped(buffer, 8) || isMapped(buffer, 24)) return refuse('header');
  let next = buffer[6] ?? 0;
  let at = 40;
  let divisible = 40;
  let repeated = true;
  let sealed = false;
  for (let n = 0; n < EXTENSIONS_MAX; n++) {
    if (!isExtension(next)) return { end, protocol: next, transport: at, divisible, sealed };
    if (at + 8 > end) return refuse('truncated');
    const size = extensionSize(next, buffer[at + 1] ?? 0);
    if (at + size > end) return refuse('truncated');
    // Checksums count the last of the addresses, and type 0 is forbidden (RFC 5095).
    if (next === ROUTING && (buffer[at + 2] === 0 || buffer[at + 3] !== 0)) return refuse('extensions');
    // An atomic fragment (RFC 6946) is whole.
    if (next === FRAGMENT && (buffer.readUInt16BE(at + 2) & 0xfff9) !== 0) return refuse('fragment');
    if (next === AUTHENTICATION) sealed = true;
    repeated &&= next === HOP_BY_HOP || next === DESTINATION || next === ROUTING;
    if (repeated && next !== DESTINATION) divisible = at + size;
    next = buffer[at] ?? 0;
    at += size;
  }
  return refuse('extensions');
}

function isMapped(buffer: Buffer, at: number): boolean {
  return buffer.compare(V4_MAPPED, 0, 12, at, at + 12) === 0;
}

function isExtension(next: number): boolean {
  return (
    next === HOP_BY_HOP ||
    next === ROUTING ||
    next === FRAGMENT ||
    next === AUTHENTICATION ||
    next === DESTINATION ||
    next === MOBILITY
  );
}

function extensionSize(header: number, length: number): number {
  if (header === FRAGMENT) return 8;
  return header === AUTHENTICATION ? (length + 2) * 4 : (length + 1) * 8;
}

function parseTransport(bytes: Buffer, version: 4 | 6, network: Network): IpPacket | Malformed {
  const { protocol, transport, divisible, sealed } = network;
  const room = bytes.length - transport;
  const made = (
    sourcePort: number,
    destinationPort: number,
    header: number,
    more: Partial<IpPacket> = {},
  ): IpPacket => ({
    ...{ bytes, version, protocol, sourcePort, destinationPort, transport, payload: transport + header },
    ...{ opensTcp: false, tagged: false, replaceable: false, divisible },
    ...more,
  });
  const least = protocol === TCP ? 20 : protocol === SCTP || protocol === DCCP ? 12 : 8;
  switch (protocol) {
    case TCP:
    case UDP:
    case UDP_LITE:
    case SCTP:
    case DCCP: {
      if (room < least) return refuse('truncated');
      const source = bytes.readUInt16BE(transport);
      const destination = bytes.readUInt16BE(transport + 2);
      if (protocol === TCP) {
        const header = ((bytes[transport + 12] ?? 0) >> 4) * 4;
        if (header < 20) return refuse('header');
        if (header > room) return refuse('truncated');
        const opensTcp = ((bytes[transport + 13] ?? 0) & (TCP_SYN | TCP_ACK)) === TCP_SYN;
        const tagged = opensTcp && header === room && bearsTag(bytes, transport + 20, transport + header);
        return made(source, destination, header, { opensTcp, tagged, replaceable: opensTcp && !sealed });
      }
      if (protocol === UDP || protocol === UDP_LITE) {
        const length = bytes.readUInt16BE(transport + 4);
        // UDP: its length; UDP-Lite: how much its checksum covers, 0 being all of it.
        if (length > room || (length < 8 && !(protocol === UDP_LITE && length === 0))) return refuse('header');
        return made(source, destination, 8, { replaceable: !sealed });
      }
      return made(source, destination, least);
    }
    case ICMP:
    case ICMPV6: {
      if ((version === 6) !== (protocol === ICMPV6)) return refuse('header');
      if (room < 8) return refuse('truncated');
      return parseIcmp(bytes, version, transport, (source, destination, isEcho) =>
        made(source, destination, 8, { replaceable: isEcho && !sealed }),
      );
    }
    default:
      return made(0, 0, 0);
  }
}

function parseIcmp(
  bytes: Buffer,
  version: 4 | 6,
  at: number,
  made: (source: number, destination: number, isEcho: boolean) => IpPacket,
): IpPacket {
  const type = bytes[at] ?? 0;
  const id = bytes.readUInt16BE(at + 4) || PORT_MESSAGE;
  if (type === (version === 6 ? 128 : 8)) return made(id, 0, true);
  if (type === (version === 6 ? 129 : 0)) return made(0, id, false);
  return made(PORT_MESSAGE, type, false);
}

function bearsTag(bytes: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const kind = bytes[at] ?? 0;
    if (kind === 0) return false;
    if (kind === 1) {
      at += 1;
      continue;
    }
    const length = bytes[at + 1] ?? 0;
    if (at + 2 > end || length < 2 || at + length > end) return false;
    if (kind === TAG_KIND && length === TAG_LENGTH && bytes.readUInt16BE(at + 2) === TAG_EXPERIMENT) return true;
    at += length;
  }
  return false;
}

/** Tells conversations apart: the same for packets with the same addresses, ports and protocol. */
export function conversationKey({ bytes, version, protocol, sourcePort, destinationPort }: IpPacket): string {
  const addresses = version === 4 ? bytes.toString('latin1', 12, 20) : bytes.toString('latin1', 8, 40);
  return addresses + String.fromCharCode(protocol, sourcePort, destinationPort);
}

/** The remote address as the packet has it, for keys. */
export function destinationKey({ bytes, version }: IpPacket): string {
  return version === 4 ? bytes.toString('latin1', 16, 20) : bytes.toString('latin1', 24, 40);
}

function addressAt(bytes: Buffer, at: number, version: 4 | 6): string {
  return version === 4
    ? `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`
    : formatAddress(bytes.subarray(at, at + 16));
}

/** Canonical text of the sender's address. */
export function sourceAddress({ bytes, version }: IpPacket): string {
  return addressAt(bytes, version === 4 ? 12 : 8, version);
}

export function conversationOf(packet: IpPacket): Conversation {
  const { bytes, version, protocol, sourcePort, destinationPort } = packet;
  return {
    protocol,
    source: { address: sourceAddress(packet), port: sourcePort },
    destination: { address: addressAt(bytes, version === 4 ? 16 : 24, version), port: destinationPort },
  };
}
