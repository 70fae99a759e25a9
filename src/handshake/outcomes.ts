import type { Conversation } from '../model/conversation.ts';
import { outcomeEntry } from './entries.ts';
import type { GuardedKernel } from './guarded-kernel.ts';
import type { VerifiedPeer } from './kernel.ts';
import type { Counters } from './statistics.ts';

/** What seems to last longer, milliseconds, was written before the clock was set back. */
const LIFETIME_MOST = 120_000;

/** One container's conversation, at the end that opened it. */
export interface Opened {
  readonly endpoint: string;
  readonly local: bigint;
  readonly conversation: Conversation;
}

export interface OutcomeLimits {
  readonly all: number;
  readonly perEndpoint: number;
}

/**
 * Entries of conversations that were refused, whose other end is nobody of the domain, or is behind a Service. A container makes as many as it
 * opens conversations: they have their own room in the kernel's table, and each endpoint its share of it, so that what is
 * verified always finds some.
 */
export class Outcomes {
  readonly #kernel: GuardedKernel;
  readonly #counters: Counters;
  readonly #limits: OutcomeLimits;
  readonly #now: () => number;
  /** When the entries of each endpoint end. */
  readonly #ends = new Map<string, number[]>();
  #count = 0;

  constructor(kernel: GuardedKernel, counters: Counters, limits: OutcomeLimits, now: () => number) {
    this.#kernel = kernel;
    this.#counters = counters;
    this.#limits = limits;
    this.#now = now;
  }

  /** False: it is not written. */
  write(opened: Opened, kind: VerifiedPeer['kind'], lifetime: number, identity = 0n): boolean {
    const expiresAt = this.#now() + lifetime;
    const { all, perEndpoint } = this.#limits;
    let own = this.#ends.get(opened.endpoint) ?? [];
    if (own.length >= perEndpoint || this.#count >= all) {
      this.expire();
      own = this.#ends.get(opened.endpoint) ?? [];
      if (own.length >= perEndpoint || this.#count >= all) {
        this.#counters.limit('outcomes');
        return false;
      }
    }
    if (!this.#kernel.verify([outcomeEntry(opened, kind, expiresAt, identity)])) return false;
    own.push(expiresAt);
    this.#ends.set(opened.endpoint, own);
    this.#count += 1;
    return true;
  }

  /** What has ended makes room. */
  expire(): void {
    const now = this.#now();
    this.#count = 0;
    for (const [endpoint, ends] of this.#ends) {
      const living = ends.filter((end) => end > now && end <= now + LIFETIME_MOST);
      this.#count += living.length;
      if (living.length === 0) this.#ends.delete(endpoint);
      else this.#ends.set(endpoint, living);
    }
  }
}
