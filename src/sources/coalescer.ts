/**
 * Runs a task after it was asked for, one run at a time: whatever was asked within `delayMs` is one run, and what
 * is asked during a run leads to exactly one more.
 */
export class Coalescer {
  readonly #task: () => Promise<void>;
  readonly #onError: (thrown: unknown) => void;
  readonly #delayMs: number;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #asked = false;
  #closed = false;

  /**
   * @param delayMs how long what is asked is gathered; 0 still lets the current turn of the event loop end
   * @param onError gets what the task throws; the next run is not affected
   */
  constructor(task: () => Promise<void>, delayMs: number, onError: (thrown: unknown) => void) {
    this.#task = task;
    this.#delayMs = delayMs;
    this.#onError = onError;
  }

  /** Asks for a run. */
  request(): void {
    if (this.#closed) return;
    this.#asked = true;
    if (this.#running !== undefined || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.#run();
    }, this.#delayMs);
  }

  /** Ends it; resolves when no run is under way. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }

  async #run(): Promise<void> {
    this.#asked = false;
    try {
      await this.#task();
    } catch (thrown) {
      this.#onError(thrown);
    }
    this.#running = undefined;
    if (this.#asked) this.request();
  }
}
