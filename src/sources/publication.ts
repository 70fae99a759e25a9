import { isDeepStrictEqual } from 'node:util';

/** A value others watch: the latest snapshot of a source. Listeners hear of it only where it differs. */
export class Publication<T> {
  #value: T;
  #synced = false;
  readonly #listeners = new Set<() => void>();
  readonly #first: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(initial: T) {
    this.#value = initial;
  }

  get value(): T {
    return this.#value;
  }

  /** A first value was published. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Resolves when synced, or when `release` is called. */
  get first(): Promise<void> {
    return this.#first.promise;
  }

  /** Publishes a value. The first one is told to listeners even where it equals the initial one. */
  publish(value: T): void {
    const news = !this.#synced || !isDeepStrictEqual(value, this.#value);
    this.#value = value;
    this.#synced = true;
    if (news) for (const listener of [...this.#listeners]) listener();
    this.#first.resolve();
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends the wait for the first value, because there will be none. */
  release(): void {
    this.#first.resolve();
  }
}
