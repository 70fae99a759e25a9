import { isDeepStrictEqual } from 'node:util';

interface Entry<T> {
  readonly version: string;
  readonly value: T;
}

/**
 * What is kept of a collection's objects. A value is the same object in later snapshots as long as nothing it is made
 * from changed; listeners hear of a burst of changes once.
 */
export class Collection<T> {
  readonly #gatherMs: number;
  readonly #listeners = new Set<() => void>();
  readonly #first: PromiseWithResolvers<void> = Promise.withResolvers();
  #entries = new Map<string, Entry<T>>();
  #snapshot: ReadonlyMap<string, T> | undefined = new Map();
  #synced = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param gatherMs how long changes are gathered before listeners hear of them */
  constructor(gatherMs: number) {
    this.#gatherMs = gatherMs;
  }

  get synced(): boolean {
    return this.#synced;
  }

  /** Resolves when synced or closed. */
  get first(): Promise<void> {
    return this.#first.promise;
  }

  get size(): number {
    return this.#entries.size;
  }

  snapshot(): ReadonlyMap<string, T> {
    if (!this.#synced) return new Map();
    this.#snapshot ??= new Map([...this.#entries].map(([key, { value }]) => [key, value]));
    return this.#snapshot;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  set(key: string, version: string, value: T): void {
    const known = this.#entries.get(key);
    const same = known !== undefined && isDeepStrictEqual(known.value, value);
    this.#entries.set(key, { version, value: same ? known.value : value });
    if (!same) this.#changed();
  }

  delete(key: string): void {
    if (this.#entries.delete(key)) this.#changed();
  }

  /** Begins a new list of everything; nothing of it is seen before `complete`. */
  list(): NewList<T> {
    const entries = new Map<string, Entry<T>>();
    const before = this.#entries;
    return {
      get size() {
        return entries.size;
      },
      add: (key, version, make) => {
        const known = before.get(key);
        if (known !== undefined && known.version === version && version !== '') {
          entries.set(key, known);
          return;
        }
        const value = make();
        if (value === undefined) return;
        const same = known !== undefined && isDeepStrictEqual(known.value, value);
        entries.set(key, { version, value: same ? known.value : value });
      },
      complete: () => {
        const differs =
          entries.size !== before.size || [...entries].some(([key, { value }]) => before.get(key)?.value !== value);
        this.#entries = entries;
        if (this.#synced && !differs) return;
        this.#synced = true;
        this.#changed();
        this.#first.resolve();
      },
    };
  }

  /** Nobody hears of anything any more. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#first.resolve();
  }

  #changed(): void {
    this.#snapshot = undefined;
    if (this.#closed || !this.#synced || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      for (const listener of [...this.#listeners]) listener();
    }, this.#gatherMs);
  }
}

export interface NewList<T> {
  readonly size: number;
  /** @param make called only where the object is not the one known; undefined: it is not kept */
  add(key: string, version: string, make: () => T | undefined): void;
  /** From now on these are the collection's entries. */
  complete(): void;
}
