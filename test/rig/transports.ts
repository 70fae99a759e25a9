/** What IP packets carry: TCP, UDP, SCTP, ICMP, ICMPv6, neighbour discovery, and errors with a packet inside. */

import { type Frame, Protocol, type Pseudo, type Transport } from './packets.ts';
import { addressBytes, checksum, crc32c, macBytes } from './wire.ts';

const TCP_FLAGS = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ECE: 64, CWR: 128 } as const;
export type TcpFlag = keyof typeof TCP_FLAGS;

export interface TcpFields {
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly sequence?: number;
  readonly acknowledgement?: number;
  readonly flags?: readonly TcpFlag[];
  readonly window?: number;
  /** Padded to 4 bytes. */
  readonly options?: Buffer;
  // For broken packets:
  /** In units of 4 bytes. */
  readonly dataOffset?: number;
  readonly checksum?: number;
}

export function tcp(fields: TcpFields, payload: Buffer = Buffer.alloc(0)): Transport {
  const options = fields.options ?? Buffer.alloc(0);
  const header = Buffer.alloc(20 + Math.ceil(options.length / 4) * 4);
  ports(header, fields);
  header.writeUInt32BE(fields.sequence ?? 1000, 4);
  header.writeUInt32BE(fields.acknowledgement ?? 0, 8);
  header[12] = (fields.dataOffset ?? header.length / 4) << 4;
  header[13] = (fields.flags ?? ['ACK']).reduce((bits, flag) => bits | TCP_FLAGS[flag], 0);
  header.writeUInt16BE(fields.window ?? 65535, 14);
  options.copy(header, 20);
  return summed(Protocol.TCP, Buffer.concat([header, payload]), 16, fields.checksum);
}

export interface UdpFields {
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  // For broken packets:
  readonly length?: number;
  readonly checksum?: number;
}

export function udp(fields: UdpFields, payload: Buffer = Buffer.alloc(0)): Transport {
  const header = Buffer.alloc(8);
  ports(header, fields);
  header.writeUInt16BE(fields.length ?? 8 + payload.length, 4);
  return summed(Protocol.UDP, Buffer.concat([header, payload]), 6, fields.checksum);
}

export interface SctpFields {
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly verificationTag?: number;
  /** Type of the one chunk; INIT (1) unless told. */
  readonly chunk?: number;
}

export function sctp(fields: SctpFields, payload: Buffer = Buffer.alloc(16)): Transport {
  const bytes = Buffer.concat([Buffer.alloc(16), payload]);
  ports(bytes, fields);
  bytes.writeUInt32BE(fields.verificationTag ?? 0, 4);
  bytes[12] = fields.chunk ?? 1;
  bytes.writeUInt16BE(4 + payload.length, 14);
  bytes.writeUInt32LE(crc32c(bytes), 8);
  return { protocol: Protocol.SCTP, encode: () => bytes };
}

export interface EchoFields {
  readonly id?: number;
  readonly sequence?: number;
  readonly reply?: boolean;
}

export function icmpEcho(fields: EchoFields = {}, payload: Buffer = Buffer.alloc(32)): Transport {
  return icmp(fields.reply ? 0 : 8, 0, Buffer.concat([echoWord(fields), payload]));
}

export function icmpv6Echo(fields: EchoFields = {}, payload: Buffer = Buffer.alloc(32)): Transport {
  return icmpv6(fields.reply ? 129 : 128, 0, Buffer.concat([echoWord(fields), payload]));
}

/** Any ICMP message; `rest` follows type, code and checksum. */
export function icmp(type: number, code: number, rest: Buffer): Transport {
  const bytes = Buffer.concat([Buffer.from([type, code, 0, 0]), rest]);
  bytes.writeUInt16BE(checksum(bytes), 2);
  return { protocol: Protocol.ICMP, encode: () => bytes };
}

/** Any ICMPv6 message; `rest` follows type, code and checksum. */
export function icmpv6(type: number, code: number, rest: Buffer): Transport {
  return summed(Protocol.ICMPv6, Buffer.concat([Buffer.from([type, code, 0, 0]), rest]), 2, undefined);
}

export interface IcmpErrorFields {
  readonly type: number;
  readonly code?: number;
  /** The word between checksum and packet: the MTU of "too big" messages. */
  readonly word?: number;
  /** Bytes of the inner packet that are carried; by default 28 over IPv4 (RFC 792), all up to 1,232 over IPv6. */
  readonly carried?: number;
}

/** An ICMP error about `inner`: 3 unreachable (code 4: too big), 11 time exceeded, 12 parameter problem. */
export function icmpError(fields: IcmpErrorFields, inner: Frame): Transport {
  return icmp(fields.type, fields.code ?? 0, errorBody(fields, inner, 28));
}

/** An ICMPv6 error about `inner`: 1 unreachable, 2 too big, 3 time exceeded, 4 parameter problem. */
export function icmpv6Error(fields: IcmpErrorFields, inner: Frame): Transport {
  return icmpv6(fields.type, fields.code ?? 0, errorBody(fields, inner, 1232));
}

/** Neighbour solicitation (135) or advertisement (136) for `target`, with the link-layer option if a `mac` is given. */
export function neighbour(type: 135 | 136, target: string, mac?: string): Transport {
  const flags = Buffer.alloc(4);
  if (type === 136) flags[0] = 0x60; // solicited, override
  const option = mac === undefined ? Buffer.alloc(0) : Buffer.concat([Buffer.from([type - 134, 1]), macBytes(mac)]);
  return icmpv6(type, 0, Buffer.concat([flags, addressBytes(target), option]));
}

function errorBody(fields: IcmpErrorFields, inner: Frame, carried: number): Buffer {
  const word = Buffer.alloc(4);
  word.writeUInt32BE(fields.word ?? 0);
  return Buffer.concat([word, inner.bytes.subarray(0, fields.carried ?? carried)]);
}

function echoWord(fields: EchoFields): Buffer {
  const word = Buffer.alloc(4);
  word.writeUInt16BE(fields.id ?? 1, 0);
  word.writeUInt16BE(fields.sequence ?? 1, 2);
  return word;
}

function ports(header: Buffer, fields: { sourcePort?: number; destinationPort?: number }): void {
  header.writeUInt16BE(fields.sourcePort ?? 40000, 0);
  header.writeUInt16BE(fields.destinationPort ?? 80, 2);
}

/** A transport whose checksum, at byte `at`, covers the pseudo header (RFC 793, RFC 768, RFC 8200 section 8.1). */
function summed(protocol: number, bytes: Buffer, at: number, override: number | undefined): Transport {
  return {
    protocol,
    encode({ source, destination }: Pseudo): Buffer {
      const tail = Buffer.alloc(8);
      tail.writeUInt32BE(bytes.length, 0);
      tail[7] = protocol;
      const copy = Buffer.from(bytes);
      copy.writeUInt16BE(0, at);
      let sum = checksum(Buffer.concat([source, destination, tail, copy]));
      if (sum === 0 && protocol === Protocol.UDP) sum = 0xffff; // 0 means "none"
      copy.writeUInt16BE(override ?? sum, at);
      return copy;
    },
  };
}
