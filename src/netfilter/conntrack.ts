import { NetfilterError, systemError } from './errors.ts';
import { type ConntrackHandle, native } from './native.ts';
import { addressText, checkPacket } from './packet.ts';
import type { OriginalTuple, Conntrack as Port, TrackedPacket } from './port.ts';

/** `struct Original` of native/conntrack.h. */
const TUPLE = 40;
const PROTOCOL = 36;
const VERSION = 37;
const ENOENT = -2;

/** What connection tracking knows, one question at a time. */
export class Conntrack implements Port {
  readonly #handle: ConntrackHandle;
  readonly #tuples = Buffer.alloc(2 * TUPLE);
  #closed = false;

  private constructor() {
    const opened = native.openConntrack();
    if (typeof opened === 'number') throw systemError('CONNTRACK', opened, 'ask connection tracking');
    this.#handle = opened;
  }

  /** @throws NetfilterError CONNTRACK */
  static open(): Conntrack {
    return new Conntrack();
  }

  get closed(): boolean {
    return this.#closed;
  }

  originalOf({ packet, protocol, sourcePort, destinationPort }: TrackedPacket): OriginalTuple | undefined {
    const attempted = 'ask connection tracking about a packet';
    if (this.#closed) throw new NetfilterError('CLOSED', { attempted, reason: 'it is closed' });
    checkPacket(packet, attempted);
    const tuples = this.#tuples.fill(0);
    const ipv4 = packet[0]! >> 4 === 4;
    tuples.set(ipv4 ? packet.subarray(12, 16) : packet.subarray(8, 24), 0);
    tuples.set(ipv4 ? packet.subarray(16, 20) : packet.subarray(24, 40), 16);
    tuples.writeUInt16BE(sourcePort, 32);
    tuples.writeUInt16BE(destinationPort, 34);
    tuples[PROTOCOL] = protocol;
    tuples[VERSION] = ipv4 ? 4 : 6;
    const error = native.findOriginal(this.#handle, tuples);
    if (error === ENOENT) return undefined;
    if (error < 0) throw systemError('CONNTRACK', error, attempted);
    return readTuple(tuples.subarray(TUPLE));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    native.close(this.#handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A tuple as the addon tells it. */
export function readTuple(bytes: Buffer): OriginalTuple {
  const size = bytes[VERSION] === 4 ? 4 : 16;
  return {
    source: addressText(bytes.subarray(0, size)),
    sourcePort: bytes.readUInt16BE(32),
    destination: addressText(bytes.subarray(16, 16 + size)),
    destinationPort: bytes.readUInt16BE(34),
    protocol: bytes[PROTOCOL]!,
  };
}
