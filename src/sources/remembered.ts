/** What an asynchronous reading gave, until it is forgotten; a failed one is not remembered. */
export class Remembered<T> {
  readonly #read: () => Promise<T>;
  #value: Promise<T> | undefined;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  /** Reads, unless the last reading is remembered. What is forgotten during a reading is read again the next time. */
  get(): Promise<T> {
    if (this.#value !== undefined) return this.#value;
    const value = this.#read();
    this.#value = value;
    value.catch(() => {
      if (this.#value === value) this.#value = undefined;
    });
    return value;
  }

  forget(): void {
    this.#value = undefined;
  }
}
