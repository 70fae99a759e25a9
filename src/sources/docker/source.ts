import { Backoff } from '../backoff.ts';
import { asSourceError, SourceError } from '../error.ts';
import { Health } from '../health.ts';
import type { Host } from '../host.ts';
import { Roster } from '../roster.ts';
import type { CgroupHint, EndpointSource, Sightings, SourceStatus } from '../source.ts';
import { toCandidate } from './container.ts';
import { Engine } from './engine.ts';
import type { EngineEvent } from './messages.ts';

/** Events from this long before the subscription are asked for, so that none falls between it and the list. */
const OVERLAP_MS = 1_000;

/** Containers asked for at once, as many as the engine's connections. */
const INSPECTIONS = 8;

export interface DockerOptions {
  readonly host: Host;
  readonly domain: string;
  /** Path of the engine's UNIX socket. */
  readonly socket: string;
  /** Patterns of labels that are no part of identities; see `naming.ts` for the default. */
  readonly noise?: readonly string[];
  /** Everything is asked for again this often, milliseconds. Default 60,000. */
  readonly resyncMs?: number;
  /** How long any answer may take, milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /** Waits after failures, milliseconds. Default 100 to 10,000. */
  readonly retry?: { readonly leastMs: number; readonly mostMs: number };
}

/**
 * Containers of a Docker engine: subscribes to events, then lists, then follows, and begins anew when the connection
 * breaks. While the engine is away everything stays known; containers leave only when their processes do.
 */
export class DockerSource implements EndpointSource {
  readonly name = 'docker';
  readonly #options: DockerOptions;
  readonly #engine: Engine;
  readonly #health: Health;
  readonly #roster: Roster;
  readonly #closing = new AbortController();
  /** Containers being asked for; true where something happened since the question. */
  readonly #asking = new Map<string, boolean>();
  /** What the list said of a container when it was last asked for. */
  #summaries = new Map<string, string>();
  #running: Promise<void> | undefined;

  constructor(options: DockerOptions) {
    const { host, domain, socket, timeoutMs = 10_000 } = options;
    this.#options = options;
    this.#engine = new Engine({ socket, timeoutMs, connections: INSPECTIONS });
    this.#health = new Health(host.now);
    this.#roster = new Roster({ host, domain, health: this.#health });
  }

  get synced(): boolean {
    return this.#roster.publication.synced;
  }

  snapshot(): Sightings {
    return this.#roster.publication.value;
  }

  onChange(listener: () => void): () => void {
    return this.#roster.publication.subscribe(listener);
  }

  status(): SourceStatus {
    return this.#health.status();
  }

  /** The engine tells of containers soon enough by itself; an ended one is noticed at once. */
  hint(hint: CgroupHint): void {
    if (hint.operation === 'removed') this.#roster.changed();
  }

  async start(signal: AbortSignal): Promise<void> {
    if (this.#running === undefined) {
      signal.addEventListener('abort', () => void this.close(), { once: true });
      if (signal.aborted) await this.close();
      this.#running = this.#run(this.#closing.signal);
    }
    await this.#roster.publication.first;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    await this.#roster.close();
    await this.#engine.close();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.#options.retry ?? { leastMs: 100, mostMs: 10_000 });
    while (!signal.aborted) {
      try {
        await this.#session(signal, backoff);
      } catch (thrown) {
        if (signal.aborted) return;
        this.#health.fails('engine', asSourceError(thrown, 'UNREACHABLE', 'follow the engine'));
        // Its containers may live on without it, or may not.
        this.#roster.refresh();
      }
      this.#health.restarts();
      await backoff.wait(signal);
    }
  }

  /** One connection, until it breaks. */
  async #session(parent: AbortSignal, backoff: Backoff): Promise<never> {
    const session = new AbortController();
    const signal = AbortSignal.any([parent, session.signal]);
    let resync: NodeJS.Timeout | undefined;
    const broken = Promise.withResolvers<never>();
    broken.promise.catch(() => {}); // whoever waits for it gets it; nobody may be waiting yet
    try {
      await this.#engine.negotiate(signal);
      const events = await this.#engine.subscribe(this.#options.host.now() - OVERLAP_MS, signal);
      await this.#relist(signal);
      this.#roster.complete();
      this.#health.works('engine');
      backoff.reset();
      const again = (): void => {
        resync = setTimeout(() => this.#relist(signal).then(again, broken.reject), this.#options.resyncMs ?? 60_000);
      };
      again();
      return await Promise.race([this.#follow(events, signal, broken.reject), broken.promise]);
    } finally {
      clearTimeout(resync);
      session.abort();
      this.#asking.clear();
    }
  }

  async #follow(
    events: AsyncIterable<EngineEvent>,
    signal: AbortSignal,
    onError: (thrown: unknown) => void,
  ): Promise<never> {
    for await (const event of events) {
      const id = event.Type === 'container' ? event.Actor?.ID : event.Actor?.Attributes?.container;
      if (!id) continue;
      // The process of a container that died is gone already; no need to wait for what the engine says.
      this.#roster.changed();
      this.#ask(id, signal).catch(onError);
    }
    throw new SourceError('UNREACHABLE', `The engine on ${this.#options.socket} ended its events`);
  }

  /** Asks for all containers whose entry in the list is new, and for known ones that are no longer listed. */
  async #relist(signal: AbortSignal): Promise<void> {
    const listed = new Map((await this.#engine.list(signal)).map(({ id, summary }) => [id, summary]));
    const changed = [...listed].filter(([id, summary]) => this.#summaries.get(id) !== summary || !this.#roster.get(id));
    const gone = new Set([...this.#roster.ids, ...this.#summaries.keys()].filter((id) => !listed.has(id)));
    this.#summaries = listed;
    await Promise.all([...changed.map(([id]) => id), ...gone].map((id) => this.#ask(id, signal)));
    this.#roster.refresh();
  }

  /**
   * Asks for one container and enters the answer; once more where something happened to it meanwhile. Resolves when
   * an answer to a question not older than this call was entered, or somebody else will see to that.
   */
  async #ask(id: string, signal: AbortSignal): Promise<void> {
    if (this.#asking.has(id)) {
      this.#asking.set(id, true);
      return;
    }
    do {
      this.#asking.set(id, false);
      await this.#enter(id, signal);
      if (signal.aborted) return;
    } while (this.#asking.get(id));
    this.#asking.delete(id);
  }

  async #enter(id: string, signal: AbortSignal): Promise<void> {
    const part = `container ${id.slice(0, 12)}`;
    try {
      const inspected = await this.#engine.inspect(id, signal);
      if (signal.aborted) return;
      const candidate = inspected === undefined ? undefined : toCandidate(inspected, this.#options.noise);
      if (candidate === undefined) this.#roster.delete(id);
      else this.#roster.set(candidate);
      this.#health.works(part);
    } catch (thrown) {
      // What the engine cannot tell of one container must not keep us from the others.
      const one = thrown instanceof SourceError && ['MALFORMED', 'TOO_LARGE', 'REFUSED'].includes(thrown.code);
      if (!one) throw thrown;
      this.#health.fails(part, thrown);
    }
  }
}
