import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectedOptions } from '../connected.ts';
import { ConnectedSource } from '../connected.ts';
import { SourceError } from '../error.ts';
import type { CgroupHint } from '../source.ts';
import type { PodFacts, ResolveOwner } from './pod.ts';
import { toCandidates } from './pod.ts';
import type { ContainerStatus, PodContainer, PodSandbox, SandboxStatus } from './runtime.ts';
import { Runtime } from './runtime.ts';

/** Hints come in bursts: the runtime is asked so long after one, milliseconds. */
const GATHER_MS = 20;
/** Where somebody waits to begin it is asked at once, but let rest so long between, milliseconds. */
const REST_MS = 5;

/** Sandboxes or containers asked for at once. */
const QUESTIONS = 16;

export interface CriOptions extends ConnectedOptions {
  /** Tells a pod's top owner; without it, or where it does not know, a pod is its own workload. */
  readonly resolveOwner?: ResolveOwner;
  /** Without a hint or event the runtime is asked this often, milliseconds. Default 1,000. */
  readonly pollMs?: number;
}

/**
 * Pods of a CRI runtime. Lists are polled, and sooner after the runtime's events (containerd 1.7, CRI-O) and the
 * kernel's hints: a list is what is true now, an event only what was.
 */
export class CriSource extends ConnectedSource {
  readonly name = 'cri';
  readonly #options: CriOptions;
  /** Answers that do not change while a sandbox or container lives. */
  #sandboxes = new Map<string, SandboxStatus>();
  #containers = new Map<string, ContainerStatus>();
  #wake: (hurry?: boolean) => void = () => {};
  #refreshedAt = 0;

  constructor(options: CriOptions) {
    super(options);
    this.#options = options;
  }

  hint(hint: CgroupHint): void {
    if (hint.operation === 'removed') this.roster.changed();
    this.#wake(hint.operation === 'waiting');
  }

  /** `resolveOwner` may answer otherwise now. */
  ownersChanged(): void {
    this.#wake();
  }

  protected async session(signal: AbortSignal, known: () => void): Promise<never> {
    const { socket, timeoutMs = 10_000 } = this.#options;
    const runtime = new Runtime({ socket, timeoutMs });
    try {
      await runtime.version(signal);
      return await Promise.race([this.#poll(runtime, signal, known), this.#follow(runtime, signal)]);
    } finally {
      runtime.close();
    }
  }

  async #follow(runtime: Runtime, signal: AbortSignal): Promise<never> {
    const supported = await runtime.events(() => this.#wake(), signal);
    if (supported) throw new SourceError('UNREACHABLE', `The runtime on ${this.#options.socket} ended its events`);
    return await new Promise<never>(() => {}); // polling is all there is
  }

  async #poll(runtime: Runtime, signal: AbortSignal, known: () => void): Promise<never> {
    for (;;) {
      // Set before the lists are asked for: a hint during the questions leads to new ones.
      const [woken, hurried] = [new AbortController(), new AbortController()];
      this.#wake = (hurry = false) => {
        woken.abort();
        if (hurry) hurried.abort();
      };
      await this.#ask(runtime, signal);
      known();
      const rested = performance.now() + REST_MS;
      await pause(this.#options.pollMs ?? 1_000, [signal, woken.signal]);
      await pause(GATHER_MS, [signal, hurried.signal]);
      await pause(rested - performance.now(), [signal]);
      signal.throwIfAborted();
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
    this.only([...ready, ...running].map(({ id }) => id));
    this.#enter(ready, running);
    const { resyncMs = 60_000, host } = this.#options;
    if (host.now() - this.#refreshedAt < resyncMs) return;
    this.#refreshedAt = host.now();
    this.roster.refresh();
  }

  /** The known answers about what is listed, and those to questions about what is new. */
  async #answers<T>(
    listed: readonly { readonly id: string }[],
    known: ReadonlyMap<string, T>,
    ask: (id: string) => Promise<T | undefined>,
  ): Promise<Map<string, T>> {
    const answers = new Map<string, T>();
    const questions = listed.filter(({ id }) => !known.has(id));
    for (const { id } of listed) {
      const answer = known.get(id);
      if (answer !== undefined) answers.set(id, answer);
    }
    for (let i = 0; i < questions.length; i += QUESTIONS) {
      await Promise.all(
        questions.slice(i, i + QUESTIONS).map(async ({ id }) => {
          const answer = await this.attempt(id, () => ask(id));
          if (answer !== undefined) answers.set(id, answer);
        }),
      );
    }
    return answers;
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
    for (const id of this.roster.ids) if (!ids.has(id)) this.roster.delete(id);
    for (const candidate of candidates) this.roster.set(candidate);
  }
}

/** Ends early when one of the signals aborts. */
async function pause(ms: number, until: readonly AbortSignal[]): Promise<void> {
  await sleep(Math.max(0, ms), undefined, { signal: AbortSignal.any([...until]) }).catch(() => {}); // woken
}
