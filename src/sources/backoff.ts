import { setTimeout as sleep } from 'node:timers/promises';

export interface BackoffOptions {
  /** Upper bound of the first wait, milliseconds; doubles with every failure. */
  readonly leastMs: number;
  /** Upper bound of every wait. */
  readonly mostMs: number;
  /** From 0 to below 1. */
  readonly random?: () => number;
}

/** Waits between attempts with full jitter: anything from 0 to a bound that doubles, so that many do not come at once. */
export class Backoff {
  readonly #options: BackoffOptions;
  #failures = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** The next wait in milliseconds. */
  next(): number {
    const { leastMs, mostMs, random = Math.random } = this.#options;
    const bound = Math.min(mostMs, leastMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return Math.floor(random() * bound);
  }

  /** Waits; returns at once when the signal aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    const ms = this.next();
    if (signal.aborted) return;
    await sleep(ms, undefined, { signal }).catch((thrown: unknown) => {
      if (!signal.aborted) throw thrown;
    });
  }

  /** It works again: the next wait is a first one. */
  reset(): void {
    this.#failures = 0;
  }
}
