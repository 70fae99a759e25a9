/**
 * Dense numbers for keys, as the kernel's tables want them. A number that is given back rests until all others
 * have been used, so that something that still names it does not meet a stranger.
 */
export class Allocator<K> {
  readonly #first: number;
  readonly #limit: number;
  readonly #numbers = new Map<K, number>();
  readonly #keys = new Map<number, K>();
  readonly #rested: number[] = [];
  #next: number;

  /** Numbers from `first` up to, and without, `limit`. */
  constructor(first: number, limit: number) {
    this.#first = first;
    this.#limit = limit;
    this.#next = first;
  }

  /** Takes over a number given in an earlier life. Ignored where the number or the key is taken, or out of range. */
  adopt(key: K, number: number): void {
    if (number < this.#first || number >= this.#limit) return;
    if (this.#numbers.has(key) || this.#keys.has(number)) return;
    this.#numbers.set(key, number);
    this.#keys.set(number, key);
    this.reserve(number);
  }

  /** Keeps numbers up to this one from being given to new keys before all later ones have been. */
  reserve(number: number): void {
    if (number < this.#next || number >= this.#limit) return;
    for (let free = this.#next; free <= number; free++) this.#rested.push(free);
    this.#next = number + 1;
  }

  /** The key's number, a new one where it has none; undefined when all are taken. */
  assign(key: K): number | undefined {
    const held = this.#numbers.get(key);
    if (held !== undefined) return held;
    let number: number | undefined;
    if (this.#next < this.#limit) number = this.#next++;
    else number = this.#takeRested();
    if (number === undefined) return undefined;
    this.#numbers.set(key, number);
    this.#keys.set(number, key);
    return number;
  }

  release(key: K): void {
    const number = this.#numbers.get(key);
    if (number === undefined) return;
    this.#numbers.delete(key);
    this.#keys.delete(number);
    this.#rested.push(number);
  }

  numberOf(key: K): number | undefined {
    return this.#numbers.get(key);
  }

  keyOf(number: number): K | undefined {
    return this.#keys.get(number);
  }

  entries(): IterableIterator<[K, number]> {
    return this.#numbers.entries();
  }

  #takeRested(): number | undefined {
    // An adopted number may lie among the rested ones.
    for (let number = this.#rested.shift(); number !== undefined; number = this.#rested.shift()) {
      if (!this.#keys.has(number)) return number;
    }
    return undefined;
  }
}
