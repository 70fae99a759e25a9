import { HardeningError } from './error.ts';

/** Bits there are in `struct ruling`. */
export const EXECUTABLE_BITS = 64;

/**
 * Which bit stands for which executables (a pattern of paths, as rules have it). A bit keeps its meaning from profile to
 * profile, also where no rule has it for a while: a task started under an earlier profile may still bear it. Only where
 * all bits have had a meaning, that is taken away which has been without a rule for longest.
 */
export class ExecutableBits {
  /** Those used last come last. */
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

  /**
   * The bits of all selectors of a profile. Changes nothing where it fails.
   * @throws HardeningError EXECUTABLES
   */
  allocate(selectors: Iterable<string>): ReadonlyMap<string, number> {
    const wanted = new Set(selectors);
    if (wanted.size > EXECUTABLE_BITS) {
      throw new HardeningError('EXECUTABLES', {
        attempted: 'tell executables apart',
        reason: `${wanted.size} different patterns of executables apply to one container, and ${EXECUTABLE_BITS} can be told apart`,
        hint: 'Use fewer, for example one pattern with braces or brackets for several of them',
        blamed: [...wanted].slice(EXECUTABLE_BITS, EXECUTABLE_BITS + 5),
      });
    }
    return new Map([...wanted].map((selector) => [selector, this.#use(selector, wanted)]));
  }

  #use(selector: string, wanted: ReadonlySet<string>): number {
    const bit = this.#bits.get(selector) ?? this.#free() ?? this.#takeAway(wanted);
    this.#bits.delete(selector);
    this.#bits.set(selector, bit);
    return bit;
  }

  #free(): number | undefined {
    const taken = new Set(this.#bits.values());
    for (let bit = 0; bit < EXECUTABLE_BITS; bit++) if (!taken.has(bit)) return bit;
    return undefined;
  }

  #takeAway(wanted: ReadonlySet<string>): number {
    for (const [selector, bit] of this.#bits) {
      if (wanted.has(selector)) continue;
      this.#bits.delete(selector);
      return bit;
    }
    throw new RangeError('every bit is wanted');
  }

  /** What every selector's bit is, as a seed. */
  entries(): IterableIterator<[selector: string, bit: number]> {
    return this.#bits.entries();
  }
}
