import type { Logger } from 'pino';
import { KubernetesError } from '../sources/kubernetes/error.ts';
import { Lines } from './lines.ts';

/** One thing to be written, by a key; a later one of the same key takes its place. */
export interface Write {
  /** For whom: a namespace, empty for what is of the whole cluster. They are served in turn. */
  readonly party: string;
  readonly key: string;
  /** Whether it is still to be done when its turn has come, and how. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

export interface ApplierOptions {
  readonly logger: Pick<Logger, 'warn'>;
  /** Asked before each write: nothing is written by who does not lead. */
  readonly mayWrite: () => boolean;
  /** Writes a second over time, and at once. Defaults 20 and 100. */
  readonly rate?: number;
  readonly burst?: number;
  /** Wait after a first failure, and the longest, milliseconds. Defaults 500 and 60,000. */
  readonly leastMs?: number;
  readonly mostMs?: number;
  /** Milliseconds of a clock that never jumps. */
  readonly monotonic?: () => number;
  readonly random?: () => number;
}

interface Waiting {
  readonly write: Write;
  readonly attempts: number;
  readonly at: number;
}

/** Writes under way at once. */
const AT_ONCE = 4;
/** Writes that wait; a cluster has no more objects that are ours. What is beyond is asked for again by the next round. */
const MOST_WAITING = 200_000;

/**
 * Writes objects one after the other, a namespace's after another's, not faster than the API server likes; what fails is
 * tried again later.
 */
export class Applier {
  readonly #options: Required<ApplierOptions>;
  readonly #waiting = new Lines<Waiting>(MOST_WAITING);
  readonly #running = new Map<string, Promise<void>>();
  readonly #closing = new AbortController();
  readonly #counts = { written: 0, failed: 0 };
  #tokens: number;
  #filled: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ApplierOptions) {
    const monotonic = (): number => performance.now();
    const standard = { rate: 20, burst: 100, leastMs: 500, mostMs: 60_000, monotonic, random: Math.random };
    this.#options = { ...standard, ...options };
    this.#tokens = this.#options.burst;
    this.#filled = this.#options.monotonic();
  }

  get statistics(): { readonly waiting: number; readonly written: number; readonly failed: number } {
    return { ...this.#counts, waiting: this.#waiting.size };
  }

  /** What is to be written; what waits after a failure goes on waiting, with the new content. */
  add(write: Write): void {
    if (this.#closing.signal.aborted) return;
    const { party, key } = write;
    const known = this.#waiting.get(party, key) ?? { attempts: 0, at: 0 };
    this.#waiting.set(party, key, { ...known, write });
    this.#schedule(0);
  }

  /** Forgets what has not been begun, of keys that begin so: it is no longer wanted. */
  drop(prefix: string, keep: (key: string) => boolean = () => false): void {
    this.#waiting.filter((key) => !key.startsWith(prefix) || keep(key));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    this.#waiting.clear();
    await Promise.allSettled(this.#running.values());
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#work(), ms);
  }

  #work(): void {
    const { monotonic, rate, mayWrite } = this.#options;
    if (this.#closing.signal.aborted) return;
    if (!mayWrite()) {
      // The next leader finds out by itself what is missing.
      this.#waiting.clear();
      return;
    }
    this.#fill();
    const now = monotonic();
    while (this.#tokens >= 1) {
      // The end of one of them looks again.
      if (this.#running.size >= AT_ONCE) return;
      const waiting = this.#waiting.take(({ at }, key) => at <= now && !this.#running.has(key));
      if (waiting === undefined) {
        this.#scheduleNext(now);
        return;
      }
      this.#tokens -= 1;
      this.#running.set(waiting.write.key, this.#run(waiting));
    }
    if (this.#waiting.size > 0) this.#schedule(1_000 / rate);
  }

  /** When what has failed is to be tried again. */
  #scheduleNext(now: number): void {
    let next = Number.POSITIVE_INFINITY;
    for (const { at } of this.#waiting.values()) if (at > now) next = Math.min(next, at - now);
    if (next !== Number.POSITIVE_INFINITY) this.#schedule(Math.max(1, next));
  }

  async #run(waiting: Waiting): Promise<void> {
    const { key } = waiting.write;
    try {
      await waiting.write.run(this.#closing.signal);
      this.#counts.written += 1;
    } catch (thrown) {
      if (!this.#closing.signal.aborted) this.#failed(waiting, thrown);
    } finally {
      this.#running.delete(key);
      this.#schedule(0);
    }
  }

  #failed({ write, attempts }: Waiting, thrown: unknown): void {
    const { leastMs, mostMs, monotonic, random, logger } = this.#options;
    this.#counts.failed += 1;
    // Each first failure is told; what goes on failing is counted.
    if (attempts === 0) logger.warn({ err: thrown, object: write.key }, 'Cannot write an object; it is tried again');
    const asked = thrown instanceof KubernetesError ? (thrown.retryAfterMs ?? 0) : 0;
    const backoff = Math.min(mostMs, leastMs * 2 ** Math.min(attempts, 20)) * (0.5 + 0.5 * random());
    const at = monotonic() + Math.max(asked, backoff);
    // Something newer may have come meanwhile.
    const { party, key } = write;
    const newer = this.#waiting.get(party, key)?.write ?? write;
    this.#waiting.set(party, key, { write: newer, attempts: attempts + 1, at });
  }

  #fill(): void {
    const { monotonic, rate, burst } = this.#options;
    const now = monotonic();
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#filled) / 1_000) * rate);
    this.#filled = now;
  }
}
