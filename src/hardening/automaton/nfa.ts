import type { ByteSet, GlobItem, GlobPath, PathGlob } from '../../model/path-glob.ts';
import { HardeningError } from '../error.ts';
import { AUTOMATON_LIMITS, type AutomatonLimits } from './limits.ts';

const SLASH = 0x2f;
const ANY_BYTE: ByteSet = [[0x00, 0xff]];
const NAME_BYTE: ByteSet = [
  [0x01, 0x2e],
  [0x30, 0xff],
];

/** Where bytes of a set lead. */
export interface SetEdge {
  readonly set: ByteSet;
  readonly target: number;
}

/**
 * Patterns of paths as one automaton of places. What patterns begin with alike they share, so 10,000 literals are a
 * tree. A place stands for "the path so far matches these items", whichever pattern they are of.
 */
export class Nfa {
  static readonly start = 0;
  /** First edge by a single byte of each place, -1 for none; edges are linked lists. */
  readonly firstEdge: number[] = [];
  readonly edgeByte: number[] = [];
  readonly edgeTarget: number[] = [];
  readonly edgeNext: number[] = [];
  readonly sets = new Map<number, SetEdge[]>();
  /** Places that are reached without a byte. */
  readonly free = new Map<number, number[]>();
  /** What is matched where the path ends at a place. */
  readonly accepts = new Map<number, number[]>();
  /** What matches `/`, which is the only path that ends after a slash. */
  readonly rootAccepts: number[] = [];
  /** The pattern that made each place. */
  readonly #makers: number[] = [];
  readonly #patterns: string[] = [];
  readonly #joins = new Map<string, number>();
  readonly #limits: AutomatonLimits;

  constructor(limits: AutomatonLimits = AUTOMATON_LIMITS) {
    this.#limits = limits;
    this.#place();
  }

  get size(): number {
    return this.firstEdge.length;
  }

  /**
   * @param accept what is matched by what the pattern matches
   * @throws HardeningError PATTERNS
   */
  add(text: string, glob: PathGlob, accept: number): void {
    this.#patterns.push(text);
    for (const path of glob.paths) this.#addPath(path, accept);
  }

  /** The pattern that made a place. */
  patternOf(place: number): string {
    return this.#patterns[this.#makers[place] ?? 0] ?? '';
  }

  #addPath({ abstract, names }: GlobPath, accept: number): void {
    if (!abstract && names.every((name) => name.type === 'deep')) this.rootAccepts.push(accept);
    let at = Nfa.start;
    for (const [i, name] of names.entries()) {
      if (name.type === 'name') {
        at = this.#items(abstract ? at : this.#byte(at, SLASH), name.items);
      } else if (i < names.length - 1) {
        at = this.#deep(at);
      } else {
        this.#accept(at, accept);
        at = this.#below(at);
      }
    }
    if (names.length > 0) this.#accept(at, accept);
    else this.#byte(at, SLASH);
  }

  #accept(place: number, accept: number): void {
    const accepts = this.accepts.get(place);
    if (accepts === undefined) this.accepts.set(place, [accept]);
    else if (!accepts.includes(accept)) accepts.push(accept);
  }

  #items(from: number, items: readonly GlobItem[]): number {
    let at = from;
    for (const item of items) {
      if (item.type === 'bytes') for (const byte of item.bytes) at = this.#byte(at, byte);
      else at = this.#compound(at, item);
    }
    return at;
  }

  #compound(from: number, item: Exclude<GlobItem, { type: 'bytes' }>): number {
    return this.#shared(from, JSON.stringify(item, bytesAsText), (end) => {
      if (item.type === 'run') {
        this.#free(from, end);
        this.#set(end, item.of, end);
      } else if (item.type === 'either') {
        for (const part of item.of) this.#free(this.#items(from, part), end);
      } else {
        for (const sequence of item.of) {
          let at = from;
          for (const [i, set] of sequence.entries()) {
            const next = i === sequence.length - 1 ? end : this.#place();
            this.#set(at, set, next);
            at = next;
          }
        }
      }
    });
  }

  /** Any number of names between others: from the end of a name to the end of a name. */
  #deep(from: number): number {
    return this.#shared(from, 'deep', (end) => {
      this.#free(from, end);
      const begun = this.#place();
      const name = this.#place();
      this.#set(end, [[SLASH, SLASH]], begun);
      this.#set(begun, NAME_BYTE, name);
      this.#set(name, NAME_BYTE, name);
      this.#free(name, end);
    });
  }

  /** All that lies below. Paths are canonical, so no more than a slash need be looked for. */
  #below(from: number): number {
    return this.#shared(from, 'below', (end) => {
      this.#set(from, [[SLASH, SLASH]], end);
      this.#set(end, ANY_BYTE, end);
    });
  }

  /** The place that items lead to from another one; made once. */
  #shared(from: number, key: string, make: (end: number) => void): number {
    const name = `${from} ${key}`;
    const known = this.#joins.get(name);
    if (known !== undefined) return known;
    const end = this.#place();
    this.#joins.set(name, end);
    make(end);
    return end;
  }

  #byte(from: number, byte: number): number {
    for (let edge = this.firstEdge[from]!; edge >= 0; edge = this.edgeNext[edge]!) {
      if (this.edgeByte[edge] === byte) return this.edgeTarget[edge]!;
    }
    const target = this.#place();
    this.edgeByte.push(byte);
    this.edgeTarget.push(target);
    this.edgeNext.push(this.firstEdge[from]!);
    this.firstEdge[from] = this.edgeByte.length - 1;
    return target;
  }

  #set(from: number, set: ByteSet, target: number): void {
    const edges = this.sets.get(from);
    if (edges === undefined) this.sets.set(from, [{ set, target }]);
    else edges.push({ set, target });
  }

  #free(from: number, to: number): void {
    const others = this.free.get(from);
    if (others === undefined) this.free.set(from, [to]);
    else if (!others.includes(to)) others.push(to);
  }

  #place(): number {
    if (this.size >= this.#limits.places) {
      throw new HardeningError('PATTERNS', {
        attempted: 'compile the path patterns',
        reason: `together they are longer than ${this.#limits.places} places`,
        hint: 'Use fewer patterns, or shorter ones',
        blamed: this.#patterns.slice(-1),
      });
    }
    this.firstEdge.push(-1);
    this.#makers.push(Math.max(0, this.#patterns.length - 1));
    return this.size - 1;
  }
}

function bytesAsText(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value;
}
