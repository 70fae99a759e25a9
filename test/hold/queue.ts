/** A queue that does what the kernel's does, in memory: packets wait in order until a verdict, ids are never used twice. */
import { systemError } from '../../src/netfilter/errors.ts';
import type {
  Conntrack,
  OriginalTuple,
  PacketQueue,
  PacketQueueOptions,
  PacketSender,
  QueuedPacket,
  QueueVerdict,
} from '../../src/netfilter/port.ts';

/** What went on toward the network, in order. */
export interface Passed {
  readonly how: 'accepted' | 'sent';
  readonly bytes: Buffer;
  readonly mark: number;
}

export class MemoryQueue implements PacketQueue, PacketSender, Conntrack {
  readonly passed: Passed[] = [];
  readonly dropped: number[] = [];
  /** How many verdicts came in each call. */
  readonly calls: number[] = [];
  closed = 0;
  /** A packet that does not fit through a socket, and one for which there is no way. */
  mtu = 65_535;
  unreachable = false;
  /** Whether it tells what was rewritten; where not, what connection tracking would say. */
  conntrack = true;
  original: OriginalTuple | undefined;
  asked = 0;
  readonly #waiting = new Map<number, QueuedPacket>();
  readonly #unread: QueuedPacket[] = [];
  #options: PacketQueueOptions | undefined;
  #lastId = 0;

  open(options: PacketQueueOptions): PacketQueue {
    this.#options = options;
    return this;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get options(): PacketQueueOptions {
    if (this.#options === undefined) throw new Error('the queue is not open');
    return this.#options;
  }

  /** Packets arrive, all in one wake-up. */
  arrive(packets: readonly Buffer[], more: Partial<QueuedPacket> = {}): void {
    this.comeUnread(packets, more);
    this.drain();
  }

  /** Packets come, and nobody reads them yet. */
  comeUnread(packets: readonly Buffer[], more: Partial<QueuedPacket> = {}): void {
    const queued = packets.map((packet): QueuedPacket => {
      this.#lastId += 1;
      return {
        id: this.#lastId,
        mark: 0x1000,
        hook: 4,
        input: 1,
        output: 2,
        packet,
        length: packet.length,
        original: undefined,
        ...more,
      };
    });
    for (const packet of queued) this.#waiting.set(packet.id, packet);
    this.#unread.push(...queued);
  }

  drain(): void {
    const queued = this.#unread.splice(0);
    if (queued.length > 0) this.options.onPackets(queued);
  }

  verdict(id: number, verdict: QueueVerdict): void {
    const queued = this.#waiting.get(id);
    if (queued === undefined) throw new Error(`verdict on ${id}, which does not wait`);
    this.#waiting.delete(id);
    if (verdict.action === 'drop') {
      this.dropped.push(id);
      return;
    }
    const bytes = Buffer.from(verdict.packet ?? queued.packet);
    this.passed.push({ how: 'accepted', bytes, mark: verdict.mark ?? queued.mark });
  }

  verdicts(entries: readonly (readonly [id: number, verdict: QueueVerdict])[]): void {
    this.calls.push(entries.length);
    for (const [id, verdict] of entries) this.verdict(id, verdict);
  }

  send(packet: Uint8Array, mark = 0): void {
    if (packet.length > this.mtu) throw systemError('SEND', -90, 'send');
    if (this.unreachable) throw systemError('SEND', -101, 'send');
    this.passed.push({ how: 'sent', bytes: Buffer.from(packet), mark });
  }

  originalOf(): OriginalTuple | undefined {
    this.asked += 1;
    return this.original;
  }

  statistics() {
    return {
      received: BigInt(this.#lastId),
      verdictErrors: 0n,
      overruns: 0n,
      waiting: this.waiting,
      droppedFull: 0,
      droppedSocket: 0,
    };
  }

  close(): void {
    this.closed += 1;
    this.#waiting.clear();
  }
}
