/**
 * IPv4 and IPv6 addresses as 16 bytes in network order, IPv4 as ::ffff:a.b.c.d: the form the kernel tables have.
 * Parsing is strict: no leading zeros in IPv4, no zone ids, no host bits in networks.
 */

/** 16 bytes; IPv4 is v4-mapped. */
export type Address = Uint8Array;

/** An IP network. IPv4 networks contain IPv4 addresses only, IPv6 networks IPv6 ones only, `::/0` too. */
export interface Network {
  readonly family: 4 | 6;
  /** First address of the network, 16 bytes. */
  readonly address: Address;
  /** 0–128, counted in the 16 bytes: an IPv4 /8 is 104 here. */
  readonly prefix: number;
}

/** Prefix length of ::ffff:0:0/96, where IPv4 lives. */
export const V4_MAPPED_PREFIX = 96;

/** ::ffff:0:0. */
export const V4_MAPPED: Address = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0);

const BYTES = 16;
/** Addresses that lie in one buffer: one for each costs 400 bytes and more, one for many keeps the dead with the living. */
const SHARING = 32;
let shared = new ArrayBuffer(0);
let taken = 0;

/** All zero. */
function newAddress(): Address {
  if (taken === shared.byteLength) {
    shared = new ArrayBuffer(SHARING * BYTES);
    taken = 0;
  }
  taken += BYTES;
  return new Uint8Array(shared, taken - BYTES, BYTES);
}

/** Reads an IPv4 or IPv6 address; undefined where it is none. `::ffff:1.2.3.4` is the IPv4 address 1.2.3.4. */
export function parseAddress(text: string): Address | undefined {
  if (text.length > 45) return undefined;
  return text.includes(':') ? parseV6(text) : mapV4(parseV4(text));
}

/** 4 for v4-mapped addresses, else 6. */
export function addressFamily(address: Address): 4 | 6 {
  return samePrefix(address, V4_MAPPED, V4_MAPPED_PREFIX) ? 4 : 6;
}

/** Canonical text: dotted quad, or RFC 5952. */
export function formatAddress(address: Address): string {
  if (addressFamily(address) === 4) return address.subarray(12, 16).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((address[2 * i] ?? 0) << 8) | (address[2 * i + 1] ?? 0));
  const zeros = longestZeros(groups);
  const hex = (list: number[]): string => list.map((group) => group.toString(16)).join(':');
  if (zeros.length < 2) return hex(groups);
  return `${hex(groups.slice(0, zeros.start))}::${hex(groups.slice(zeros.start + zeros.length))}`;
}

/** Why a text is no network; `suggestion` is what was probably meant. */
export interface NetworkError {
  readonly reason: string;
  readonly suggestion?: string;
}

/** Reads `address/length`, refusing networks with host bits set and IPv4 written as IPv6. */
export function parseNetwork(text: string): Network | NetworkError {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return { reason: 'not an IPv4 or IPv6 address' };
  const family = addressFamily(address);
  const bits = family === 4 ? 32 : 128;
  const written = slash < 0 ? '' : text.slice(slash + 1);
  if (family === 4 && text.includes(':')) {
    const length = /^(9[6-9]|1[01][0-9]|12[0-8])$/.test(written) ? Number(written) - 96 : 32;
    return { reason: 'an IPv4 network written as IPv6', suggestion: `${formatAddress(address)}/${length}` };
  }
  if (slash < 0) return { reason: 'the prefix length is missing', suggestion: `${formatAddress(address)}/${bits}` };
  if (!/^(0|[1-9][0-9]{0,2})$/.test(written) || Number(written) > bits) {
    return { reason: `the prefix length is not between 0 and ${bits}` };
  }
  const prefix = Number(written) + (128 - bits);
  if (!hasHostBits(address, prefix)) return { family, address, prefix };
  const suggestion = formatNetwork({ family, address: maskAddress(address, prefix), prefix });
  return { reason: 'host bits are set', suggestion };
}

/** `address/length` in canonical text. */
export function formatNetwork(network: Network): string {
  return `${formatAddress(network.address)}/${network.family === 4 ? network.prefix - 96 : network.prefix}`;
}

/** Whether the address is of the network's family and in it. */
export function networkContains(network: Network, address: Address): boolean {
  return addressFamily(address) === network.family && samePrefix(network.address, address, network.prefix);
}

/** Whether all of `inner` lies in `outer`. */
export function networkCovers(outer: Network, inner: Network): boolean {
  return (
    outer.family === inner.family &&
    outer.prefix <= inner.prefix &&
    samePrefix(outer.address, inner.address, outer.prefix)
  );
}

/** Whether the first `bits` bits are equal. */
export function samePrefix(a: Address, b: Address, bits: number): boolean {
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false;
  const rest = bits & 7;
  return rest === 0 || (((a[whole] ?? 0) ^ (b[whole] ?? 0)) & (0xff << (8 - rest)) & 0xff) === 0;
}

/** The address with all but its first `bits` bits cleared. */
export function maskAddress(address: Address, bits: number): Address {
  const masked = newAddress();
  for (let i = 0; i < BYTES; i++) masked[i] = (address[i] ?? 0) & ~hostBits(i, bits);
  return masked;
}

function hasHostBits(address: Address, bits: number): boolean {
  return address.some((byte, i) => (byte & hostBits(i, bits)) !== 0);
}

/** Those of the byte at `index` that come after the first `bits` of the address. */
function hostBits(index: number, bits: number): number {
  return 0xff >> Math.min(8, Math.max(0, bits - 8 * index));
}

function parseV4(text: string): number[] | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes: number[] = [];
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes.push(Number(part));
  }
  return bytes;
}

function mapV4(bytes: number[] | undefined): Address | undefined {
  if (bytes === undefined) return undefined;
  const address = newAddress();
  address.set(V4_MAPPED);
  address.set(bytes, 12);
  return address;
}

function parseV6(text: string): Address | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 16 - head.length - tail.length;
  // "::" stands for at least one group.
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined;
  const address = newAddress();
  address.set(head, 0);
  address.set(tail, 16 - tail.length);
  return address;
}

/** Bytes of colon-separated groups; the last may be a dotted quad where it ends the address. */
function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [i, group] of groups.entries()) {
    if (group.includes('.')) {
      const quad = last && i === groups.length - 1 ? parseV4(group) : undefined;
      if (quad === undefined) return undefined;
      bytes.push(...quad);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i <= groups.length; i++) {
    if (groups[i] === 0) continue;
    if (i - start > best.length) best = { start, length: i - start };
    start = i + 1;
  }
  return best;
}
