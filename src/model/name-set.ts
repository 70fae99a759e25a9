import { hash } from 'node:crypto';

/** Names written out in a text; of more there is a digest. */
const MOST_SHOWN = 8;

/**
 * A set of names that is made once and shared by all who mean it: thousands of selectors may name a thousand
 * namespaces each. Two are the same when their texts are.
 */
export class NameSet {
  /** The names, `a,b`, or how many and a digest; empty for nobody. No name may contain a comma or a space. */
  readonly text: string;
  readonly #names: ReadonlySet<string>;

  constructor(names: Iterable<string>) {
    const sorted = [...new Set(names)].sort();
    this.#names = new Set(sorted);
    this.text =
      sorted.length <= MOST_SHOWN
        ? sorted.join()
        : `${sorted.length} names ${hash('sha256', sorted.join(), 'hex').slice(0, 32)}`;
  }

  get size(): number {
    return this.#names.size;
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  some(test: (name: string) => boolean): boolean {
    for (const name of this.#names) if (test(name)) return true;
    return false;
  }

  /** Sorted. */
  values(): Iterable<string> {
    return this.#names.values();
  }

  equals(other: NameSet): boolean {
    return this === other || this.text === other.text;
  }
}
