import type { Context } from './context.ts';
import type { Reason, Revoke } from './messages.ts';

/** What a revocation is about. */
export interface Revocable {
  readonly id: bigint;
  readonly agent: string;
  readonly end: 'source' | 'destination';
  readonly expiresAt: number;
}

interface Kept {
  readonly message: Revoke;
  readonly until: number;
}

/**
 * Revocations reach the other end even where the connection breaks: each is kept until what it revokes would have ended
 * by itself, and said again on every new connection. Saying it twice does no harm.
 */
export class Revocations {
  readonly #context: Context;
  readonly #kept = new Map<string, Map<string, Kept>>();

  constructor(context: Context) {
    this.#context = context;
  }

  get empty(): boolean {
    return this.#kept.size === 0;
  }

  send({ id, agent, end, expiresAt }: Revocable, reason: Reason): void {
    const message: Revoke = { kind: 'revoke', id, reason, yours: end === 'destination' };
    this.#context.post.send(agent, message);
    let kept = this.#kept.get(agent);
    if (kept === undefined) {
      kept = new Map();
      this.#kept.set(agent, kept);
    }
    const key = `${end} ${id.toString(16)}`;
    // The last said is the last to go.
    kept.delete(key);
    kept.set(key, { message, until: expiresAt });
    if (kept.size <= this.#context.limits.revocations) return;
    kept.delete(kept.keys().next().value ?? '');
    this.#context.counters.limit('revocations');
  }

  /** A new connection with the agent: what it may have missed is said again. */
  resend(agent: string): void {
    for (const { message } of this.#kept.get(agent)?.values() ?? []) {
      if (!this.#context.post.send(agent, message)) return;
    }
  }

  expire(): void {
    const now = this.#context.now();
    for (const [agent, kept] of this.#kept) {
      for (const [key, { until }] of kept) if (until <= now) kept.delete(key);
      if (kept.size === 0) this.#kept.delete(agent);
    }
  }
}
