import type { Dfa } from './dfa.ts';
import { predecessorsOf } from './graph.ts';

/** Most rows that are looked at: some seconds. A longer search ends without a result, which costs room only. */
const ROWS_MAX = 50_000_000;

/**
 * Which states cannot be told from each other, whatever follows: each gets the number of its class, the same as those
 * like it. Begins with what states say, and splits classes while some of their states lead elsewhere than others
 * (Moore); only states that lead to what was split are looked at again. Classes are told by hashes, and compared in
 * full at the end.
 * @returns undefined where it would take too long
 */
export function classesOf(dfa: Dfa): Uint32Array | undefined {
  const refinement = new Refinement(dfa);
  const before = predecessorsOf(dfa);
  let open: readonly number[] = [...Array(dfa.size).keys()];
  for (let rows = 0; rows <= ROWS_MAX; ) {
    const moved = refinement.split(open);
    if (moved.length === 0) return areAlike(dfa, refinement.classes) ? refinement.classes : undefined;
    const next = new Set<number>();
    for (const state of moved) {
      for (let i = before.first[state]!; i < before.first[state + 1]!; i++) next.add(before.states[i]!);
    }
    open = [...next];
    rows += open.reduce((sum, state) => sum + 1 + dfa.first[state + 1]! - dfa.first[state]!, 0);
  }
  return undefined;
}

class Refinement {
  readonly classes: Uint32Array<ArrayBuffer>;
  readonly #dfa: Dfa;
  /** By class: how many states it has, and the hash of where they lead, but for those that are open. */
  readonly #sizes: number[] = [];
  readonly #hashes: number[] = [];

  constructor(dfa: Dfa) {
    this.#dfa = dfa;
    this.classes = Uint32Array.from(dfa.labels);
    for (const label of dfa.labels) this.#sizes[label] = (this.#sizes[label] ?? 0) + 1;
    for (const label of this.#sizes.keys()) this.#sizes[label] ??= 0;
  }

  /** Looks at the open states again; returns those that are of another class now. */
  split(open: readonly number[]): readonly number[] {
    const openOf = new Map<number, number>();
    for (const state of open) openOf.set(this.classes[state]!, (openOf.get(this.classes[state]!) ?? 0) + 1);
    const settled = new Set<number>();
    const parts = new Map<number, Map<number, number>>();
    const moved: number[] = [];
    const into: number[] = [];
    for (const state of open) {
      const own = this.classes[state]!;
      const hash = hashOf(this.#dfa, this.classes, state);
      // Where all states of a class are open, the first of them keeps its number.
      if (openOf.get(own) === this.#sizes[own] && !settled.has(own)) this.#hashes[own] = hash;
      settled.add(own);
      if (hash === this.#hashes[own]) continue;
      const part = parts.get(own) ?? new Map<number, number>();
      parts.set(own, part);
      const number = part.get(hash) ?? this.#sizes.push(0) - 1;
      part.set(hash, number);
      this.#hashes[number] = hash;
      moved.push(state);
      into.push(number);
    }
    for (const [i, state] of moved.entries()) {
      this.#sizes[this.classes[state]!]!--;
      this.#sizes[into[i]!]!++;
      this.classes[state] = into[i]!;
    }
    return moved;
  }
}

/** 53 bits of where a state's bytes lead. */
function hashOf({ first, bytes, targets, defaults }: Dfa, classes: Uint32Array, state: number): number {
  const fallback = classes[defaults[state]!]!;
  let a = Math.imul(fallback + 7, 0x85ebca6b);
  let b = Math.imul(fallback + 11, 0x27d4eb2f);
  for (let i = first[state]!; i < first[state + 1]!; i++) {
    const target = classes[targets[i]!]!;
    if (target === fallback) continue;
    const x = Math.imul(256 * target + bytes[i]! + 1, 0x9e3779b1);
    a = Math.imul(a ^ x ^ (x >>> 15), 0x85ebca6b);
    b = Math.imul((b + x) ^ (x >>> 13), 0xc2b2ae35);
    a ^= a >>> 13;
    b ^= b >>> 16;
  }
  return (a >>> 0) * 0x200000 + ((b >>> 0) & 0x1fffff);
}

/** Whether every state says and does what the first of its class does. */
function areAlike(dfa: Dfa, classes: Uint32Array): boolean {
  const firsts = new Map<number, number>();
  for (let state = 0; state < dfa.size; state++) {
    const other = firsts.get(classes[state]!);
    if (other === undefined) firsts.set(classes[state]!, state);
    else if (!sameRows(dfa, classes, state, other)) return false;
  }
  return true;
}

function sameRows(dfa: Dfa, classes: Uint32Array, one: number, other: number): boolean {
  const { first, bytes, targets, defaults, labels } = dfa;
  const fallback = classes[defaults[one]!]!;
  if (labels[one] !== labels[other] || classes[defaults[other]!] !== fallback) return false;
  let [i, j] = [first[one]!, first[other]!];
  const [iEnd, jEnd] = [first[one + 1]!, first[other + 1]!];
  for (;;) {
    while (i < iEnd && classes[targets[i]!] === fallback) i++;
    while (j < jEnd && classes[targets[j]!] === fallback) j++;
    if (i === iEnd || j === jEnd) return i === iEnd && j === jEnd;
    if (bytes[i] !== bytes[j] || classes[targets[i]!] !== classes[targets[j]!]) return false;
    i++;
    j++;
  }
}
