import { readFileSync } from 'node:fs';
import { readTuple } from './conntrack.ts';
import { argumentError, checkInteger, fail, MAX_U32, NetfilterError, systemError } from './errors.ts';
import { NONE, native, PACKET_WORDS, PACKETS_MAX, type QueueHandle, VERDICT_WORDS } from './native.ts';
import { checkPacket } from './packet.ts';
import type {
  OriginalTuple,
  PacketQueueOptions,
  PacketQueue as Port,
  QueuedPacket,
  QueueStatistics,
  QueueVerdict,
} from './port.ts';

/** A netlink attribute's length has 16 bits, its head included. */
const MAX_PACKET = 0xffff - 4;
/** 8,192 packets of 1,500 bytes, as the kernel accounts for them. */
const DEFAULT_RECEIVE_BUFFER = 16 << 20;
/** Of at most `PACKETS_MAX` packets each. */
const DRAIN_BATCHES = 16;
/** linux/netfilter.h. */
const ACTIONS: ReadonlyMap<unknown, number> = new Map([
  ['drop', 0],
  ['accept', 1],
  ['repeat', 4],
]);

/** One NFQUEUE of this process's network namespace; open until `close()`, whoever still knows it. */
export class PacketQueue implements Port {
  readonly number: number;
  /** Whether the kernel tells `original` of packets. */
  readonly conntrack: boolean;
  readonly #handle: QueueHandle;
  readonly #onPackets: (packets: readonly QueuedPacket[]) => void;
  readonly #onError: (error: Error) => void;
  readonly #arrivals = new Uint32Array(1 + PACKET_WORDS * PACKETS_MAX);
  readonly #one = new Uint32Array(VERDICT_WORDS);
  #closed = false;
  /** The views of the arrivals in hand are still in use. */
  #delivering = false;

  private constructor(options: PacketQueueOptions) {
    const { number, maxPackets, onPackets, onError } = options;
    const { copyBytes = MAX_PACKET, receiveBufferBytes = DEFAULT_RECEIVE_BUFFER, keepAlive = true } = options;
    this.number = checkInteger(number, 0, 0xffff, 'a queue number');
    checkInteger(maxPackets, 1, MAX_U32, 'a number of waiting packets');
    // The kernel takes 0 for everything.
    checkInteger(copyBytes, 1, MAX_PACKET, 'a number of bytes to copy');
    checkInteger(receiveBufferBytes, 4096, 1 << 30, 'a buffer size');
    const attempted = `open queue ${number}`;
    if (typeof onPackets !== 'function') throw argumentError(attempted, 'onPackets must be a function');
    if (typeof onError !== 'function') throw argumentError(attempted, 'onError must be a function');
    this.#onPackets = onPackets;
    this.#onError = onError;
    const { failOpen = false, conntrack = true } = options;
    const opened = native.openQueue(number, maxPackets, copyBytes, failOpen, conntrack, receiveBufferBytes);
    if (typeof opened === 'number') refuse(number, opened, attempted);
    this.#handle = opened.handle;
    this.conntrack = opened.conntrack;
    const error = native.watchQueue(this.#handle, () => this.#wake(), keepAlive);
    if (error < 0) {
      this.close();
      fail('QUEUE', error, attempted);
    }
  }

  /**
   * Binds to a queue. Packets come from the next turn of the event loop on.
   * @throws NetfilterError QUEUE_BUSY, PERMISSION, QUEUE, ARGUMENT
   */
  static open(options: PacketQueueOptions): PacketQueue {
    if (typeof options !== 'object' || options === null) throw argumentError('open a queue', 'options are wanted');
    return new PacketQueue(options);
  }

  get closed(): boolean {
    return this.#closed;
  }

  verdict(id: number, verdict: QueueVerdict): void {
    const packets: Uint8Array[] = [];
    this.#encode(this.#one, 0, id, verdict, packets);
    this.#send(this.#one, 1, packets);
  }

  verdicts(entries: readonly (readonly [id: number, verdict: QueueVerdict])[]): void {
    const words = new Uint32Array(VERDICT_WORDS * entries.length);
    const packets: Uint8Array[] = [];
    // A faulty one among them stops all before the first has gone.
    let at = 0;
    for (const [id, verdict] of entries) {
      this.#encode(words, at, id, verdict, packets);
      at += VERDICT_WORDS;
    }
    this.#send(words, entries.length, packets);
  }

  drain(): void {
    // What comes faster than it is read must not keep us here.
    for (let batches = 0; batches < DRAIN_BATCHES && !this.#delivering && this.#wake(); batches++);
  }

  statistics(): QueueStatistics {
    const { received, verdictErrors, overruns } = native.queueCounters(this.#live('ask about'));
    return {
      received: BigInt(received),
      verdictErrors: BigInt(verdictErrors),
      overruns: BigInt(overruns),
      ...kernelCounters(this.number),
    };
  }

  /** The kernel drops what waits. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    native.close(this.#handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #live(attempted: string): QueueHandle {
    if (this.#closed) {
      throw new NetfilterError('CLOSED', { attempted: `${attempted} queue ${this.number}`, reason: 'it is closed' });
    }
    return this.#handle;
  }

  #encode(words: Uint32Array, at: number, id: number, verdict: QueueVerdict, packets: Uint8Array[]): void {
    const action = ACTIONS.get(verdict?.action);
    if (action === undefined) throw argumentError(`give packet ${String(id)} a verdict`, 'there is no such action');
    words[at] = checkInteger(id, 0, MAX_U32, 'a packet id');
    words[at + 1] = action;
    words[at + 2] = words[at + 3] = words[at + 4] = 0;
    if (verdict.action === 'drop') return;
    if (verdict.mark !== undefined) {
      words[at + 2] = 1;
      words[at + 3] = checkInteger(verdict.mark, 0, MAX_U32, 'a mark');
    }
    if (verdict.packet === undefined) return;
    checkPacket(verdict.packet, `replace packet ${id}`);
    if (verdict.packet.length > MAX_PACKET) {
      throw argumentError(`replace packet ${id}`, `it may have ${MAX_PACKET} bytes at most`);
    }
    words[at + 4] = packets.push(verdict.packet);
  }

  #send(words: Uint32Array, count: number, packets: readonly Uint8Array[]): void {
    const error = native.sendVerdicts(this.#live('give a verdict to'), words, count, packets);
    if (error < 0) fail('VERDICT', error, `give ${count} verdicts to queue ${this.number}`);
  }

  /** @returns whether there was something */
  #wake(): boolean {
    if (this.#closed) return false;
    const own: Buffer[] = [];
    const shared = native.readQueue(this.#handle, this.#arrivals, own);
    if (typeof shared !== 'number') {
      this.#delivering = true;
      try {
        this.#onPackets(unpack(this.#arrivals, shared, own));
      } finally {
        this.#delivering = false;
      }
      return true;
    }
    if (shared < 0) {
      this.close();
      this.#onError(systemError('QUEUE', shared, `read queue ${this.number}`));
    }
    return false;
  }
}

function unpack(words: Uint32Array, shared: Buffer, own: readonly Buffer[]): QueuedPacket[] {
  const count = words[0]!;
  const packets = new Array<QueuedPacket>(count);
  for (let i = 0; i < count; i++) {
    const large = words[1 + i * PACKET_WORDS + 9]!;
    packets[i] = new Arrival(words, 1 + i * PACKET_WORDS, shared, large === NONE ? undefined : own[large]);
  }
  return packets;
}

/** Views are made when they are asked for: most packets are only looked at once, some never. */
class Arrival implements QueuedPacket {
  readonly id: number;
  readonly mark: number;
  readonly hook: number;
  readonly input: number;
  readonly output: number;
  readonly length: number;
  readonly #shared: Buffer;
  readonly #offset: number;
  readonly #captured: number;
  readonly #original: number;
  #packet: Buffer | undefined;

  constructor(words: Uint32Array, at: number, shared: Buffer, own: Buffer | undefined) {
    this.id = words[at]!;
    this.mark = words[at + 1]!;
    this.hook = words[at + 2]!;
    this.input = words[at + 3]!;
    this.output = words[at + 4]!;
    this.length = words[at + 7]!;
    this.#shared = shared;
    this.#offset = words[at + 5]!;
    this.#captured = words[at + 6]!;
    this.#original = words[at + 8]!;
    this.#packet = own;
  }

  get packet(): Buffer {
    this.#packet ??= this.#shared.subarray(this.#offset, this.#offset + this.#captured);
    return this.#packet;
  }

  get original(): OriginalTuple | undefined {
    if (this.#original === NONE) return undefined;
    return readTuple(this.#shared.subarray(this.#original, this.#original + 40));
  }
}

/** The kernel refuses a queue that another listens to with EPERM, as it does who has no right to any. */
function refuse(number: number, errno: number, attempted: string): never {
  const row = kernelRow(number);
  if (row === undefined) fail('QUEUE', errno, attempted);
  throw new NetfilterError('QUEUE_BUSY', { attempted, errno, reason: `netlink port ${row[1]} listens to it` });
}

function kernelCounters(number: number): { waiting: number; droppedFull: number; droppedSocket: number } {
  const row = kernelRow(number) ?? [];
  return { waiting: row[2] ?? 0, droppedFull: row[5] ?? 0, droppedSocket: row[6] ?? 0 };
}

/** Columns of the file are in net/netfilter/nfnetlink_queue.c, `seq_show`. */
function kernelRow(number: number): readonly number[] | undefined {
  let text: string;
  try {
    // Of this thread: its namespace may not be the process's.
    text = readFileSync('/proc/thread-self/net/netfilter/nfnetlink_queue', 'latin1');
  } catch {
    return undefined; // no right to read it, or no queues in this kernel
  }
  const rows = text.split('\n').map((line) => line.trim().split(/\s+/).map(Number));
  return rows.find(([queue]) => queue === number);
}
