import { argumentError, fail } from './errors.ts';
import { BpfMap } from './map.ts';
import { native, type PollHandle, type RingHandle } from './native.ts';
import { checkInteger, expectOk, opened, Resource } from './resource.ts';

const DEFAULT_BATCH_BYTES = 256 * 1024;
/** The smallest record is 8 bytes with its header, but nobody sends those: at most this many a batch. */
const RECORD_BYTES = 32;

/** Records of one wake-up. Valid until the handler returns: the buffer is filled again afterwards. */
export interface RecordBatch {
  readonly buffer: Buffer;
  readonly count: number;
  /** Where record `index` begins in `buffer`; a multiple of 8. */
  offset(index: number): number;
  /** Bytes of record `index`. */
  length(index: number): number;
}

export interface RingBufferOptions {
  /** Gets up to `maxBatchBytes` of records; between two calls the event loop turns. What it throws is an uncaught exception. */
  readonly onBatch: (batch: RecordBatch) => void;
  /** Closes the ring buffer. */
  readonly signal?: AbortSignal;
  /** Default 256 KiB. A record that is longer is passed over and counted in `oversized`. */
  readonly maxBatchBytes?: number;
  /** Whether it keeps the process alive. Default true. */
  readonly keepAlive?: boolean;
}

export interface RingStatus {
  /** Bytes written and not yet read, records' headers included. */
  readonly available: number;
  /** Bytes the ring holds. */
  readonly capacity: number;
  /** Records longer than a batch, not delivered. */
  readonly oversized: number;
}

class Batch implements RecordBatch {
  readonly buffer: Buffer;
  readonly places: Uint32Array;
  count = 0;

  constructor(bytes: number) {
    this.buffer = Buffer.alloc(bytes);
    this.places = new Uint32Array(2 * Math.max(1, Math.floor(bytes / RECORD_BYTES)));
  }

  offset(index: number): number {
    return this.#place(index, 0);
  }

  length(index: number): number {
    return this.#place(index, 1);
  }

  #place(index: number, part: 0 | 1): number {
    if (!(index >= 0 && index < this.count)) throw new RangeError(`There is no record ${index} among ${this.count}`);
    return this.places[2 * index + part]!;
  }
}

/**
 * Reads a BPF ring buffer from the event loop: many records at a time, in one buffer that is used again. While paused,
 * records stay in the ring; what finds no room there is lost at the producer, who is to count it. One reader a ring.
 */
export class RingBuffer extends Resource<RingHandle> {
  readonly #name: string;
  readonly #poll: PollHandle;
  readonly #onBatch: (batch: RecordBatch) => void;
  readonly #batch: Batch;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => this.close();
  #paused = false;
  #reading = false;

  constructor(map: BpfMap, options: RingBufferOptions) {
    if (!(map instanceof BpfMap)) throw argumentError('read a ring buffer', 'a BpfMap is wanted');
    const { onBatch, signal, maxBatchBytes = DEFAULT_BATCH_BYTES, keepAlive = true } = options;
    const attempted = `read ring buffer "${map.name}"`;
    if (typeof onBatch !== 'function') throw argumentError(attempted, 'onBatch must be a function');
    checkInteger(maxBatchBytes, 64, 1 << 30, 'a batch size');
    if (map.type !== 'ring_buffer') throw argumentError(attempted, `it is of type ${map.type}`);
    super(opened(native.openRing(map.handle('read')), 'RING', attempted));
    this.#name = map.name;
    this.#onBatch = onBatch;
    this.#batch = new Batch(maxBatchBytes);
    this.#signal = signal;
    this.#poll = opened(
      native.createPoll(this.live(), (status) => this.#wake(status)),
      'RING',
      attempted,
    );
    if (!keepAlive) native.refPoll(this.#poll, false);
    if (signal?.aborted) {
      this.close();
      return;
    }
    expectOk(native.resumePoll(this.#poll), 'RING', attempted);
    signal?.addEventListener('abort', this.#abort, { once: true });
  }

  protected override describe(): string {
    return `ring buffer "${this.#name}"`;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Stops reading; records wait in the ring. */
  pause(): void {
    this.live('pause');
    if (this.#paused) return;
    this.#paused = true;
    expectOk(native.pausePoll(this.#poll), 'RING', `pause ${this.describe()}`);
  }

  resume(): void {
    this.live('resume');
    if (!this.#paused) return;
    this.#paused = false;
    expectOk(native.resumePoll(this.#poll), 'RING', `resume ${this.describe()}`);
  }

  /** Delivers what is there now, without waiting for the event loop; returns how many records. Not from `onBatch`. */
  drain(): number {
    let total = 0;
    for (;;) {
      const count = this.#deliver();
      total += count;
      if (count === 0 || this.closed || this.#paused) return total;
    }
  }

  status(): RingStatus {
    return native.ringStatus(this.live('ask about'));
  }

  override close(): void {
    if (this.closed) return;
    this.#signal?.removeEventListener('abort', this.#abort);
    native.close(this.#poll);
    super.close();
  }

  #wake(status: number): void {
    if (status < 0) {
      this.close();
      fail('RING', status, `wait for ${this.describe()}`);
    }
    this.#deliver();
  }

  #deliver(): number {
    const handle = this.live('read');
    if (this.#reading) throw argumentError(`read ${this.describe()}`, 'its handler is running');
    const count = native.consumeRing(handle, this.#batch.buffer, this.#batch.places);
    if (count === 0) return 0;
    this.#batch.count = count;
    this.#reading = true;
    try {
      this.#onBatch(this.#batch);
    } finally {
      this.#reading = false;
    }
    return count;
  }
}
