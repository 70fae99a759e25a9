import type { Class } from './tables.ts';

/** What a class was made of: the serial of its only rule, or text that names all that goes into it. */
export type Ingredients = number | string;

/**
 * The classes that one build made, for the next to take what it can. Forgets what a build did not ask for.
 */
export class ClassCache {
  readonly #context: string;
  #earlier: ReadonlyMap<Ingredients, Class>;
  readonly #made = new Map<Ingredients, Class>();

  /**
   * @param context all that goes into every class of a build; classes made in another one are not taken
   * @param earlier of the build before
   */
  constructor(context: string, earlier: ClassCache | undefined) {
    this.#context = context;
    this.#earlier = earlier !== undefined && earlier.#context === context ? earlier.#made : NOTHING;
  }

  get(ingredients: Ingredients, make: () => Class): Class {
    const known = this.#made.get(ingredients);
    if (known !== undefined) return known;
    const found = this.#earlier.get(ingredients) ?? make();
    this.#made.set(ingredients, found);
    return found;
  }

  values(): Iterable<Class> {
    return this.#made.values();
  }

  /**
   * The build is done: what it did not take is let go.
   * @param used by the set, where that is not all: a class nobody uses may meanwhile be made again elsewhere, and
   * there would be two of it
   */
  settle(used?: ReadonlySet<Class>): void {
    this.#earlier = NOTHING;
    if (used === undefined) return;
    for (const [ingredients, one] of this.#made) if (!used.has(one)) this.#made.delete(ingredients);
  }
}

const NOTHING: ReadonlyMap<Ingredients, Class> = new Map();
