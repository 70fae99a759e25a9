import { isDeepStrictEqual } from 'node:util';

interface Entry<T> {
  readonly version: string;
  readonly value: T;
  readonly bytes: number;
}

/**
 * What is kept of a collection's objects. A value is the same object in later snapshots as long as nothing it is made
 * from changed; listeners hear of a burst of changes once.
 */
export class Collection<T> {
  readonly #gatherMs: number;
  readonly #sizeOf: (value: unknown) => number;
  readonly #listeners = new Set<() => void>();
  readonly #first: PromiseWithResolvers<void> = Promise.withResolvers();
  #entries = new Map<string, Entry<T>>();
  #snapshot: ReadonlyMap<string, T> | undefined = new Map();
  #synced = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #bytes = 0;

  /**
   * @param gatherMs how long changes are gathered before listeners hear of them
   * @param sizeOf what a value counts for in `bytes`
   */
  constructor(gatherMs: number, sizeOf: (value: unknown) => number = () => 0) {
    this.#gatherMs = gatherMs;
    this.#sizeOf = sizeOf;
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

  /** Of all values. */
  get bytes(): number {
    return this.#bytes;
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
    const entry = this.#entryOf(known, version, value);
    this.#bytes += entry.bytes - (known?.bytes ?? 0);
    this.#entries.set(key, entry);
    if (entry.value !== known?.value) this.#changed();
  }

  delete(key: string): void {
    this.#bytes -= this.#entries.get(key)?.bytes ?? 0;
    if (this.#entries.delete(key)) this.#changed();
  }

  /** Begins a new list of everything; nothing of it is seen before `complete`. */
  list(): NewList<T> {
    const entries = new Map<string, Entry<T>>();
    const before = this.#entries;
    let bytes = 0;
    const keep = (key: string, entry: Entry<T>): void => {
      bytes += entry.bytes - (entries.get(key)?.bytes ?? 0);
      entries.set(key, entry);
    };
    return {
      get size() {
        return entries.size;
      },
      get bytes() {
        return bytes;
      },
      add: (key, version, make) => {
        const known = before.get(key);
        if (known !== undefined && known.version === version && version !== '') {
          keep(key, known);
          return;
        }
        const value = make();
        if (value !== undefined) keep(key, this.#entryOf(known, version, value));
      },
      complete: () => {
        const differs =
          entries.size !== before.size || [...entries].some(([key, { value }]) => before.get(key)?.value !== value);
        this.#entries = entries;
        this.#bytes = bytes;
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

  #entryOf(known: Entry<T> | undefined, version: string, value: T): Entry<T> {
    if (known !== undefined && isDeepStrictEqual(known.value, value)) return { ...known, version };
    return { version, value, bytes: this.#sizeOf(value) };
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
  readonly bytes: number;
  /** @param make called only where the object is not the one known; undefined: it is not kept */
  add(key: string, version: string, make: () => T | undefined): void;
  /** From now on these are the collection's entries. */
  complete(): void;
}
