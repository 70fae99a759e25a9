import { argumentError, checkInteger, fail, MAX_U32, NetfilterError } from './errors.ts';
import { native, type SenderHandle } from './native.ts';
import { addressText, checkPacket } from './packet.ts';
import type { PacketSender as Port } from './port.ts';

/**
 * Sends whole IP packets, header included, with any source address, from this network namespace. The kernel fills in an
 * IPv4 header's checksum, and its identification where that is 0; all else goes as it is.
 */
export class PacketSender implements Port {
  /** Of which IP versions packets can be sent. */
  readonly families: readonly (4 | 6)[];
  readonly #handle: SenderHandle;
  #closed = false;

  private constructor() {
    const opened = native.openSender();
    if (typeof opened === 'number') fail('SENDER', opened, 'open raw sockets');
    this.#handle = opened.handle;
    this.families = opened.ipv6 ? [4, 6] : [4];
  }

  /** @throws NetfilterError PERMISSION, SENDER */
  static open(): PacketSender {
    return new PacketSender();
  }

  get closed(): boolean {
    return this.#closed;
  }

  send(packet: Uint8Array, mark = 0): void {
    if (this.#closed)
      throw new NetfilterError('CLOSED', { attempted: 'send a packet', reason: 'the sender is closed' });
    checkPacket(packet, 'send a packet');
    checkInteger(mark, 0, MAX_U32, 'a mark');
    if (packet.length > 0xffff) throw argumentError('send a packet', 'it may have 65535 bytes at most');
    const error = native.sendPacket(this.#handle, packet, mark);
    if (error < 0) fail('SEND', error, `send a packet of ${packet.length} bytes to ${destinationOf(packet)}`);
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

function destinationOf(packet: Uint8Array): string {
  return addressText(packet[0]! >> 4 === 4 ? packet.subarray(16, 20) : packet.subarray(24, 40));
}
