import type { Facts } from '../model/endpoint.ts';
import type { Claims } from './claims.ts';
import { Coalescer } from './coalescer.ts';
import { asSourceError } from './error.ts';
import { Health } from './health.ts';
import type { Host } from './host.ts';
import { nodeAddresses } from './host.ts';
import { merge } from './merge.ts';
import { Publication } from './publication.ts';
import { Remembered } from './remembered.ts';
import type { CgroupHint, EndpointSource, Source, SourceStatus, Warning } from './source.ts';

/** All sources' facts as one. */
export interface World extends Facts {
  /**
   * Every source has told all it knows. Until then endpoints may be missing only because their source is away: what
   * the kernel has of endpoints that are not here must stay.
   */
  readonly complete: boolean;
  readonly warnings: readonly Warning[];
}

export interface DiscoveryOptions {
  readonly host: Host;
  readonly domain: string;
  /** The most trusted first. */
  readonly sources: readonly EndpointSource[];
  /** Sources that are not synced after this long are not waited for, milliseconds. Default 2,000. */
  readonly waitMs?: number;
}

const GATHER_MS = 2;
const RETRY_MS = 1_000;

/** Runs the sources of endpoints and merges what they see into one world. */
export class Discovery implements Source<World> {
  readonly name = 'discovery';
  readonly #options: DiscoveryOptions;
  readonly #publication = new Publication<World>({ endpoints: [], frontends: [], warnings: [], complete: false });
  readonly #health: Health;
  readonly #nodeAddresses: Remembered<readonly string[]>;
  readonly #coalescer: Coalescer;
  readonly #unsubscribe: (() => void)[] = [];
  #claims: Claims = new Map();
  #waiting: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #hurry = false;
  #started: Promise<void> | undefined;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
    this.#health = new Health(options.host.now);
    this.#nodeAddresses = new Remembered(() => nodeAddresses(options.host));
    this.#coalescer = new Coalescer(
      () => this.#merge(),
      GATHER_MS,
      (thrown) => {
        this.#health.fails('node', asSourceError(thrown, 'UNREADABLE', 'read this node’s addresses'));
        this.#retry = setTimeout(() => this.#coalescer.request(), RETRY_MS);
      },
    );
  }

  get synced(): boolean {
    return this.#publication.synced;
  }

  snapshot(): World {
    return this.#publication.value;
  }

  onChange(listener: () => void): () => void {
    return this.#publication.subscribe(listener);
  }

  /** Of the merging itself; sources have their own in `sources()`. */
  status(): SourceStatus {
    return this.#health.status();
  }

  sources(): readonly { readonly name: string; readonly synced: boolean; readonly status: SourceStatus }[] {
    return this.#options.sources.map((source) => ({
      name: source.name,
      synced: source.synced,
      status: source.status(),
    }));
  }

  hint(hint: CgroupHint): void {
    for (const source of this.#options.sources) source.hint(hint);
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#started ??= this.#start(signal);
    await this.#started;
  }

  async close(): Promise<void> {
    clearTimeout(this.#waiting);
    clearTimeout(this.#retry);
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe();
    await Promise.all(this.#options.sources.map((source) => source.close()));
    await this.#coalescer.close();
    clearTimeout(this.#retry);
    this.#publication.release();
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { host, sources, waitMs = 2_000 } = this.#options;
    signal.addEventListener('abort', () => void this.close(), { once: true });
    if (signal.aborted) return await this.close();
    const request = (): void => this.#coalescer.request();
    const unwatch = host.namespaces.watch(() => {
      this.#nodeAddresses.forget();
      request();
    });
    this.#unsubscribe.push(unwatch, ...sources.map((source) => source.onChange(request)));
    this.#waiting = setTimeout(() => {
      this.#hurry = true;
      request();
    }, waitMs);
    for (const source of sources) {
      source.start(signal).then(request, (thrown: unknown) => {
        this.#health.fails(source.name, asSourceError(thrown, 'UNREACHABLE', `start source ${source.name}`));
      });
    }
    request();
    await this.#publication.first;
  }

  async #merge(): Promise<void> {
    const { host, domain, sources } = this.#options;
    const complete = sources.every((source) => source.synced);
    if (!complete && !this.#hurry) return;
    const ownAddresses = await this.#nodeAddresses.get();
    const { facts, claims, warnings } = merge(
      sources.map((source) => source.snapshot()),
      { domain, nodeNetns: host.namespaces.node, nodeAddresses: ownAddresses, claims: this.#claims },
    );
    this.#claims = claims;
    this.#health.works('node');
    this.#publication.publish({ ...facts, complete, warnings });
  }
}
