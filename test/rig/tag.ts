/**
 * Identity tags, implemented a second time from docs/protocol.md and the paper on SipHash, with big numbers and one
 * obvious step after the other: what the kernel writes and reads is compared with this.
 */

const MASK = (1n << 64n) - 1n;
const rotate = (word: bigint, bits: bigint): bigint => ((word << bits) | (word >> (64n - bits))) & MASK;

/** SipHash-2-4 of any message under a key of 16 bytes. */
export function siphash(key: Buffer, message: Buffer): bigint {
  const k0 = key.readBigUInt64LE(0);
  const k1 = key.readBigUInt64LE(8);
  let v0 = k0 ^ 0x736f6d6570736575n;
  let v1 = k1 ^ 0x646f72616e646f6dn;
  let v2 = k0 ^ 0x6c7967656e657261n;
  let v3 = k1 ^ 0x7465646279746573n;
  const rounds = (count: number): void => {
    for (let i = 0; i < count; i += 1) {
      v0 = (v0 + v1) & MASK;
      v1 = rotate(v1, 13n) ^ v0;
      v0 = rotate(v0, 32n);
      v2 = (v2 + v3) & MASK;
      v3 = rotate(v3, 16n) ^ v2;
      v0 = (v0 + v3) & MASK;
      v3 = rotate(v3, 21n) ^ v0;
      v2 = (v2 + v1) & MASK;
      v1 = rotate(v1, 17n) ^ v2;
      v2 = rotate(v2, 32n);
    }
  };
  const padded = Buffer.alloc(Math.floor(message.length / 8) * 8 + 8);
  message.copy(padded);
  padded[padded.length - 1] = message.length & 0xff;
  for (let at = 0; at < padded.length; at += 8) {
    const word = padded.readBigUInt64LE(at);
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  v2 ^= 0xffn;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

export interface TagFields {
  /** 16 bytes. */
  readonly key: Buffer;
  readonly epoch: number;
  readonly identity: bigint;
  /** Wall clock in seconds / the window's seconds. */
  readonly window: number;
  readonly sequence: number;
  /** The acknowledgement number of a SYN-ACK; none: a SYN. */
  readonly acknowledged?: number;
}

/** The 20 bytes of the option. */
export function tagOption(fields: TagFields): Buffer {
  const { key, epoch, identity, window, sequence, acknowledged } = fields;
  const control = ((epoch & 3) << 6) | (acknowledged === undefined ? 0 : 0x20) | (window & 31);
  const message = Buffer.alloc(24);
  message.writeBigUInt64BE(identity, 0);
  message.writeUInt32BE(window >>> 0, 8);
  message.writeUInt32BE(sequence, 12);
  message.writeUInt32BE(acknowledged ?? 0, 16);
  message[20] = control;
  const mac = Buffer.alloc(8);
  mac.writeBigUInt64LE(siphash(key, message));
  const option = Buffer.alloc(20);
  option[0] = 254;
  option[1] = 20;
  option.writeUInt16BE(0x5a11, 2);
  option.writeBigUInt64BE(identity, 4);
  option[12] = control;
  mac.copy(option, 13, 0, 7);
  return option;
}

/** One TCP packet as it lay on the wire. */
export interface TcpPacket {
  readonly source: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly sequence: number;
  readonly acknowledged: number;
  /** Of `SYN`, `SYN-ACK`, `RST`, `other`. */
  readonly kind: 'SYN' | 'SYN-ACK' | 'RST' | 'other';
  /** Each with kind and length, as far as they are well-formed. */
  readonly options: readonly Buffer[];
  /** Those of them that are tags. */
  readonly tags: readonly Buffer[];
  readonly payload: Buffer;
}

/** Undefined for frames that bear no TCP; IPv6 extension headers are not walked. */
export function parseTcp(frame: Buffer): TcpPacket | undefined {
  const v6 = frame.readUInt16BE(12) === 0x86dd;
  if (!v6 && frame.readUInt16BE(12) !== 0x0800) return undefined;
  const ip = frame.subarray(14);
  if ((v6 ? ip[6] : ip[9]) !== 6) return undefined;
  const start = v6 ? 40 : (ip[0]! & 15) * 4;
  const end = v6 ? 40 + ip.readUInt16BE(4) : ip.readUInt16BE(2);
  const tcp = ip.subarray(start, end);
  const body = (tcp[12]! >> 4) * 4;
  const flags = tcp[13]!;
  const options = splitOptions(tcp.subarray(20, body));
  return {
    source: (v6 ? ip.subarray(8, 24) : ip.subarray(12, 16)).toString('hex'),
    sourcePort: tcp.readUInt16BE(0),
    destinationPort: tcp.readUInt16BE(2),
    sequence: tcp.readUInt32BE(4),
    acknowledged: tcp.readUInt32BE(8),
    kind: flags & 4 ? 'RST' : flags & 2 ? (flags & 16 ? 'SYN-ACK' : 'SYN') : 'other',
    options,
    tags: options.filter((option) => option[0] === 254 && option.length === 20 && option.readUInt16BE(2) === 0x5a11),
    payload: tcp.subarray(body),
  };
}

/** The options up to an end or to the first broken one (RFC 9293, 3.1); fillers are left out. */
export function splitOptions(area: Buffer): Buffer[] {
  const options: Buffer[] = [];
  let at = 0;
  while (at < area.length) {
    const kind = area[at]!;
    if (kind === 0) break;
    if (kind === 1) {
      at += 1;
      continue;
    }
    const length = area[at + 1];
    if (length === undefined || length < 2 || at + length > area.length) break;
    options.push(area.subarray(at, at + length));
    at += length;
  }
  return options;
}
