import { Backoff } from '../sources/backoff.ts';

export interface ReconcilerOptions {
  /** One round: reads what is wanted, makes it so. */
  readonly round: () => Promise<void>;
  /** Changes this close together are one round, milliseconds. */
  readonly settleMs: number;
  readonly retryLeastMs: number;
  readonly retryMostMs: number;
  readonly now: () => number;
  readonly onRound: (outcome: RoundOutcome) => void;
}

export interface RoundOutcome {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly durationMs: number;
  /** The former state stays where it failed. */
  readonly error?: Error;
}

interface Waiter {
  /** The first round that sees what the waiter wants applied. */
  readonly round: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * The one loop that changes the kernel. Rounds never overlap: requests during a round lead to exactly one more,
 * requests close together are one. A failed round is tried again after a wait that doubles up to a limit; a new
 * request does not wait for that.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #backoff: Backoff;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #rounds = 0;
  #failures = 0;
  #last: RoundOutcome | undefined;
  #waiters: Waiter[] = [];

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#backoff = new Backoff({ leastMs: options.retryLeastMs, mostMs: options.retryMostMs });
  }

  get rounds(): number {
    return this.#rounds;
  }

  get failures(): number {
    return this.#failures;
  }

  get last(): RoundOutcome | undefined {
    return this.#last;
  }

  /** Something changed. */
  request(): void {
    if (this.#closed) return;
    if (this.#running !== undefined) this.#again = true;
    else this.#schedule(this.#options.settleMs);
  }

  /**
   * Requests a round, and resolves when one that began after this call has succeeded.
   * @throws the error of that round
   */
  applied(): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('the agent is stopping'));
    return new Promise((resolve, reject) => {
      this.#waiters.push({ round: this.#rounds + (this.#running === undefined ? 1 : 2), resolve, reject });
      this.request();
    });
  }

  /** Ends the loop; resolves when no round runs. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(new Error('the agent is stopping'));
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      // Begun in a later turn, so that `#running` is set before the round can ask for another.
      this.#running = Promise.resolve().then(() => this.#run());
    }, delayMs);
  }

  async #run(): Promise<void> {
    this.#again = false;
    const startedAt = this.#options.now();
    const begun = performance.now();
    let error: Error | undefined;
    try {
      await this.#options.round();
    } catch (thrown) {
      error = thrown instanceof Error ? thrown : new Error(String(thrown));
    }
    // `rounds` counts ended ones: who asks while one runs waits for the one after it.
    this.#rounds += 1;
    if (error === undefined) this.#backoff.reset();
    else this.#failures += 1;
    this.#last = { startedAt, durationMs: performance.now() - begun, ...(error === undefined ? {} : { error }) };
    this.#running = undefined;
    this.#options.onRound(this.#last);
    this.#settle(error);
    if (this.#closed) return;
    if (this.#again) this.#schedule(this.#options.settleMs);
    else if (error !== undefined) this.#schedule(Math.max(this.#options.retryLeastMs, this.#backoff.next()));
  }

  #settle(error: Error | undefined): void {
    const due = this.#waiters.filter((waiter) => waiter.round <= this.#rounds);
    this.#waiters = this.#waiters.filter((waiter) => waiter.round > this.#rounds);
    for (const waiter of due) {
      if (error === undefined) waiter.resolve();
      else waiter.reject(error);
    }
  }
}
