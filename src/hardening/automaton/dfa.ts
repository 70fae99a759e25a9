import { HardeningError } from '../error.ts';
import { AUTOMATON_LIMITS, type AutomatonLimits } from './limits.ts';
import { Nfa } from './nfa.ts';
import { type ByteTargets, PlaceSets, Successors } from './subsets.ts';

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
  readonly #states = new Map<string | number, number>();
  /** Of each state, its places. */
  readonly #places: (readonly number[])[] = [[]];
  readonly #abstract: boolean[] = [false];
  readonly #first: number[] = [0, 0];
  readonly #bytes: number[] = [];
  readonly #targets: number[] = [];
  readonly #defaults: number[] = [DEAD];
  readonly #labels: number[] = [0];
  #root = -1;
  #steps = 0;

  constructor(nfa: Nfa, labelOf: (accepts: readonly number[]) => number, limits: AutomatonLimits) {
    this.#nfa = nfa;
    this.#labelOf = labelOf;
    this.#limits = limits;
    this.#sets = new PlaceSets(nfa);
  }

  run(): Dfa {
    const start = this.#stateOf(this.#sets.closure(Nfa.start), false);
    const successors = new Successors(this.#nfa, this.#sets);
    for (let state = start; state < this.#places.length; state++) {
      this.#step(state, successors.of(this.#places[state]!), state === start);
    }
    return {
      start,
      size: this.#places.length,
      first: this.#first,
      bytes: this.#bytes,
      targets: this.#targets,
      defaults: this.#defaults,
      labels: this.#labels,
    };
  }

  /** Writes the transitions of a state. */
  #step(state: number, { groups, steps }: ByteTargets, isStart: boolean): void {
    this.#steps += steps;
    const abstract = this.#abstract[state]!;
    const count = new Map<number, number>();
    const reached: { bytes: readonly number[]; target: number }[] = [];
    let ofNul = DEAD;
    for (const { bytes, places } of groups) {
      const path = isStart && bytes.length === 1 && bytes[0] === 0x2f;
      const target = path ? this.#rootOf(places) : this.#stateOf(places, abstract || isStart);
      reached.push({ bytes, target });
      count.set(target, (count.get(target) ?? 0) + bytes.length);
      if (bytes[0] === 0) ofNul = target;
    }
    // Only names of abstract sockets can hold 0, and that byte has no transition of its own.
    const fallback = abstract ? ofNul : mostCommon(count);
    this.#defaults[state] = fallback;
    const row: [byte: number, target: number][] = [];
    const named = new Uint8Array(256);
    for (const { bytes, target } of reached) {
      for (const byte of bytes) {
        named[byte] = 1;
        if (byte !== 0 && target !== fallback) row.push([byte, target]);
      }
    }
    if (fallback !== DEAD) for (let byte = 1; byte < 256; byte++) if (named[byte] === 0) row.push([byte, DEAD]);
    row.sort((a, b) => a[0] - b[0]);
    for (const [byte, target] of row) {
      this.#bytes.push(byte);
      this.#targets.push(target);
    }
    this.#first[state + 1] = this.#bytes.length;
    if (this.#steps > this.#limits.steps) this.#refuse(`they take more than ${this.#limits.steps} steps`);
    if (this.#bytes.length > this.#limits.transitions) {
      this.#refuse(`they need more than ${this.#limits.transitions} transitions`);
    }
  }

  /** The state after the first slash is one of its own: a path ends there only if it is the root. */
  #rootOf(places: readonly number[]): number {
    if (this.#root < 0) this.#root = this.#newState(places, false, this.#nfa.rootAccepts);
    return this.#root;
  }

  #stateOf(places: readonly number[], abstract: boolean): number {
    if (places.length === 0) return DEAD;
    const key = this.#sets.keyOf(places);
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    const accepts = new Set<number>();
    for (const place of places) for (const accept of this.#nfa.accepts.get(place) ?? []) accepts.add(accept);
    const state = this.#newState(places, abstract, accepts);
    this.#states.set(key, state);
    return state;
  }

  #newState(places: readonly number[], abstract: boolean, accepts: Iterable<number>): number {
    const state = this.#places.length;
    if (state >= this.#limits.states) this.#refuse(`they need more than ${this.#limits.states} states`);
    const matched = [...accepts].sort((a, b) => a - b);
    this.#places.push(places);
    this.#abstract.push(abstract);
    this.#labels.push(matched.length === 0 ? 0 : this.#labelOf(matched));
    return state;
  }

  /** Names the patterns whose places are in most of the states made last. */
  #refuse(reason: string): never {
    const guilt = new Map<string, number>();
    for (const places of this.#places.slice(-500)) {
      const patterns = new Set(places.slice(0, 500).map((place) => this.#nfa.patternOf(place)));
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

function mostCommon(count: ReadonlyMap<number, number>): number {
  let best = DEAD;
  let most = 256;
  for (const n of count.values()) most -= n;
  for (const [target, n] of count) {
    if (n > most) {
      best = target;
      most = n;
    }
  }
  return best;
}
