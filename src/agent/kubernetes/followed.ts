import { join } from 'node:path';
import { Reflector, type ReflectorOptions } from '../../sources/kubernetes/reflector.ts';
import type { LooseObject } from '../../sources/kubernetes/resource.ts';
import { RememberedMap } from './remembered.ts';

export interface FollowedOptions<T> extends Omit<ReflectorOptions<T, LooseObject>, 'remembers'> {
  /** The agent's directory for what it remembers of the cluster. */
  readonly directory: string;
  /** What changed is written at most this often, milliseconds. */
  readonly saveMs: number;
  readonly onFault: (error: Error) => void;
}

/** A collection of the cluster that outlives the API server's being away: also across a restart of the agent. */
export class Followed<T> {
  readonly reflector: Reflector<T, LooseObject>;
  readonly #remembered: RememberedMap<T>;
  #kept: ReadonlyMap<string, T> = new Map();

  constructor(options: FollowedOptions<T>) {
    const { directory, saveMs, onFault, ...rest } = options;
    this.reflector = new Reflector({ ...rest, remembers: () => this.#kept.size > 0 });
    this.#remembered = new RememberedMap({
      path: join(directory, `${options.resource.plural}.json`),
      now: () => this.snapshot(),
      everyMs: saveMs,
      onFault,
    });
    this.reflector.onChange(() => this.#remembered.changed());
  }

  get synced(): boolean {
    return this.reflector.synced;
  }

  /** As the server says; until it has said something, as it said before. */
  snapshot(): ReadonlyMap<string, T> {
    return this.reflector.synced ? this.reflector.snapshot() : this.#kept;
  }

  /** Resolves when the server has told all; what it said before is there at once after `load`. */
  start(signal: AbortSignal): Promise<void> {
    return this.reflector.start(signal);
  }

  async load(): Promise<void> {
    this.#kept = await this.#remembered.load();
  }

  async close(): Promise<void> {
    await this.reflector.close();
    await this.#remembered.close();
  }
}
