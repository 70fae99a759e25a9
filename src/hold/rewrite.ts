/** Packets made from packets: with another payload, toward another destination, in pieces. All lengths and checksums are right. */
import { addressFamily, parseAddress } from '../model/address.ts';
import { hasPorts, PROTOCOLS } from '../model/protocol.ts';
import { completeChecksums } from './checksum.ts';
import type { IpPacket } from './packet.ts';

const DCCP = 33;
const FRAGMENT = 44;
const MORE_FRAGMENTS = 0x2000;
const DONT_FRAGMENT = 0x4000;

/** Of `CLAIM_MAGIC` in bpf/api/peer.h. */
const CLAIM_MAGIC = Buffer.from('5a11f0a7c1a1d0e5', 'hex');
export const TOKEN_LENGTH = 16;

/** `struct claim_payload` of bpf/api/peer.h: how a token travels. */
export function claimPayload(token: Uint8Array): Buffer {
  if (token.length !== TOKEN_LENGTH)
    throw new RangeError(`A token has ${TOKEN_LENGTH} bytes, this one ${token.length}`);
  return Buffer.concat([CLAIM_MAGIC, token]);
}

/** Where the container sent it, before this host rewrote that. */
export interface Destination {
  /** IPv4 or IPv6, of the packet's own version. */
  readonly address: string;
  readonly port: number;
}

/**
 * The same packet, transport header and options too, with another payload, and toward `destination` where that is told.
 * It must be `replaceable`.
 */
export function withPayload(packet: IpPacket, payload: Uint8Array, destination?: Destination): Buffer {
  if (!packet.replaceable) throw new TypeError(`Cannot replace the payload of a packet of protocol ${packet.protocol}`);
  const { version, protocol, transport } = packet;
  const bytes = Buffer.allocUnsafe(packet.payload + payload.length);
  packet.bytes.copy(bytes, 0, 0, packet.payload);
  bytes.set(payload, packet.payload);
  setLength(bytes, version);
  if (protocol === PROTOCOLS.UDP) bytes.writeUInt16BE(bytes.length - transport, transport + 4);
  if (protocol === PROTOCOLS.UDPLite) bytes.writeUInt16BE(0, transport + 4);
  return completed(packet, bytes, destination);
}

/** What a datagram becomes that its sender has left to be cut (UDP_SEGMENT): datagrams with `size` bytes of payload each. */
export function segments({ version, protocol, transport, payload, bytes }: IpPacket, size: number): Buffer[] {
  if (protocol !== PROTOCOLS.UDP || size <= 0 || bytes.length - payload <= size) return [bytes];
  const pieces: Buffer[] = [];
  for (let at = payload; at < bytes.length; at += size) {
    const piece = Buffer.concat([bytes.subarray(0, payload), bytes.subarray(at, at + size)]);
    setLength(piece, version);
    piece.writeUInt16BE(piece.length - transport, transport + 4);
    if (version === 4) piece.writeUInt16BE((bytes.readUInt16BE(4) + pieces.length) & 0xffff, 4);
    pieces.push(piece);
  }
  return pieces;
}

/** A copy of the packet that can be sent from here: complete, and toward `destination` where that is told. */
export function sendable(packet: IpPacket, destination?: Destination): Buffer {
  return completed(packet, Buffer.from(packet.bytes), destination);
}

function completed(packet: IpPacket, bytes: Buffer, destination: Destination | undefined): Buffer {
  const { version, protocol, transport } = packet;
  if (destination !== undefined) {
    const address = parseAddress(destination.address);
    if (address === undefined || addressFamily(address) !== version) {
      throw new TypeError(`"${destination.address}" is no IPv${version} address`);
    }
    bytes.set(version === 4 ? address.subarray(12) : address, version === 4 ? 16 : 24);
    if (hasPorts(protocol) || protocol === DCCP) bytes.writeUInt16BE(destination.port, transport + 2);
  }
  completeChecksums({ bytes, version, protocol, transport });
  return bytes;
}

/**
 * A packet in pieces of at most `size` bytes each: what connection tracking has put together does not fit through a
 * socket any more. Undefined where its sender forbids it. `id` tells its fragments from others' (IPv6).
 */
export function fragments(
  packet: Pick<IpPacket, 'version' | 'divisible'>,
  bytes: Buffer,
  size: number,
  id: number,
): Buffer[] | undefined {
  if (packet.version === 4 && (bytes.readUInt16BE(6) & DONT_FRAGMENT) !== 0) return undefined;
  const head = packet.divisible;
  const step = (size - head - (packet.version === 6 ? 8 : 0)) & ~7;
  if (step < 8) return undefined;
  const pieces: Buffer[] = [];
  for (let at = head; at < bytes.length; at += step) {
    const body = bytes.subarray(at, Math.min(at + step, bytes.length));
    const more = at + step < bytes.length;
    const piece =
      packet.version === 4
        ? piece4(bytes, head, body, at - head, more)
        : piece6(bytes, head, body, at - head, more, id);
    setLength(piece, packet.version);
    // No transport header is whole in it: only that of IPv4 has a checksum here.
    completeChecksums({ bytes: piece, version: packet.version, protocol: 255, transport: head });
    pieces.push(piece);
  }
  return pieces;
}

function piece4(bytes: Buffer, head: number, body: Buffer, offset: number, more: boolean): Buffer {
  const piece = Buffer.concat([bytes.subarray(0, head), body]);
  piece.writeUInt16BE((more ? MORE_FRAGMENTS : 0) | (offset >> 3), 6);
  return piece;
}

function piece6(bytes: Buffer, head: number, body: Buffer, offset: number, more: boolean, id: number): Buffer {
  const piece = Buffer.alloc(head + 8 + body.length);
  bytes.copy(piece, 0, 0, head);
  const last = lastHeader(bytes, head);
  piece[head] = piece[last] ?? 0;
  piece[last] = FRAGMENT;
  piece.writeUInt16BE(offset | (more ? 1 : 0), head + 2);
  piece.writeUInt32BE(id >>> 0, head + 4);
  body.copy(piece, head + 8);
  return piece;
}

/** Where the header before offset `head` says what follows it. */
function lastHeader(bytes: Buffer, head: number): number {
  let place = 6;
  for (let at = 40; at < head; at += ((bytes[at + 1] ?? 0) + 1) * 8) place = at;
  return place;
}

function setLength(bytes: Buffer, version: 4 | 6): void {
  if (version === 4) bytes.writeUInt16BE(bytes.length, 2);
  else bytes.writeUInt16BE(bytes.length - 40, 4);
}
