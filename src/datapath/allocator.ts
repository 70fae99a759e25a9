/** How long a number lies idle before another key may have it. */
export interface Quarantine {
  /** In units of `now`. */
  readonly rest: number;
  /** Never goes back. */
  readonly now: () => number;
}

/**
 * Dense numbers for keys, as the kernel's tables want them. A number that is given back rests until all others
 * have been used, and for as long as its quarantine lasts, so that something that still names it does not meet a
 * stranger. With a quarantine, whoever had it gets it back, however long ago that was, if nobody else has had it.
 */
export class Allocator<K> {
  readonly #first: number;
  readonly #limit: number;
  readonly #quarantine: Quarantine | undefined;
  readonly #numbers = new Map<K, number>();
  readonly #keys = new Map<number, K>();
  /** Numbers nobody has, longest idle first, and since when. */
  readonly #idle = new Map<number, number>();
  /** Of idle numbers, where there is a quarantine: who had them. */
  readonly #former = new Map<K, number>();
  readonly #formerKeys = new Map<number, K>();
  #next: number;

  /** Numbers from `first` up to, and without, `limit`. */
  constructor(first: number, limit: number, quarantine?: Quarantine) {
    this.#first = first;
    this.#limit = limit;
    this.#quarantine = quarantine;
    this.#next = first;
  }

  covers(number: number): boolean {
    return number >= this.#first && number < this.#limit;
  }

  /** Takes over a number given in an earlier life. Ignored where the number or the key is taken, or out of range. */
  adopt(key: K, number: number): void {
    if (!this.covers(number)) return;
    if (this.#numbers.has(key) || this.#keys.has(number)) return;
    this.reserve(number);
    this.#give(key, number);
  }

  /** Keeps numbers up to this one from being given to new keys before all later ones have been. */
  reserve(number: number): void {
    if (number < this.#next || number >= this.#limit) return;
    const since = this.#now();
    for (let free = this.#next; free <= number; free++) this.#idle.set(free, since);
    this.#next = number + 1;
  }

  /** The key's number, a new one where it has none; undefined when all are taken or in quarantine. */
  assign(key: K): number | undefined {
    const held = this.#numbers.get(key);
    if (held !== undefined) return held;
    let number = this.#former.get(key);
    if (number === undefined) number = this.#next < this.#limit ? this.#next++ : this.#rested();
    if (number !== undefined) this.#give(key, number);
    return number;
  }

  release(key: K): void {
    const number = this.#numbers.get(key);
    if (number === undefined) return;
    this.#numbers.delete(key);
    this.#keys.delete(number);
    this.#idle.set(number, this.#now());
    if (this.#quarantine === undefined) return;
    this.#former.set(key, number);
    this.#formerKeys.set(number, key);
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

  #give(key: K, number: number): void {
    const former = this.#formerKeys.get(number);
    if (former !== undefined) this.#former.delete(former);
    this.#formerKeys.delete(number);
    this.#idle.delete(number);
    this.#numbers.set(key, number);
    this.#keys.set(number, key);
  }

  /** The number that has been idle longest, if that is long enough. */
  #rested(): number | undefined {
    for (const [number, since] of this.#idle) {
      return this.#now() - since >= (this.#quarantine?.rest ?? 0) ? number : undefined;
    }
    return undefined;
  }

  #now(): number {
    return this.#quarantine?.now() ?? 0;
  }
}
