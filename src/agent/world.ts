import { existsSync } from 'node:fs';
import { CgroupSource } from '../sources/cgroups.ts';
import { CriSource } from '../sources/cri/source.ts';
import { Discovery, type World } from '../sources/discovery.ts';
import { DockerSource } from '../sources/docker/source.ts';
import type { Host } from '../sources/host.ts';
import type { CgroupHint, EndpointSource } from '../sources/source.ts';
import type { Config } from './config.ts';
import type { SourceHealth } from './notices.ts';

/** What the agent knows of the containers on its node. */
export interface WorldSource {
  /** Something is known: all there is, or what could be learnt in time. */
  readonly synced: boolean;
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

/**
 * The configured sources as one. A runtime whose socket is only looked for (`auto`) and appears later is taken up
 * then: a new discovery with it takes the former one's place when it knows as much.
 */
export class ConfiguredWorld implements WorldSource {
  readonly #config: Config;
  readonly #host: Host;
  readonly #listeners: (() => void)[] = [];
  #used: readonly Runtime[] = [];
  #discovery: Discovery;
  #signal: AbortSignal | undefined;
  #retiring: Promise<void> = Promise.resolve();

  constructor(config: Config, host: Host) {
    this.#config = config;
    this.#host = host;
    this.#used = this.#present();
    this.#discovery = this.#discover(this.#used);
  }

  get synced(): boolean {
    return this.#discovery.synced;
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    await this.#discovery.start(signal);
  }

  snapshot(): World {
    return this.#discovery.snapshot();
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  hint(hint: CgroupHint): void {
    this.#discovery.hint(hint);
  }

  sources(): readonly SourceHealth[] {
    const { endpoints } = this.snapshot();
    const runtimeOf = (name: string) => (name === 'cgroups' ? 'cgroup' : name);
    return this.#discovery.sources().map(({ name, synced, status }) => ({
      name,
      synced,
      healthy: status.healthy,
      since: status.since,
      restarts: status.restarts,
      endpoints: endpoints.filter(({ containers }) => containers.some(({ runtime }) => runtime === runtimeOf(name)))
        .length,
      ...(status.error === undefined ? {} : { error: status.error.message }),
    }));
  }

  rescan(): void {
    const signal = this.#signal;
    const present = this.#present();
    if (signal === undefined || present.every((name) => this.#used.includes(name))) return;
    this.#used = present;
    const next = this.#discover(present);
    next.start(signal).then(
      () => {
        const former = this.#discovery;
        this.#discovery = next;
        this.#retiring = former.close();
        this.#tell();
      },
      () => next.close(),
    );
  }

  async close(): Promise<void> {
    await this.#discovery.close();
    await this.#retiring;
  }

  /** Runtimes to ask: those that are switched on, and those that are looked for and there. */
  #present(): readonly Runtime[] {
    return RUNTIMES.filter((name) => {
      const { enabled, socket } = this.#config.sources[name];
      return enabled === 'true' || (enabled === 'auto' && (this.#used.includes(name) || existsSync(socket)));
    });
  }

  #discover(runtimes: readonly Runtime[]): Discovery {
    const { domain, sources: settings, intervals } = this.#config;
    const shared = { host: this.#host, domain };
    const sources: EndpointSource[] = runtimes.map((name) => {
      const options = { ...shared, socket: settings[name].socket, resyncMs: intervals.resync };
      return name === 'docker' ? new DockerSource(options) : new CriSource(options);
    });
    if (settings.cgroups.length > 0) sources.push(new CgroupSource({ ...shared, rules: settings.cgroups }));
    const discovery = new Discovery({ ...shared, sources });
    discovery.onChange(() => this.#tell());
    return discovery;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
