import { HardeningError } from './error.ts';

/** Bits there are in `struct ruling`. */
export const EXECUTABLE_BITS = 64;

/**
 * Which bit stands for which executables (a pattern of paths, as rules have it). A bit keeps its meaning as long as
 * this object lives, also where no rule has it for a while: a task started under an earlier profile may still bear it.
 */
export class ExecutableBits {
  readonly #bits = new Map<string, number>();

  /** @param seed selectors and the bits they have had so far */
  constructor(seed: Iterable<readonly [selector: string, bit: number]> = []) {
    const taken = new Set<number>();
    for (const [selector, bit] of seed) {
      if (!Number.isInteger(bit) || bit < 0 || bit >= EXECUTABLE_BITS || taken.has(bit) || this.#bits.has(selector)) {
        throw new RangeError(`${JSON.stringify(selector)} cannot have bit ${bit}`);
      }
      taken.add(bit);
      this.#bits.set(selector, bit);
    }
  }

  /** The bit of a selector, a new one where it has none. @throws HardeningError EXECUTABLES */
  bitOf(selector: string): number {
    const known = this.#bits.get(selector);
    if (known !== undefined) return known;
    const taken = new Set(this.#bits.values());
    for (let bit = 0; bit < EXECUTABLE_BITS; bit++) {
      if (taken.has(bit)) continue;
      this.#bits.set(selector, bit);
      return bit;
    }
    throw new HardeningError('EXECUTABLES', {
      attempted: `tell executables apart`,
      reason: `more than ${EXECUTABLE_BITS} different patterns of executables apply to one container`,
      hint: 'Use fewer, for example one pattern with braces or brackets for several of them',
      blamed: [selector],
    });
  }

  /** What every selector's bit is, as a seed. */
  entries(): IterableIterator<[selector: string, bit: number]> {
    return this.#bits.entries();
  }
}
