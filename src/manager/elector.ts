import type { Logger } from 'pino';
import type { KubernetesClient } from '../sources/kubernetes/client.ts';
import { KubernetesError } from '../sources/kubernetes/error.ts';
import { LEASES, type LooseObject } from '../sources/kubernetes/resource.ts';
import { heldBy, isHeld, type Lease, type LeaseSpec, type Observed, observe, released } from './lease.ts';

export interface ElectorOptions {
  readonly client: KubernetesClient;
  readonly namespace: string;
  readonly name: string;
  /** Unique among replicas, and another one after a restart. */
  readonly identity: string;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  /** How long others wait for a holder that is silent, milliseconds. Default 15,000. */
  readonly leaseMs?: number;
  /** How long a holder that cannot renew goes on, milliseconds; less than the lease. Default 10,000. */
  readonly renewMs?: number;
  /** Between attempts, milliseconds. Default 2,000. */
  readonly retryMs?: number;
  /** Milliseconds of a clock that never jumps. */
  readonly monotonic?: () => number;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/**
 * Sees to it that at most one replica leads. Who cannot renew in `renewMs` stops by itself before anybody else may
 * begin; a process that was stopped for a while finds that out before it does anything.
 */
export class Elector {
  readonly #options: Required<ElectorOptions>;
  readonly #listeners = new Set<(leading: boolean) => void>();
  #observed: Observed | undefined;
  /** As it was last written by us. */
  #held: Lease | undefined;
  /** Until when the last renewal is good for leading. */
  #until = Number.NEGATIVE_INFINITY;
  #told = false;
  #running: Promise<void> | undefined;
  readonly #closing = new AbortController();
  #wake: () => void = () => {};
  #failure = '';

  constructor(options: ElectorOptions) {
    const monotonic = (): number => performance.now();
    this.#options = { leaseMs: 15_000, renewMs: 10_000, retryMs: 2_000, monotonic, now: Date.now, ...options };
  }

  /** Whether this replica leads, now. */
  get leading(): boolean {
    return this.#options.monotonic() < this.#until;
  }

  /** Who is known to lead; empty: nobody. */
  get holder(): string {
    return this.leading ? this.#options.identity : (this.#observed?.holder ?? '');
  }

  /** Calls the listener when this replica begins to lead, and when it ends. */
  onChange(listener: (leading: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  start(): void {
    this.#running ??= this.#run(this.#closing.signal);
  }

  /** Stops leading, and lets another replica begin at once. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake();
    await this.#running;
    this.#running = Promise.resolve();
    const held = this.leading ? this.#held : undefined;
    this.#held = undefined;
    this.#until = Number.NEGATIVE_INFINITY;
    this.#tell();
    if (held === undefined) return;
    try {
      const { client, now } = this.#options;
      await client.update<LooseObject>(LEASES, { ...held, spec: released(held.spec, now()) });
    } catch (thrown) {
      // It runs out by itself.
      this.#options.logger.warn({ err: thrown }, 'Cannot give up leadership; others wait until the lease ends');
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#attempt(signal);
      this.#tell();
      await this.#pause();
      // Also between attempts the time may have come to stop.
      this.#tell();
    }
  }

  async #attempt(signal: AbortSignal): Promise<void> {
    const { monotonic, renewMs, logger } = this.#options;
    // An answer that comes after that is of no use; and what is renewed is good from the question on.
    const asked = monotonic();
    const limited = AbortSignal.any([signal, AbortSignal.timeout(renewMs)]);
    try {
      if (await this.#acquire(limited)) this.#until = asked + renewMs;
      else this.#until = Number.NEGATIVE_INFINITY;
      this.#failure = '';
    } catch (thrown) {
      if (signal.aborted) return;
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      // Somebody else was faster, which the next look shows.
      const lost = thrown instanceof KubernetesError && thrown.code === 'CONFLICT';
      if (!lost && reason !== this.#failure) logger.warn({ err: thrown }, 'Cannot ask for leadership');
      this.#failure = lost ? '' : reason;
    }
  }

  async #acquire(signal: AbortSignal): Promise<boolean> {
    const { client, namespace, name, identity, leaseMs, monotonic, now } = this.#options;
    const lease = await this.#read(signal);
    if (lease === undefined) {
      const spec = heldBy(identity, leaseMs, undefined, now());
      const made = await client.create<LooseObject>(LEASES, { metadata: { namespace, name }, spec }, { signal });
      this.#hold(made);
      return true;
    }
    this.#observed = observe(this.#observed, lease.spec, monotonic());
    if (isHeld(this.#observed, identity, monotonic())) return false;
    const spec: LeaseSpec = heldBy(identity, leaseMs, lease.spec, now());
    this.#hold(await client.update<LooseObject>(LEASES, { ...lease, spec }, { signal }));
    return true;
  }

  async #read(signal: AbortSignal): Promise<LooseObject | undefined> {
    const { client, namespace, name } = this.#options;
    try {
      return await client.get<LooseObject>(LEASES, { namespace, name }, signal);
    } catch (thrown) {
      if (thrown instanceof KubernetesError && thrown.code === 'NOT_FOUND') return undefined;
      throw thrown;
    }
  }

  #hold(lease: LooseObject): void {
    this.#held = lease as Lease;
    this.#observed = observe(this.#observed, lease.spec, this.#options.monotonic());
  }

  async #pause(): Promise<void> {
    const { retryMs } = this.#options;
    // Several replicas do not ask in step; who leads looks again in time to stop.
    const most = retryMs * (0.8 + 0.4 * Math.random());
    const left = this.leading ? this.#until - this.#options.monotonic() : most;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, Math.max(1, Math.min(most, left)));
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
  }

  #tell(): void {
    const { leading } = this;
    if (leading === this.#told) return;
    this.#told = leading;
    this.#options.logger.info({ holder: this.holder }, leading ? 'This replica leads' : 'This replica leads no more');
    for (const listener of [...this.#listeners]) listener(leading);
  }
}
