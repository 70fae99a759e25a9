import type { ByteSet } from '../../model/path-glob.ts';
import type { Nfa } from './nfa.ts';

/** Sets of places, each with all that is reached from it without a byte. Equal sets have the same number. */
export class PlaceSets {
  readonly #closures: readonly (Int32Array | undefined)[];
  /** Adds up to the same for equal sets, whatever their order. */
  readonly #mix: Uint32Array;
  readonly #stamps: Uint32Array;
  readonly #known = new Map<number, number[]>();
  /** The places of all sets, one set after the other. */
  #pool = new Int32Array(1 << 16);
  readonly #begins: number[] = [0];
  #stamp = 0;
  #hash = 0;
  #length = 0;

  constructor(nfa: Nfa) {
    this.#closures = Array.from({ length: nfa.size }, (_, place) => closureOf(nfa, place));
    this.#mix = Uint32Array.from({ length: nfa.size }, (_, place) => mixed(place + 1));
    this.#stamps = new Uint32Array(nfa.size);
  }

  get count(): number {
    return this.#begins.length - 1;
  }

  placesOf(set: number): Int32Array {
    return this.#pool.subarray(this.#begins[set], this.#begins[set + 1]);
  }

  /** Begins a set without places. */
  begin(): void {
    this.#stamp++;
    this.#hash = 0;
    this.#length = 0;
  }

  add(place: number): void {
    const closure = this.#closures[place];
    if (closure === undefined) this.#addOne(place);
    else for (const one of closure) this.#addOne(one);
  }

  /** How many places the set that was begun has. */
  get length(): number {
    return this.#length;
  }

  /** The number of the set that was begun, which may be a new one. */
  end(): number {
    const alike = this.#known.get(this.#hash);
    const known = alike?.find((set) => this.#isBegun(set));
    if (known !== undefined) return known;
    const set = this.count;
    this.#begins.push(this.#begins[set]! + this.#length);
    if (alike === undefined) this.#known.set(this.#hash, [set]);
    else alike.push(set);
    return set;
  }

  #addOne(place: number): void {
    if (this.#stamps[place] === this.#stamp) return;
    this.#stamps[place] = this.#stamp;
    const end = this.#begins[this.#begins.length - 1]! + this.#length++;
    if (end === this.#pool.length) {
      const larger = new Int32Array(2 * end);
      larger.set(this.#pool);
      this.#pool = larger;
    }
    this.#pool[end] = place;
    this.#hash = (this.#hash + this.#mix[place]!) >>> 0;
  }

  #isBegun(set: number): boolean {
    const [from, end] = [this.#begins[set]!, this.#begins[set + 1]!];
    if (end - from !== this.#length) return false;
    for (let i = from; i < end; i++) if (this.#stamps[this.#pool[i]!] !== this.#stamp) return false;
    return true;
  }
}

/** Undefined for a place that leads to none without a byte. */
function closureOf(nfa: Nfa, place: number): Int32Array | undefined {
  if (!nfa.free.has(place)) return undefined;
  const found = new Set([place]);
  for (const one of found) for (const next of nfa.free.get(one) ?? []) found.add(next);
  return Int32Array.from(found);
}

function mixed(value: number): number {
  let x = Math.imul(value, 0x9e3779b1);
  x = Math.imul(x ^ (x >>> 15), 0x85ebca6b);
  return (x ^ (x >>> 13)) >>> 0;
}

/** Bytes that the same sets of bytes hold. */
interface Segment {
  readonly ranges: ByteSet;
  /** Numbers of these sets. */
  readonly sets: readonly number[];
}

/** Where each byte leads from a set of places. */
export class Successors {
  readonly #nfa: Nfa;
  readonly #sets: PlaceSets;
  /** Different sets of bytes, and the number of each edge's. */
  readonly #byteSets: ByteSet[] = [];
  readonly #edges = new Map<number, readonly { readonly number: number; readonly target: number }[]>();
  readonly #segments = new Map<string, readonly Segment[]>();
  readonly #literals: number[][] = Array.from({ length: 256 }, () => []);
  readonly #wide: number[][];
  /** Places that were looked at so far. */
  steps = 0;

  constructor(nfa: Nfa, sets: PlaceSets) {
    this.#nfa = nfa;
    this.#sets = sets;
    const numbers = new Map<string, number>();
    for (const [place, edges] of nfa.sets) {
      const numbered = edges.map(({ set, target }) => {
        const key = set.join(' ');
        const number = numbers.get(key) ?? this.#byteSets.push(set) - 1;
        numbers.set(key, number);
        return { number, target };
      });
      this.#edges.set(place, numbered);
    }
    this.#wide = this.#byteSets.map(() => []);
  }

  /** @param row gets the set each byte leads to, -1 for none */
  fill(set: number, row: Int32Array): void {
    row.fill(-1);
    const bytes: number[] = [];
    const used: number[] = [];
    const places = this.#sets.placesOf(set);
    this.steps += places.length;
    for (const place of places) {
      for (let edge = this.#nfa.firstEdge[place]!; edge >= 0; edge = this.#nfa.edgeNext[edge]!) {
        const byte = this.#nfa.edgeByte[edge]!;
        const list = this.#literals[byte]!;
        if (list.length === 0) bytes.push(byte);
        list.push(this.#nfa.edgeTarget[edge]!);
      }
      for (const { number, target } of this.#edges.get(place) ?? []) {
        const list = this.#wide[number]!;
        if (list.length === 0) used.push(number);
        list.push(target);
      }
    }
    const segments = this.#segmentsOf(used.sort((a, b) => a - b));
    for (const segment of segments) {
      const target = this.#lead(segment, []);
      for (const [first, last] of segment.ranges) row.fill(target, first, last + 1);
    }
    for (const byte of bytes) {
      const segment = segments.find(({ ranges }) => ranges.some(([first, last]) => first <= byte && byte <= last));
      row[byte] = this.#lead(segment, this.#literals[byte]!);
    }
    for (const byte of bytes) this.#literals[byte]!.length = 0;
    for (const number of used) this.#wide[number]!.length = 0;
  }

  #lead(segment: Segment | undefined, literals: readonly number[]): number {
    this.#sets.begin();
    for (const number of segment?.sets ?? []) for (const place of this.#wide[number]!) this.#sets.add(place);
    for (const place of literals) this.#sets.add(place);
    this.steps += this.#sets.length;
    return this.#sets.end();
  }

  #segmentsOf(sets: readonly number[]): readonly Segment[] {
    const key = sets.join();
    const known = this.#segments.get(key);
    if (known !== undefined) return known;
    const segments = cut(sets, this.#byteSets);
    this.#segments.set(key, segments);
    return segments;
  }
}

/** Cuts the bytes so that those of each segment are in the same sets. */
function cut(sets: readonly number[], byteSets: readonly ByteSet[]): readonly Segment[] {
  const alike = new Map<string, { ranges: [number, number][]; sets: number[] }>();
  for (let byte = 0; byte < 256; byte++) {
    const holding = sets.filter((number) => byteSets[number]!.some(([first, last]) => first <= byte && byte <= last));
    if (holding.length === 0) continue;
    const segment = alike.get(holding.join()) ?? { ranges: [], sets: holding };
    alike.set(holding.join(), segment);
    const before = segment.ranges.at(-1);
    if (before !== undefined && before[1] === byte - 1) before[1] = byte;
    else segment.ranges.push([byte, byte]);
  }
  return [...alike.values()];
}
