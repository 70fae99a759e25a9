import { Backoff } from '../backoff.ts';
import type { SourceErrorCode } from '../error.ts';
import { SourceError } from '../error.ts';
import { Health } from '../health.ts';
import type { Source, SourceStatus } from '../source.ts';
import { KubernetesClient } from './client.ts';
import { Collection } from './collection.ts';
import type { Connection } from './connection.ts';
import type { KubernetesErrorCode } from './error.ts';
import { asKubernetesError, KubernetesError } from './error.ts';
import type { ApiObject, ResourceType } from './resource.ts';
import { keyOf, pathOf } from './resource.ts';
import type { WatchEvent } from './watch-event.ts';
import { parseEvent } from './watch-event.ts';

/** Objects kept at most; a cluster with more of a kind is refused whole, and what was known stays. */
const MOST_OBJECTS = 200_000;
/** A watch that lived this long has worked: the next wait is a first one. Milliseconds. */
const STABLE_MS = 5_000;
/** A kind that nobody needs to install may be said to be gone only after this long: servers begin without them. */
const GONE_MS = 60_000;

export interface ReflectorOptions<T, O extends ApiObject = ApiObject> {
  readonly connection: Connection;
  readonly resource: ResourceType<O>;
  /** The same kind as servers have it that do not know that one yet. */
  readonly older?: ResourceType<O>;
  /**
   * What is kept of an object; undefined: nothing. Must be pure: it is asked again only when the object changed. What it
   * returns must hold no part of the object that is not needed: the rest of it can then be freed.
   */
  readonly project: (object: O) => T | undefined;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Of one namespace only. */
  readonly namespace?: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  /** Lists what the API server has in its cache: for few of many objects, which its database would search for. */
  readonly fromCache?: boolean;
  /** Where nobody has installed the kind, there are none. Else the source waits for it. */
  readonly optional?: boolean;
  /** Something is known of it from before: that it is not installed is then believed only after a minute. */
  readonly remembers?: () => boolean;
  /** Objects asked for at once. Default 500. */
  readonly pageSize?: number;
  /** Everything is listed again this often at least, milliseconds. Default 600,000. */
  readonly relistMs?: number;
  /** The server is asked to end a watch after this long, milliseconds. Default 300,000. */
  readonly watchMs?: number;
  /** A watch that says nothing for this long is made anew; a bookmark comes each minute. Default 150,000. */
  readonly idleMs?: number;
  /** How long changes are gathered before listeners hear of them, milliseconds. Default 5. */
  readonly gatherMs?: number;
  /**
   * What all that is kept may take as JSON. A cluster with more of the kind is refused whole, as one with too many objects
   * is. Default: it is not measured.
   */
  readonly mostBytes?: number;
  /** Waits after failures, milliseconds. Default 200 to 30,000. */
  readonly retry?: { readonly leastMs: number; readonly mostMs: number };
}

/** What a reflector did since it was made. */
export interface ReflectorStatistics {
  readonly lists: number;
  readonly watches: number;
  /** Changes told by watches; bookmarks are not among them. */
  readonly events: number;
  /** Watches that fell silent. */
  readonly silent: number;
  /** Events and objects that could not be understood. */
  readonly malformed: number;
  readonly failures: Readonly<Partial<Record<KubernetesErrorCode, number>>>;
  readonly objects: number;
  /** When it last heard from the server, milliseconds since the epoch; 0: never. */
  readonly heardAt: number;
}

/**
 * Follows a collection of the API: lists it, then watches from there. While the server is away the last snapshot
 * stays; objects leave when the server says so.
 */
export class Reflector<T, O extends ApiObject = ApiObject> implements Source<ReadonlyMap<string, T>> {
  readonly name: string;
  readonly #options: ReflectorOptions<T, O>;
  readonly #client: KubernetesClient;
  readonly #collection: Collection<T>;
  readonly #health: Health;
  readonly #backoff: Backoff;
  readonly #closing = new AbortController();
  readonly #failures: Partial<Record<KubernetesErrorCode, number>> = {};
  readonly #counts = { lists: 0, watches: 0, events: 0, silent: 0, malformed: 0 };
  #running: Promise<void> | undefined;
  /** Where the next watch begins; undefined: with a list. */
  #version: string | undefined;
  #listAt = 0;
  #heardAt = 0;
  #missingSince: number | undefined;
  /** Asked for: the kind, or the older one. */
  #resource: ResourceType<O>;
  /** The server no longer knew a version: what is listed next must be newer than its cache, or in one piece. */
  #expired: 'no' | 'watch' | 'page' = 'no';

  constructor(options: ReflectorOptions<T, O>) {
    const { connection, resource, now, retry, mostBytes, gatherMs = 5 } = options;
    this.name = `kubernetes/${resource.plural}`;
    this.#options = options;
    this.#resource = resource;
    this.#client = new KubernetesClient(connection);
    this.#collection = new Collection(gatherMs, mostBytes === undefined ? undefined : jsonBytes);
    this.#health = new Health(now);
    this.#backoff = new Backoff(retry ?? { leastMs: 200, mostMs: 30_000 });
  }

  get synced(): boolean {
    return this.#collection.synced;
  }

  snapshot(): ReadonlyMap<string, T> {
    return this.#collection.snapshot();
  }

  onChange(listener: () => void): () => void {
    return this.#collection.subscribe(listener);
  }

  status(): SourceStatus {
    return this.#health.status();
  }

  statistics(): ReflectorStatistics {
    const { size: objects } = this.#collection;
    return { ...this.#counts, failures: { ...this.#failures }, objects, heardAt: this.#heardAt };
  }

  async start(signal: AbortSignal): Promise<void> {
    if (this.#running === undefined) {
      signal.addEventListener('abort', () => void this.close(), { once: true });
      if (signal.aborted) await this.close();
      this.#running = this.#run(this.#closing.signal);
    }
    await this.#collection.first;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#collection.close();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let began: number | undefined;
      let failure: KubernetesError | undefined;
      try {
        if (this.#version === undefined || performance.now() >= this.#listAt) await this.#list(signal);
        began = performance.now();
        await this.#watch(signal);
      } catch (thrown) {
        if (signal.aborted) return;
        failure = asKubernetesError(thrown, `follow ${this.#options.resource.plural}`);
        this.#failed(failure);
      }
      const stable = began !== undefined && performance.now() - began >= STABLE_MS;
      if (stable) this.#backoff.reset();
      // A watch that ends at once is no failure, and must not become a busy loop.
      if (failure !== undefined || !stable) await this.#wait(failure?.retryAfterMs ?? 0, signal);
    }
  }

  async #wait(leastMs: number, signal: AbortSignal): Promise<void> {
    if (leastMs > 0) await new Backoff({ leastMs, mostMs: leastMs, random: () => 1 }).wait(signal);
    await this.#backoff.wait(signal);
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { namespace, fieldSelector, labelSelector, fromCache, pageSize = 500 } = this.#options;
    const selection = {
      ...(namespace === undefined ? {} : { namespace }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      fromCache: (fromCache ?? false) && this.#expired === 'no',
      pageSize: this.#expired === 'page' ? 0 : pageSize,
    };
    this.#version = undefined;
    const list = this.#collection.list();
    let pages = 0;
    let version = '';
    try {
      for await (const page of this.#client.pages(this.#resource, selection, signal)) {
        pages += 1;
        for (const object of page.items) {
          list.add(keyOf(object.metadata), object.metadata.resourceVersion ?? '', () => this.#project(object));
        }
        this.#bound(list);
        version = page.resourceVersion;
      }
    } catch (thrown) {
      if (pages > 0 && thrown instanceof KubernetesError && thrown.code === 'EXPIRED') this.#expired = 'page';
      throw thrown;
    }
    this.#expired = 'no';
    this.#counts.lists += 1;
    list.complete();
    this.#version = version;
    const { relistMs = 600_000 } = this.#options;
    // Not all at once, and not later than said.
    this.#listAt = performance.now() + relistMs * (0.9 + 0.1 * Math.random());
    this.#heard();
  }

  /** Follows changes until the server ends it, or falls silent, or everything is to be listed again. */
  async #watch(parent: AbortSignal): Promise<void> {
    const { connection, namespace, watchMs = 300_000, idleMs = 150_000 } = this.#options;
    const ending = new AbortController();
    const signal = AbortSignal.any([parent, ending.signal]);
    let silence: NodeJS.Timeout | undefined;
    const listen = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => {
        this.#counts.silent += 1;
        ending.abort();
      }, idleMs);
    };
    const left = Math.max(0, this.#listAt - performance.now());
    const over = setTimeout(() => ending.abort(), left);
    this.#counts.watches += 1;
    try {
      const lines = connection.stream(
        pathOf(this.#resource, namespace),
        this.#watchQuery(Math.min(watchMs, left)),
        signal,
        () => {
          this.#heard();
          listen();
        },
      );
      for await (const line of lines) {
        listen();
        this.#heardAt = this.#options.now();
        this.#take(line);
      }
    } catch (thrown) {
      if (!ending.signal.aborted || parent.aborted) throw thrown;
    } finally {
      clearTimeout(silence);
      clearTimeout(over);
    }
  }

  #watchQuery(forMs: number): Readonly<Record<string, string>> {
    const { fieldSelector, labelSelector } = this.#options;
    return {
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: this.#version ?? '',
      timeoutSeconds: String(Math.max(1, Math.ceil(forMs / 1_000))),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
    };
  }

  #take(line: string): void {
    const attempted = `watch ${this.#options.resource.plural}`;
    let event: WatchEvent;
    try {
      event = parseEvent(line, attempted);
    } catch (thrown) {
      // What it would have told is not known: everything is listed again.
      if (thrown instanceof KubernetesError && thrown.code === 'SERVER') this.#counts.malformed += 1;
      throw thrown;
    }
    const { type, object } = event;
    this.#version = object.metadata.resourceVersion ?? this.#version;
    if (type === 'BOOKMARK') return;
    this.#counts.events += 1;
    const key = keyOf(object.metadata);
    const value = type === 'DELETED' ? undefined : this.#project(object as O);
    if (value === undefined) this.#collection.delete(key);
    else this.#collection.set(key, object.metadata.resourceVersion ?? '', value);
    this.#bound(this.#collection);
  }

  /** An object nobody can make sense of must not keep us from the others. */
  #project(object: O): T | undefined {
    try {
      return this.#options.project(object);
    } catch {
      this.#counts.malformed += 1;
      return undefined;
    }
  }

  #heard(): void {
    this.#heardAt = this.#options.now();
    this.#missingSince = undefined;
    this.#health.works('server');
  }

  #failed(error: KubernetesError): void {
    this.#failures[error.code] = (this.#failures[error.code] ?? 0) + 1;
    // Where it was is still a good place to go on from when the server was only away or busy.
    if (error.code !== 'UNREACHABLE' && error.code !== 'THROTTLED') this.#version = undefined;
    if (error.code === 'NOT_FOUND' && this.#isOther()) return;
    if (error.code === 'NOT_FOUND' && this.#options.optional && this.#isGone()) {
      this.#collection.list().complete();
      this.#health.works('server');
      return;
    }
    if (error.code !== 'NOT_FOUND') this.#missingSince = undefined;
    this.#health.restarts();
    if (error.code === 'EXPIRED' && this.#expired === 'no') this.#expired = 'watch';
    // A version that is no longer kept is how watches end now and then.
    if (error.code !== 'EXPIRED') this.#health.fails('server', asSourceError(error));
  }

  /** Whether the kind may be there as the older one, which is asked for next; then as the newer one again. */
  #isOther(): boolean {
    const { resource, older = resource } = this.#options;
    this.#resource = this.#resource === resource ? older : resource;
    return this.#resource !== resource;
  }

  /** Whether a kind that is missing may be believed to be: a server that has just begun does not know all of them. */
  #isGone(): boolean {
    this.#missingSince ??= performance.now();
    const known = this.#collection.size > 0 || this.#options.remembers?.() === true;
    return !known || performance.now() - this.#missingSince >= GONE_MS;
  }

  #bound({ size, bytes }: { readonly size: number; readonly bytes: number }): void {
    const { resource, mostBytes = Number.POSITIVE_INFINITY } = this.#options;
    const beyond =
      size > MOST_OBJECTS ? `${MOST_OBJECTS}` : bytes > mostBytes ? `${mostBytes} bytes of them` : undefined;
    if (beyond === undefined) return;
    throw new KubernetesError('SERVER', `Cannot follow ${resource.plural}: more than ${beyond}; what was known stays`);
  }
}

const SOURCE_CODES: Readonly<Partial<Record<KubernetesErrorCode, SourceErrorCode>>> = {
  UNREACHABLE: 'UNREACHABLE',
  TOO_LARGE: 'TOO_LARGE',
  SERVER: 'MALFORMED',
};

function jsonBytes(value: unknown): number {
  return JSON.stringify(value)?.length ?? 0;
}

/** The same, in the words all sources share. */
export function asSourceError(error: KubernetesError): SourceError {
  const code = error.code === 'SERVER' && error.status !== undefined ? 'REFUSED' : SOURCE_CODES[error.code];
  const hint = error.hint === undefined ? {} : { hint: error.hint };
  return new SourceError(code ?? 'REFUSED', error.message, { cause: error, ...hint });
}
