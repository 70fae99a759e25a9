import { HardeningError } from '../error.ts';
import { AUTOMATON_LIMITS, type AutomatonLimits } from './limits.ts';
import { Nfa } from './nfa.ts';
import { PlaceSets, Successors } from './subsets.ts';

const SLASH = 0x2f;

/** No state: nothing can match any more. */
export const DEAD = 0;

/** States 1 and up; 0 is dead. The transitions of a state are `bytes` and `targets` from `first[state]` on. */
export interface Dfa {
  readonly start: number;
  /** States, the dead one included. */
  readonly size: number;
  /** `size + 1` numbers. */
  readonly first: readonly number[];
  /** Never 0. */
  readonly bytes: readonly number[];
  readonly targets: readonly number[];
  /** Where other bytes lead, 0 among them. */
  readonly defaults: readonly number[];
  /** What is said of paths that end here; 0: nothing. */
  readonly labels: readonly number[];
}

/**
 * The automaton that is in one state at a time. Literals give one state for each of their bytes; what follows stars
 * gives one for each combination of places that can be reached together.
 * @param labelOf what is said where these were matched, ascending; never called with none
 * @throws HardeningError PATTERNS, which names the patterns most states are due to
 */
export function determine(
  nfa: Nfa,
  labelOf: (accepts: readonly number[]) => number,
  limits: AutomatonLimits = AUTOMATON_LIMITS,
): Dfa {
  return new Construction(nfa, labelOf, limits).run();
}

class Construction {
  readonly #nfa: Nfa;
  readonly #labelOf: (accepts: readonly number[]) => number;
  readonly #limits: AutomatonLimits;
  readonly #sets: PlaceSets;
  /** Of each state, its places. Sets have one state, but for the one after the first slash. */
  readonly #setOf: number[] = [-1];
  readonly #stateOfSet: number[] = [];
  readonly #abstract: boolean[] = [false];
  readonly #first: number[] = [0, 0];
  readonly #bytes: number[] = [];
  readonly #targets: number[] = [];
  readonly #defaults: number[] = [DEAD];
  readonly #labels: number[] = [0];

  constructor(nfa: Nfa, labelOf: (accepts: readonly number[]) => number, limits: AutomatonLimits) {
    this.#nfa = nfa;
    this.#labelOf = labelOf;
    this.#limits = limits;
    this.#sets = new PlaceSets(nfa);
  }

  run(): Dfa {
    const successors = new Successors(this.#nfa, this.#sets);
    this.#sets.begin();
    this.#sets.add(Nfa.start);
    const start = this.#stateOf(this.#sets.end(), false);
    const row = new Int32Array(256);
    for (let state = start; state < this.#setOf.length; state++) {
      successors.fill(this.#setOf[state]!, row);
      for (let byte = 0; byte < 256; byte++) {
        if (row[byte] === -1) row[byte] = DEAD;
        else if (state === start && byte === SLASH)
          row[byte] = this.#newState(row[byte]!, false, this.#nfa.rootAccepts);
        else row[byte] = this.#stateOf(row[byte]!, state === start || this.#abstract[state]!);
      }
      this.#write(state, row);
      if (successors.steps > this.#limits.steps) this.#refuse(`they take more than ${this.#limits.steps} steps`);
    }
    return {
      start,
      size: this.#setOf.length,
      first: this.#first,
      bytes: this.#bytes,
      targets: this.#targets,
      defaults: this.#defaults,
      labels: this.#labels,
    };
  }

  /** Writes the transitions of a state. Only names of abstract sockets hold 0, which is always led by the default. */
  #write(state: number, row: Int32Array): void {
    const fallback = this.#abstract[state] ? row[0]! : mostCommon(row);
    this.#defaults[state] = fallback;
    for (let byte = 1; byte < 256; byte++) {
      if (row[byte] === fallback) continue;
      this.#bytes.push(byte);
      this.#targets.push(row[byte]!);
    }
    this.#first[state + 1] = this.#bytes.length;
    if (this.#bytes.length > this.#limits.transitions) {
      this.#refuse(`they need more than ${this.#limits.transitions} transitions`);
    }
  }

  #stateOf(set: number, abstract: boolean): number {
    const known = this.#stateOfSet[set];
    if (known !== undefined) return known;
    const accepts = new Set<number>();
    for (const place of this.#sets.placesOf(set)) {
      for (const accept of this.#nfa.accepts.get(place) ?? []) accepts.add(accept);
    }
    const state = this.#newState(set, abstract, accepts);
    this.#stateOfSet[set] = state;
    return state;
  }

  /** The state after the first slash is made by itself: a path ends there only if it is the root. */
  #newState(set: number, abstract: boolean, accepts: Iterable<number>): number {
    const state = this.#setOf.length;
    if (state >= this.#limits.states) this.#refuse(`they need more than ${this.#limits.states} states`);
    const matched = [...accepts].sort((a, b) => a - b);
    this.#setOf.push(set);
    this.#abstract.push(abstract);
    this.#labels.push(matched.length === 0 ? 0 : this.#labelOf(matched));
    return state;
  }

  /** Names the patterns whose places are in most of the states made last. */
  #refuse(reason: string): never {
    const guilt = new Map<string, number>();
    for (const set of this.#setOf.slice(-500)) {
      const patterns = new Set([...this.#sets.placesOf(set)].map((place) => this.#nfa.patternOf(place)));
      for (const pattern of patterns) guilt.set(pattern, (guilt.get(pattern) ?? 0) + 1);
    }
    const blamed = [...guilt].sort((a, b) => b[1] - a[1]).slice(0, 5);
    throw new HardeningError('PATTERNS', {
      attempted: 'compile the path patterns',
      reason,
      hint: 'Use fewer stars, or begin the patterns with more of the path',
      blamed: blamed.map(([pattern]) => pattern),
    });
  }
}

/** Where most bytes lead; 0 is not asked about. */
function mostCommon(row: Int32Array): number {
  const count = new Map<number, number>();
  for (let from = 1, to = 2; from < 256; from = to++) {
    while (to < 256 && row[to] === row[from]) to++;
    count.set(row[from]!, (count.get(row[from]!) ?? 0) + to - from);
  }
  let best = DEAD;
  let most = 0;
  for (const [target, n] of count) {
    if (n <= most) continue;
    best = target;
    most = n;
  }
  return best;
}
