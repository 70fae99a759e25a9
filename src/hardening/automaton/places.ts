import { CELLS } from '../format.ts';

/** A byte may be added to any base without leaving the page. */
const BASES = CELLS - 256;

/** Which cells of a page are taken, 32 of them a word. */
export class Places {
  readonly #free = new Uint32Array(CELLS / 32 + 1).fill(0xffffffff, 0, CELLS / 32);
  #used = 1;

  constructor() {
    // Base 0 would own every cell that was never written.
    this.#free[0]! &= ~1;
  }

  get used(): number {
    return this.#used;
  }

  /** Takes the first base from which all offsets are free; -1 where there is none. */
  take(offsets: readonly number[]): number {
    for (let word = 0; word < BASES / 32; word++) {
      let fits = this.#free[word]!;
      for (let i = 1; fits !== 0 && i < offsets.length; i++) fits &= this.#window(32 * word + offsets[i]!);
      if (fits === 0) continue;
      const base = 32 * word + 31 - Math.clz32(fits & -fits);
      for (const offset of offsets) this.#free[(base + offset) >> 5]! &= ~(1 << ((base + offset) & 31));
      this.#used += offsets.length;
      return base;
    }
    return -1;
  }

  /** The 32 cells from a place on. */
  #window(place: number): number {
    const word = place >> 5;
    const shift = place & 31;
    const low = this.#free[word]! >>> shift;
    return shift === 0 ? low : low | (this.#free[word + 1]! << (32 - shift));
  }
}
