import { Backoff } from './backoff.ts';
import { asSourceError, SourceError } from './error.ts';
import { Health } from './health.ts';
import type { Host } from './host.ts';
import { Roster } from './roster.ts';
import type { CgroupHint, EndpointSource, Sightings, SourceStatus } from './source.ts';

/** Options of every source that asks a runtime over its socket. */
export interface ConnectedOptions {
  readonly host: Host;
  /** Part of every identity. */
  readonly domain: string;
  /** Path of the runtime's UNIX socket. */
  readonly socket: string;
  /** Patterns of labels that are no part of identities; see `naming.ts` for the default. */
  readonly noise?: readonly string[];
  /** Everything is looked at again this often, milliseconds. Default 60,000. */
  readonly resyncMs?: number;
  /** How long any answer may take, milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /** Waits after failures, milliseconds. Default 100 to 10,000. */
  readonly retry?: { readonly leastMs: number; readonly mostMs: number };
}

/**
 * A source that follows a runtime over a connection and begins anew when that breaks. While the runtime is away
 * everything stays known; containers leave only when their processes do.
 */
export abstract class ConnectedSource implements EndpointSource {
  abstract readonly name: string;
  protected readonly roster: Roster;
  readonly #health: Health;
  readonly #retry: { readonly leastMs: number; readonly mostMs: number };
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;

  constructor({ host, domain, retry }: ConnectedOptions) {
    this.#retry = retry ?? { leastMs: 100, mostMs: 10_000 };
    this.#health = new Health(host.now);
    this.roster = new Roster({ host, domain, health: this.#health });
  }

  get synced(): boolean {
    return this.roster.publication.synced;
  }

  snapshot(): Sightings {
    return this.roster.publication.value;
  }

  onChange(listener: () => void): () => void {
    return this.roster.publication.subscribe(listener);
  }

  status(): SourceStatus {
    return this.#health.status();
  }

  abstract hint(hint: CgroupHint): void;

  async start(signal: AbortSignal): Promise<void> {
    if (this.#running === undefined) {
      signal.addEventListener('abort', () => void this.close(), { once: true });
      if (signal.aborted) await this.close();
      this.#running = this.#run(this.#closing.signal);
    }
    await this.roster.publication.first;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    await this.roster.close();
  }

  /**
   * One connection, until it breaks or the signal aborts.
   * @param known to be called when all that runs was entered, and whenever it was again
   */
  protected abstract session(signal: AbortSignal, known: () => void): Promise<never>;

  /**
   * Asks for one container. What the runtime cannot tell of one must not keep us from the others: then the answer is
   * undefined, and the source unhealthy until it is asked for again or no more.
   */
  protected async attempt<T>(id: string, ask: () => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await ask();
      this.#health.works(partOf(id));
      return answer;
    } catch (thrown) {
      const one = thrown instanceof SourceError && ['MALFORMED', 'TOO_LARGE', 'REFUSED'].includes(thrown.code);
      if (!one) throw thrown;
      this.#health.fails(partOf(id), thrown);
      return undefined;
    }
  }

  /** Only these are there; failures to tell of others are over. */
  protected only(ids: Iterable<string>): void {
    const parts = new Set([...ids].map(partOf));
    this.#health.drop((part) => part.startsWith(partOf('')) && !parts.has(part));
  }

  async #run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.#retry);
    const known = (): void => {
      this.roster.complete();
      this.#health.works('runtime');
      backoff.reset();
    };
    while (!signal.aborted) {
      const session = new AbortController();
      try {
        await this.session(AbortSignal.any([signal, session.signal]), known);
      } catch (thrown) {
        if (signal.aborted) return;
        this.#health.fails('runtime', asSourceError(thrown, 'UNREACHABLE', `follow ${this.name}`));
        // Its containers may live on without it, or may not.
        this.roster.refresh();
      } finally {
        // Whatever the session left under way ends with it.
        session.abort();
      }
      this.#health.restarts();
      await backoff.wait(signal);
    }
  }
}

/** Name of the part of a source's health that is about one container. */
function partOf(id: string): string {
  return `container ${id.slice(0, 12)}`;
}
