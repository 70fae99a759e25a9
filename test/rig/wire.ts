/** Addresses and checksums as they are on the wire. */

/** 6 bytes of `02:00:00:00:00:01`. */
export function macBytes(mac: string): Buffer {
  const bytes = Buffer.from(mac.replaceAll(':', ''), 'hex');
  if (bytes.length !== 6) throw new RangeError(`rig: "${mac}" is not an Ethernet address`);
  return bytes;
}

/** 4 or 16 bytes of an IP address in its usual notation. */
export function addressBytes(address: string): Buffer {
  if (!address.includes(':')) {
    const bytes = Buffer.from(address.split('.').map(Number));
    if (bytes.length !== 4) throw new RangeError(`rig: "${address}" is not an address`);
    return bytes;
  }
  let text = address;
  const dotted = text.match(/^(.*:)(\d+\.\d+\.\d+\.\d+)$/);
  if (dotted) {
    const four = addressBytes(dotted[2]!);
    text = `${dotted[1]}${four.readUInt16BE(0).toString(16)}:${four.readUInt16BE(2).toString(16)}`;
  }
  const [left, right] = text.split('::');
  const head = left ? left.split(':') : [];
  const tail = right ? right.split(':') : [];
  const gap = text.includes('::') ? 8 - head.length - tail.length : 0;
  const groups = [...head, ...Array<string>(Math.max(gap, 0)).fill('0'), ...tail];
  if (groups.length !== 8) throw new RangeError(`rig: "${address}" is not an address`);
  const bytes = Buffer.alloc(16);
  for (const [index, group] of groups.entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  return bytes;
}

/** The Internet checksum (RFC 1071) of bytes whose checksum field is zero; of whole bytes with it, 0. */
export function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i + 1 < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  if (bytes.length % 2 === 1) sum += bytes[bytes.length - 1]! << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

let crcTable: Uint32Array | undefined;

/** CRC-32C (Castagnoli), as SCTP uses it (RFC 9260, appendix A). */
export function crc32c(bytes: Buffer): number {
  if (!crcTable) {
    crcTable = new Uint32Array(256);
    for (let n = 0; n < 256; n += 1) {
      let value = n;
      for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
      crcTable[n] = value >>> 0;
    }
  }
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ crcTable[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}
