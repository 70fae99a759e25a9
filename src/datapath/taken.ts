/** What was taken from endpoints of the host's own network, because it has to wait: bpf/lib/hold.h. */
import { type BpfMap, type RecordBatch, RingBuffer } from '../libbpf/index.ts';
import { TakenHeadLayout } from './layouts.gen.ts';
import type { TakenPacket, TakenPackets } from './port.ts';

type Listener = (packets: readonly TakenPacket[]) => void;

/** Reads the packets of a batch whose endpoint is still there. They are views of the batch's buffer. */
export function decodeTaken(batch: RecordBatch, idOf: (endpoint: number) => string | undefined): TakenPacket[] {
  const packets: TakenPacket[] = [];
  for (let index = 0; index < batch.count; index++) {
    const offset = batch.offset(index);
    const room = batch.length(index) - TakenHeadLayout.size;
    if (room < 0) continue;
    const { endpoint: number, length, segment } = TakenHeadLayout.read(batch.buffer, offset);
    const endpoint = idOf(number);
    if (endpoint === undefined || length > room) continue;
    const start = offset + TakenHeadLayout.size;
    packets.push({ endpoint, packet: batch.buffer.subarray(start, start + length), segment });
  }
  return packets;
}

export class TakenRing implements TakenPackets {
  readonly #ring: RingBuffer;
  #listener: Listener | undefined;
  #delivering = false;

  constructor(map: BpfMap, idOf: (endpoint: number) => string | undefined) {
    this.#ring = new RingBuffer(map, {
      onBatch: (batch) => this.#deliver(batch, idOf),
      keepAlive: false,
    });
    // What an earlier agent has left nobody waits for any more.
    this.drain();
  }

  onPackets(listener: Listener): void {
    this.#listener = listener;
  }

  drain(): void {
    if (!this.#delivering && !this.#ring.closed) this.#ring.drain();
  }

  close(): void {
    this.#ring.close();
  }

  #deliver(batch: RecordBatch, idOf: (endpoint: number) => string | undefined): void {
    if (this.#listener === undefined) return;
    this.#delivering = true;
    try {
      this.#listener(decodeTaken(batch, idOf));
    } finally {
      this.#delivering = false;
    }
  }
}
