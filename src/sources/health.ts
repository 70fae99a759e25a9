import type { SourceError } from './error.ts';
import type { SourceStatus } from './source.ts';

/**
 * Keeps a source's status. It is healthy when each of its parts (the other side, this node's kernel, one container)
 * worked the last time; before anything was tried it is not.
 */
export class Health {
  readonly #now: () => number;
  readonly #errors = new Map<string, SourceError>();
  #tried = false;
  #healthy = false;
  #since: number;
  #restarts = 0;

  constructor(now: () => number) {
    this.#now = now;
    this.#since = now();
  }

  works(part: string): void {
    this.#tried = true;
    this.#errors.delete(part);
    this.#update();
  }

  fails(part: string, error: SourceError): void {
    this.#errors.set(part, error);
    this.#update();
  }

  /** Parts that are no more. */
  drop(isGone: (part: string) => boolean): void {
    for (const part of [...this.#errors.keys()]) if (isGone(part)) this.#errors.delete(part);
    this.#update();
  }

  restarts(): void {
    this.#restarts += 1;
  }

  status(): SourceStatus {
    const [error] = this.#errors.values();
    const status = { healthy: this.#healthy, since: this.#since, restarts: this.#restarts };
    return error === undefined ? status : { ...status, error };
  }

  #update(): void {
    const healthy = this.#tried && this.#errors.size === 0;
    if (healthy === this.#healthy) return;
    this.#healthy = healthy;
    this.#since = this.#now();
  }
}
