import type { Nfa } from './nfa.ts';

/** Sets of places, ascending, with all that is reached from them without a byte. */
export class PlaceSets {
  readonly #nfa: Nfa;
  readonly #closures = new Map<number, readonly number[]>();

  constructor(nfa: Nfa) {
    this.#nfa = nfa;
  }

  closure(place: number): readonly number[] {
    if (!this.#nfa.free.has(place)) return [place];
    const known = this.#closures.get(place);
    if (known !== undefined) return known;
    const found = new Set([place]);
    for (const one of found) for (const next of this.#nfa.free.get(one) ?? []) found.add(next);
    const closure = [...found].sort((a, b) => a - b);
    this.#closures.set(place, closure);
    return closure;
  }

  /** The closures of all these places together. */
  union(places: readonly number[]): readonly number[] {
    const [only] = places;
    if (only === undefined) return [];
    if (places.length === 1) return this.closure(only);
    const found = new Set<number>();
    for (const place of places) for (const one of this.closure(place)) found.add(one);
    return [...found].sort((a, b) => a - b);
  }

  keyOf(places: readonly number[]): string | number {
    return places.length === 1 ? places[0]! : places.join(',');
  }
}

/** Bytes that lead to the same places; those in no group lead nowhere. */
export interface ByteTargets {
  readonly groups: readonly { readonly bytes: readonly number[]; readonly places: readonly number[] }[];
  /** Places that were looked at. */
  readonly steps: number;
}

/** Where the bytes lead from a set of places. */
export class Successors {
  readonly #nfa: Nfa;
  readonly #sets: PlaceSets;
  readonly #byByte: number[][] = Array.from({ length: 256 }, () => []);

  constructor(nfa: Nfa, sets: PlaceSets) {
    this.#nfa = nfa;
    this.#sets = sets;
  }

  of(places: readonly number[]): ByteTargets {
    const touched: number[] = [];
    const edges = [];
    let steps = places.length;
    for (const place of places) {
      for (let edge = this.#nfa.firstEdge[place]!; edge >= 0; edge = this.#nfa.edgeNext[edge]!) {
        const list = this.#byByte[this.#nfa.edgeByte[edge]!]!;
        if (list.length === 0) touched.push(this.#nfa.edgeByte[edge]!);
        list.push(this.#nfa.edgeTarget[edge]!);
        steps++;
      }
      edges.push(...(this.#nfa.sets.get(place) ?? []));
    }
    const groups: { bytes: readonly number[]; places: readonly number[] }[] = [];
    const add = (bytes: readonly number[], targets: readonly number[]): void => {
      const reached = this.#sets.union(targets);
      steps += reached.length;
      if (reached.length > 0 && bytes.length > 0) groups.push({ bytes, places: reached });
    };
    const wide = new Map<string, { bytes: number[]; targets: number[] }>();
    for (const [first, last] of segmentsOf(edges.flatMap(({ set }) => set))) {
      steps += edges.length;
      const targets = edges
        .filter(({ set }) => set.some(([from, to]) => from <= first && last <= to))
        .map(({ target }) => target);
      const alike = wide.get(targets.join(',')) ?? { bytes: [], targets };
      wide.set(targets.join(','), alike);
      for (let byte = first; byte <= last; byte++) {
        const literals = this.#byByte[byte]!;
        if (literals.length > 0) add([byte], [...targets, ...literals]);
        else alike.bytes.push(byte);
        if (literals.length > 0) literals.length = 0;
      }
    }
    for (const { bytes, targets } of wide.values()) add(bytes, targets);
    for (const byte of touched) {
      const literals = this.#byByte[byte]!;
      if (literals.length === 0) continue;
      add([byte], literals);
      literals.length = 0;
    }
    return { groups, steps };
  }
}

/** The ranges cut so that each of them lies in or outside each range that was given. */
function segmentsOf(ranges: readonly (readonly [number, number])[]): [number, number][] {
  if (ranges.length === 0) return [];
  const starts = new Set<number>();
  for (const [first, last] of ranges) {
    starts.add(first);
    starts.add(last + 1);
  }
  const cuts = [...starts].sort((a, b) => a - b);
  const segments: [number, number][] = [];
  for (const [i, cut] of cuts.entries()) {
    const next = cuts[i + 1];
    if (next !== undefined && ranges.some(([first, last]) => first <= cut && cut <= last))
      segments.push([cut, next - 1]);
  }
  return segments;
}
