import type { Context, Outcome } from './context.ts';
import type { UnderWay } from './ending.ts';
import { refusal } from './messages.ts';
import { recordOf, type Verified, type VerifiedTable } from './verified.ts';

interface Waiting {
  readonly verified: Verified;
  /** No token was asked for: the Accept said all. */
  readonly withoutToken: boolean;
  readonly stopTimer: () => void;
}

/** What the destination has verified and the source has not confirmed yet. What is not confirmed in time is revoked. */
export class Unconfirmed {
  readonly #context: Context;
  readonly #table: VerifiedTable;
  readonly #waiting = new Map<string, Waiting>();
  readonly #perAgent = new Map<string, number>();

  constructor(context: Context, table: VerifiedTable) {
    this.#context = context;
    this.#table = table;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** How many wait for this agent. */
  of(agent: string): number {
    return this.#perAgent.get(agent) ?? 0;
  }

  list(): UnderWay[] {
    return [...this.#waiting.values()].map(({ verified }) => ({ ...recordOf(verified), state: 'verified' }));
  }

  /** Tells the source, and waits for its word. */
  add(verified: Verified, withoutToken: boolean): void {
    const key = keyOf(verified.agent, verified.id);
    const stopTimer = this.#context.timer(this.#context.timing.confirm, () => {
      if (this.#settle(key)) this.#table.revoke([verified], { reason: 'timeout' });
    });
    const waiting = { verified, withoutToken, stopTimer };
    this.#waiting.set(key, waiting);
    this.#perAgent.set(verified.agent, this.of(verified.agent) + 1);
    this.#say(waiting);
  }

  confirm(agent: string, id: bigint): void {
    const waiting = this.#waiting.get(keyOf(agent, id));
    if (waiting !== undefined && this.#settle(keyOf(agent, id))) {
      const { verified } = waiting;
      this.#table.confirm(verified);
      const { rule } = verified;
      this.#context.record({ ...recordOf(verified), result: 'verified', step: 'confirm', reason: '', rule });
      return;
    }
    if (this.#table.get('destination', agent, id) !== undefined) {
      this.#context.counters.ignore('duplicate');
      return;
    }
    this.#context.counters.ignore('unknown');
    // The source believes that we agreed; it must not go on believing so.
    this.#context.post.send(agent, refusal(id, 'gone', true));
  }

  /** The source says no after all. False: nothing waits for it. */
  refused(agent: string, id: bigint, ending: Pick<Outcome, 'result' | 'step' | 'reason' | 'rule'>): boolean {
    const key = keyOf(agent, id);
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return false;
    if (!this.#settle(key)) return true;
    this.#table.forget([waiting.verified]);
    this.#context.record({ ...recordOf(waiting.verified), ...ending });
    return true;
  }

  /** There is a new way to the agent; what was said on the former one may be lost. */
  connected(agent: string): void {
    for (const waiting of this.#waiting.values()) if (waiting.verified.agent === agent) this.#say(waiting);
  }

  close(): void {
    for (const [key, { verified }] of [...this.#waiting]) if (this.#settle(key)) this.#table.forget([verified]);
  }

  #say({ verified, withoutToken }: Waiting): void {
    const { agent, id, local, direct, lifetime } = verified;
    const said = { id, destination: local, direct, lifetime };
    if (withoutToken) this.#context.post.send(agent, { kind: 'accept', ...said, token: undefined });
    else this.#context.post.send(agent, { kind: 'arrived', ...said });
  }

  /** It waits no longer. False: what it was about has been revoked meanwhile, or belongs to a later handshake. */
  #settle(key: string): boolean {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return false;
    const { verified, stopTimer } = waiting;
    stopTimer();
    this.#waiting.delete(key);
    const left = this.of(verified.agent) - 1;
    if (left === 0) this.#perAgent.delete(verified.agent);
    else this.#perAgent.set(verified.agent, left);
    return this.#table.get('destination', verified.agent, verified.id) === verified;
  }
}

function keyOf(agent: string, id: bigint): string {
  return `${id.toString(16)} ${agent}`;
}
