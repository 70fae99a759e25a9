import type { Event, LostEvent } from './event.ts';

/**
 * One follower's queue. It holds at most `limit` events; when the follower is slower than events come, the newest
 * are not queued but counted, and the follower is told how many it missed where they are missing.
 */
export class Subscription implements AsyncIterable<Event | LostEvent> {
  #queue: (Event | LostEvent)[] = [];
  /** Not queued since the last `next`. They came after all that is queued, because `next` empties the queue. */
  #missed: LostEvent | undefined;
  #lost = 0;
  #closed = false;
  #wake: (() => void) | undefined;
  readonly #limit: number;
  readonly #wants: (event: Event) => boolean;
  readonly #onClose: (subscription: Subscription) => void;

  constructor(limit: number, wants: (event: Event) => boolean, onClose: (subscription: Subscription) => void) {
    this.#limit = limit;
    this.#wants = wants;
    this.#onClose = onClose;
  }

  /** Events this follower missed since it began. */
  get lost(): number {
    return this.#lost;
  }

  /** Queues the event if it is wanted and there is room. @returns whether it was lost */
  offer(event: Event): boolean {
    if (this.#closed || !this.#wants(event)) return false;
    if (this.#queue.length >= this.#limit) {
      this.#missed = { type: 'lost', time: event.time, count: (this.#missed?.count ?? 0) + 1 };
      this.#lost += 1;
      return true;
    }
    this.#queue.push(event);
    this.#wake?.();
    return false;
  }

  /**
   * The next events, all that wait; an empty list after `milliseconds` without one, so that the caller can send a
   * sign of life. Undefined once closed and drained.
   */
  async next(milliseconds: number): Promise<readonly (Event | LostEvent)[] | undefined> {
    if (this.#queue.length === 0 && !this.#closed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, milliseconds);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = undefined;
    }
    const batch = this.#missed === undefined ? this.#queue : [...this.#queue, this.#missed];
    this.#queue = [];
    this.#missed = undefined;
    return batch.length === 0 && this.#closed ? undefined : batch;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Event | LostEvent> {
    try {
      for (let batch = await this.next(60_000); batch !== undefined; batch = await this.next(60_000)) yield* batch;
    } finally {
      this.close();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wake?.();
    this.#onClose(this);
  }
}
