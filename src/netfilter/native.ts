import { createRequire } from 'node:module';
import { NetfilterError } from './errors.ts';

/** Handles are made by the addon only; it checks their kind on every call. */
declare const kind: unique symbol;
interface Handle<K extends string> {
  readonly [kind]: K;
}
export type QueueHandle = Handle<'queue'>;
export type SenderHandle = Handle<'sender'>;
export type ConntrackHandle = Handle<'conntrack'>;

/** A negative errno. */
type Errno = number;

/** What `readQueue` tells of each packet, in 32-bit words after the first, which is their count (native/queue.cc). */
export const PACKET_WORDS = 10;
/** Packets of one `readQueue`, at most. */
export const PACKETS_MAX = 64;
/** In place of an offset or index that there is not. */
export const NONE = 0xffffffff;
/** What `sendVerdicts` is told of each verdict (native/verdict.cc): id, action, whether there is a mark, mark, packet. */
export const VERDICT_WORDS = 5;

/** The addon (native/*.cc). Functions return a negative errno for failures and throw TypeErrors for misuse. */
export interface Native {
  openQueue(
    number: number,
    maxPackets: number,
    copyBytes: number,
    failOpen: boolean,
    conntrack: boolean,
    receiveBufferBytes: number,
  ): { readonly handle: QueueHandle; readonly conntrack: boolean } | Errno;
  /** The buffer that the packets share, 0 when there are none. `own` receives the buffers of large ones. */
  readQueue(queue: QueueHandle, words: Uint32Array, own: Buffer[]): Buffer | Errno;
  queueCounters(queue: QueueHandle): {
    readonly received: number;
    readonly verdictErrors: number;
    readonly overruns: number;
  };
  watchQueue(queue: QueueHandle, onReadable: () => void, keepAlive: boolean): Errno;
  sendVerdicts(queue: QueueHandle, words: Uint32Array, count: number, packets: readonly Uint8Array[]): Errno;

  openSender(): { readonly handle: SenderHandle; readonly ipv6: boolean } | Errno;
  sendPacket(sender: SenderHandle, packet: Uint8Array, mark: number): Errno;

  /** EBUSY where something is in it, so that nobody's rules are lost. */
  deleteEmptyTable(ipv6: boolean, name: string): Errno;

  openConntrack(): ConntrackHandle | Errno;
  /** `tuples`: a packet's, and room for the original one of its connection, 40 bytes each (native/conntrack.h). */
  findOriginal(conntrack: ConntrackHandle, tuples: Uint8Array): Errno;

  close(handle: QueueHandle | SenderHandle | ConntrackHandle): void;
}

/** Beside `src/` and `dist/` alike. */
const ADDON = '../../build/Release/netfilter.node';

function load(): Native {
  try {
    return createRequire(import.meta.url)(ADDON) as Native;
  } catch (cause) {
    throw new NetfilterError('ADDON', { attempted: 'load build/Release/netfilter.node', cause });
  }
}

export const native: Native = load();
