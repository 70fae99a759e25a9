/** Checksums of IP packets: RFC 1071, RFC 768, RFC 3828 (UDP-Lite), RFC 4340 (DCCP), RFC 9260 (SCTP). */

const TCP = 6;
const UDP = 17;
const DCCP = 33;
const SCTP = 132;
const UDP_LITE = 136;
const ICMP = 1;
const ICMPV6 = 58;

/** Where the checksum lies in a transport header. */
const PLACES: ReadonlyMap<number, number> = new Map([
  [ICMP, 2],
  [TCP, 16],
  [UDP, 6],
  [DCCP, 6],
  [ICMPV6, 2],
  [UDP_LITE, 6],
]);

/** What checksums need to know of a packet whose every field has been checked. */
export interface Checksummed {
  readonly bytes: Buffer;
  readonly version: 4 | 6;
  readonly protocol: number;
  /** Offset of the transport header. */
  readonly transport: number;
}

/** Sum of the 16-bit words from `start` to `end`, an odd byte padded with zero; at most 65,535 bytes. */
function sum(bytes: Uint8Array, start: number, end: number): number {
  let total = 0;
  const even = end - ((end - start) & 1);
  for (let at = start; at < even; at += 2) total += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  return even === end ? total : total + ((bytes[even] ?? 0) << 8);
}

function fold(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return ~folded & 0xffff;
}

/**
 * Writes the checksums of the IPv4 header and of the transport header into `bytes`, whatever stands there: packets that
 * wait in the kernel may bear one that a network card was to finish. Other protocols than those above have none.
 */
export function completeChecksums({ bytes, version, protocol, transport }: Checksummed): void {
  if (version === 4) {
    const header = ((bytes[0] ?? 0) & 15) * 4;
    bytes.writeUInt16BE(0, 10);
    bytes.writeUInt16BE(fold(sum(bytes, 0, header)), 10);
  }
  if (protocol === SCTP) {
    bytes.writeUInt32LE(0, transport + 8);
    bytes.writeUInt32LE(crc32c(bytes, transport), transport + 8);
    return;
  }
  const place = PLACES.get(protocol);
  if (place === undefined) return;
  // UDP counts what its own length says, which may be less than what IP carries.
  const length = protocol === UDP ? bytes.readUInt16BE(transport + 4) : bytes.length - transport;
  bytes.writeUInt16BE(0, transport + place);
  let total = sum(bytes, transport, transport + covered(bytes, protocol, transport, length));
  if (protocol !== ICMP) {
    total += version === 4 ? sum(bytes, 12, 20) : sum(bytes, 8, 40);
    total += protocol + length;
  }
  const value = fold(total);
  // Zero would say that there is none, which IPv6 forbids and UDP-Lite too.
  const written = value === 0 && (protocol === UDP || protocol === UDP_LITE) ? 0xffff : value;
  bytes.writeUInt16BE(written, transport + place);
}

function covered(bytes: Buffer, protocol: number, transport: number, length: number): number {
  if (protocol === UDP_LITE) return bytes.readUInt16BE(transport + 4) || length;
  if (protocol === DCCP) {
    const coverage = (bytes[transport + 5] ?? 0) & 15;
    const header = (bytes[transport + 4] ?? 0) * 4;
    return coverage === 0 ? length : Math.min(length, header + (coverage - 1) * 4);
  }
  return length;
}

let table: Uint32Array | undefined;

function crc32c(bytes: Uint8Array, start: number): number {
  table ??= Uint32Array.from({ length: 256 }, (_, n) => {
    let value = n;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    return value;
  });
  let crc = 0xffffffff;
  for (let at = start; at < bytes.length; at++) crc = (crc >>> 8) ^ (table[(crc ^ (bytes[at] ?? 0)) & 0xff] ?? 0);
  return ~crc >>> 0;
}
