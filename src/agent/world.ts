import { existsSync } from 'node:fs';
import type { Endpoint } from '../model/endpoint.ts';
import { CgroupSource } from '../sources/cgroups.ts';
import type { Pod, ResolveOwner } from '../sources/cri/pod.ts';
import { Discovery, type World } from '../sources/discovery.ts';
import type { Host } from '../sources/host.ts';
import type { CgroupHint, EndpointSource } from '../sources/source.ts';
import type { Config } from './config.ts';
import type { SourceHealth } from './notices.ts';

/** What the agent knows of the containers on its node. */
export interface WorldSource {
  /** Something is known: all there is, or what could be learnt in time. */
  readonly synced: boolean;
  /** Another one after the node's own links or addresses changed. */
  readonly hostRevision: number;
  start(signal: AbortSignal): Promise<void>;
  snapshot(): World;
  onChange(listener: () => void): void;
  hint(hint: CgroupHint): void;
  sources(): readonly SourceHealth[];
  /** Looks for runtimes that have come since the start. */
  rescan(): void;
  close(): Promise<void>;
}

/** What two of them both know is told by the first: pods have Docker's names too, under cri-dockerd. */
const RUNTIMES = ['cri', 'docker'] as const;
type Runtime = (typeof RUNTIMES)[number];

/** Who owns the pods of this node. */
export interface Owners {
  resolve: ResolveOwner;
  onChange(listener: () => void): void;
}

const UNKNOWN: World = { endpoints: [], frontends: [], warnings: [], complete: false };

/**
 * The configured sources as one. A runtime whose socket is only looked for (`auto`) and appears later is taken up
 * then: a new discovery with it takes the former one's place when it knows as much.
 */
export class ConfiguredWorld implements WorldSource {
  readonly #config: Config;
  readonly #host: Host;
  readonly #owners: Owners | undefined;
  readonly #listeners: (() => void)[] = [];
  #used: readonly Runtime[] = [];
  #discovery: Discovery | undefined;
  #signal: AbortSignal | undefined;
  #hostRevision = 0;
  #unwatch: () => void = () => {};
  #retiring: Promise<void> = Promise.resolve();

  /** @param owners of this node's pods, where there is a cluster that knows */
  constructor(config: Config, host: Host, owners?: Owners) {
    this.#config = config;
    this.#host = host;
    this.#owners = owners;
  }

  get synced(): boolean {
    return this.#discovery?.synced ?? false;
  }

  get hostRevision(): number {
    return this.#hostRevision;
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#unwatch = this.#host.namespaces.watch(() => {
      this.#hostRevision += 1;
      this.#tell();
    });
    this.#used = this.#present();
    this.#discovery = await this.#discover(this.#used);
    await this.#discovery.start(signal);
  }

  snapshot(): World {
    return this.#discovery?.snapshot() ?? UNKNOWN;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  hint(hint: CgroupHint): void {
    this.#discovery?.hint(hint);
  }

  sources(): readonly SourceHealth[] {
    const { endpoints } = this.snapshot();
    const runtimeOf = (name: string) => (name === 'cgroups' ? 'cgroup' : name);
    const has = (name: string) => (endpoint: Endpoint) =>
      endpoint.containers.some(({ runtime }) => runtime === runtimeOf(name));
    return (this.#discovery?.sources() ?? []).map(({ name, synced, status }) => ({
      name,
      synced,
      healthy: status.healthy,
      since: status.since,
      restarts: status.restarts,
      endpoints: endpoints.filter(has(name)).length,
      ...(status.error === undefined ? {} : { error: status.error.message }),
    }));
  }

  rescan(): void {
    const signal = this.#signal;
    const former = this.#discovery;
    const present = this.#present();
    if (signal === undefined || former === undefined || present.length === this.#used.length) return;
    this.#used = present;
    this.#retiring = this.#replace(former, present, signal);
  }

  async close(): Promise<void> {
    this.#unwatch();
    await this.#retiring;
    await this.#discovery?.close();
  }

  /** Puts a discovery with these runtimes in the former one's place once it knows as much. */
  async #replace(former: Discovery, runtimes: readonly Runtime[], signal: AbortSignal): Promise<void> {
    const next = await this.#discover(runtimes);
    // Ends when the signal aborts, too.
    await next.start(signal);
    this.#discovery = next;
    this.#tell();
    await former.close();
  }

  /** Runtimes to ask: those that are switched on, and those that are looked for and are, or once were, there. */
  #present(): readonly Runtime[] {
    return RUNTIMES.filter((name) => {
      const { enabled, socket } = this.#config.sources[name];
      return enabled === 'true' || (enabled === 'auto' && (this.#used.includes(name) || existsSync(socket)));
    });
  }

  async #discover(runtimes: readonly Runtime[]): Promise<Discovery> {
    const { domain, sources: settings } = this.#config;
    const shared = { host: this.#host, domain };
    const sources: EndpointSource[] = await Promise.all(runtimes.map((name) => this.#runtime(name)));
    if (settings.cgroups.length > 0) sources.push(new CgroupSource({ ...shared, rules: settings.cgroups }));
    const discovery = new Discovery({ ...shared, sources });
    discovery.onChange(() => this.#tell());
    return discovery;
  }

  /** A client is loaded when its runtime is there: most nodes have one, and each takes tens of megabytes. */
  async #runtime(name: Runtime): Promise<EndpointSource> {
    const { domain, sources: settings, intervals } = this.#config;
    const options = { host: this.#host, domain, socket: settings[name].socket, resyncMs: intervals.resync };
    if (name === 'cri') {
      const owners = this.#owners;
      const resolve = owners === undefined ? {} : { resolveOwner: (pod: Pod) => owners.resolve(pod) };
      const source = new (await import('../sources/cri/source.ts')).CriSource({ ...options, ...resolve });
      // One that was replaced has nobody left to wake.
      owners?.onChange(() => source.ownersChanged());
      return source;
    }
    return new (await import('../sources/docker/source.ts')).DockerSource(options);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
