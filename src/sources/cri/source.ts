import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff } from '../backoff.ts';
import { asSourceError, SourceError } from '../error.ts';
import { Health } from '../health.ts';
import type { Host } from '../host.ts';
import { Roster } from '../roster.ts';
import type { CgroupHint, EndpointSource, Sightings, SourceStatus } from '../source.ts';
import type { PodFacts, ResolveOwner } from './pod.ts';
import { toCandidates } from './pod.ts';
import type { ContainerStatus, PodContainer, PodSandbox, SandboxStatus } from './runtime.ts';
import { Runtime } from './runtime.ts';

/** Hints come in bursts: the runtime is asked at most this often, milliseconds. */
const GATHER_MS = 20;

export interface CriOptions {
  readonly host: Host;
  readonly domain: string;
  /** Path of the runtime's UNIX socket. */
  readonly socket: string;
  /** Tells a pod's top owner; without it, or where it does not know, a pod is its own workload. */
  readonly resolveOwner?: ResolveOwner;
  /** Patterns of labels that are no part of identities; see `naming.ts` for the default. */
  readonly noise?: readonly string[];
  /** Without a hint or event the runtime is asked this often, milliseconds. Default 1,000. */
  readonly pollMs?: number;
  /** Namespaces are read again this often, milliseconds. Default 60,000. */
  readonly resyncMs?: number;
  /** How long any answer may take, milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /** Waits after failures, milliseconds. Default 100 to 10,000. */
  readonly retry?: { readonly leastMs: number; readonly mostMs: number };
}

/**
 * Pods of a CRI runtime. Lists are polled, and sooner after the runtime's events (containerd 1.7, CRI-O) and the
 * kernel's hints: a list is what is true now, an event only what was. While the runtime is away everything stays
 * known; containers leave only when their processes do.
 */
export class CriSource implements EndpointSource {
  readonly name = 'cri';
  readonly #options: CriOptions;
  readonly #health: Health;
  readonly #roster: Roster;
  readonly #closing = new AbortController();
  /** Answers that do not change while a sandbox or container lives. */
  #sandboxes = new Map<string, SandboxStatus>();
  #containers = new Map<string, ContainerStatus>();
  #wake: () => void = () => {};
  #refreshedAt = 0;
  #running: Promise<void> | undefined;

  constructor(options: CriOptions) {
    this.#options = options;
    this.#health = new Health(options.host.now);
    this.#roster = new Roster({ host: options.host, domain: options.domain, health: this.#health });
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

  hint(hint: CgroupHint): void {
    if (hint.operation === 'removed') this.#roster.changed();
    this.#wake();
  }

  /** `resolveOwner` may answer otherwise now. */
  ownersChanged(): void {
    this.#wake();
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
  }

  async #run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.#options.retry ?? { leastMs: 100, mostMs: 10_000 });
    while (!signal.aborted) {
      try {
        await this.#session(signal, backoff);
      } catch (thrown) {
        if (signal.aborted) return;
        this.#health.fails('runtime', asSourceError(thrown, 'UNREACHABLE', 'follow the runtime'));
        // Its pods may live on without it, or may not.
        this.#roster.refresh();
      }
      this.#health.restarts();
      await backoff.wait(signal);
    }
  }

  /** One connection, until it breaks. */
  async #session(parent: AbortSignal, backoff: Backoff): Promise<never> {
    const { socket, timeoutMs = 10_000 } = this.#options;
    const session = new AbortController();
    const signal = AbortSignal.any([parent, session.signal]);
    const runtime = new Runtime({ socket, timeoutMs });
    try {
      await runtime.version(signal);
      return await Promise.race([this.#poll(runtime, signal, backoff), this.#follow(runtime, signal)]);
    } finally {
      session.abort();
      runtime.close();
    }
  }

  async #follow(runtime: Runtime, signal: AbortSignal): Promise<never> {
    const supported = await runtime.events(() => this.#wake(), signal);
    if (supported) throw new SourceError('UNREACHABLE', `The runtime on ${this.#options.socket} ended its events`);
    return await new Promise<never>(() => {}); // polling is all there is
  }

  async #poll(runtime: Runtime, signal: AbortSignal, backoff: Backoff): Promise<never> {
    for (;;) {
      // Set before the lists are asked for: a hint during the questions leads to new ones.
      const pause = new AbortController();
      this.#wake = () => pause.abort();
      await this.#ask(runtime, signal);
      this.#roster.complete();
      this.#health.works('runtime');
      backoff.reset();
      const woken = AbortSignal.any([signal, pause.signal]);
      await sleep(this.#options.pollMs ?? 1_000, undefined, { signal: woken }).catch(() => {}); // woken
      await sleep(GATHER_MS, undefined, { signal });
    }
  }

  /** Lists pods and containers, asks for what is new, and enters all of it. */
  async #ask(runtime: Runtime, signal: AbortSignal): Promise<void> {
    const [sandboxes, containers] = await Promise.all([runtime.sandboxes(signal), runtime.containers(signal)]);
    const ready = sandboxes.filter((sandbox) => sandbox.state === 'SANDBOX_READY');
    const running = containers.filter((container) => container.state === 'CONTAINER_RUNNING');
    this.#sandboxes = await this.#answers(ready, this.#sandboxes, (id) => runtime.sandbox(id, signal));
    this.#containers = await this.#answers(running, this.#containers, async (id) => {
      const status = await runtime.container(id, signal);
      return status?.running && status.pid > 0 ? status : undefined;
    });
    const listed = new Set([...ready, ...running].map(({ id }) => partOf(id)));
    this.#health.drop((part) => part.startsWith(partOf('')) && !listed.has(part));
    this.#enter(ready, running);
    const { resyncMs = 60_000, host } = this.#options;
    if (host.now() - this.#refreshedAt < resyncMs) return;
    this.#refreshedAt = host.now();
    this.#roster.refresh();
  }

  /** The known answers about what is listed, and those to questions about what is new. */
  async #answers<T>(
    listed: readonly { readonly id: string }[],
    known: ReadonlyMap<string, T>,
    ask: (id: string) => Promise<T | undefined>,
  ): Promise<Map<string, T>> {
    const answers = new Map<string, T>();
    for (const { id } of listed) {
      const answer = known.get(id) ?? (await this.#attempt(id, ask));
      if (answer !== undefined) answers.set(id, answer);
    }
    return answers;
  }

  async #attempt<T>(id: string, ask: (id: string) => Promise<T | undefined>): Promise<T | undefined> {
    const part = partOf(id);
    try {
      const answer = await ask(id);
      this.#health.works(part);
      return answer;
    } catch (thrown) {
      // What the runtime cannot tell of one container must not keep us from the others.
      const one = thrown instanceof SourceError && ['MALFORMED', 'TOO_LARGE', 'REFUSED'].includes(thrown.code);
      if (!one) throw thrown;
      this.#health.fails(part, thrown);
      return undefined;
    }
  }

  #enter(sandboxes: readonly PodSandbox[], containers: readonly PodContainer[]): void {
    const { resolveOwner = () => undefined, noise } = this.#options;
    const bySandbox = Map.groupBy(containers, (container) => container.podSandboxId);
    const candidates = sandboxes.flatMap((sandbox) => {
      const status = this.#sandboxes.get(sandbox.id);
      if (status === undefined) return [];
      const running: PodFacts['containers'][number][] = (bySandbox.get(sandbox.id) ?? []).flatMap((container) => {
        const known = this.#containers.get(container.id);
        return known === undefined ? [] : [{ container, status: known }];
      });
      return toCandidates({ sandbox, status, containers: running }, resolveOwner, noise);
    });
    const ids = new Set(candidates.map((candidate) => candidate.id));
    for (const id of this.#roster.ids) if (!ids.has(id)) this.#roster.delete(id);
    for (const candidate of candidates) this.#roster.set(candidate);
  }
}

/** Name of the part of the source's health that is about one sandbox or container. */
function partOf(id: string): string {
  return `container ${id.slice(0, 12)}`;
}
