/** The characters of a path pattern, read to a tree. Names do not have ends in it yet: `path-glob.ts` finds them. */
import type { ByteSet, GlobItem, PathGlobProblem } from './path-glob.ts';
import { TextReader } from './text-reader.ts';

/** Most texts the braces of one pattern may stand for. */
export const MAX_TEXTS = 256;
/** Most braces inside braces. */
const MAX_BRACES = 4;
/** Most of `*`, `**`, `?` and brackets in a pattern. */
const MAX_WILDCARDS = 128;

/** Bytes of names: all but 0 and `/`. */
export const NAME_BYTES: ByteSet = [
  [0x01, 0x2e],
  [0x30, 0xff],
];
const ALL_BYTES: ByteSet = [[0x00, 0xff]];

/** Why a pattern is refused; never leaves `parsePathGlob`. */
export class Refusal extends Error {
  readonly problem: PathGlobProblem;

  constructor(reason: string, suggestion?: string) {
    super(reason);
    this.problem = { ok: false, reason, ...(suggestion === undefined ? {} : { suggestion }) };
  }
}

/** What a pattern is read to first: a tree in which names do not have ends yet. */
export type Piece =
  | Exclude<GlobItem, { type: 'either' }>
  | { readonly type: 'slash' }
  | { readonly type: 'deep' }
  | { readonly type: 'braces'; readonly of: readonly (readonly Piece[])[] };

interface Reading {
  readonly abstract: boolean;
  wildcards: number;
}

/** @throws Refusal */
export function readPieces(text: string, abstract: boolean): Piece[] {
  return readSequence(new TextReader(text), { abstract, wildcards: 0 }, 0);
}

/** Reads up to the end, or up to the `,` or `}` that ends a part of braces. */
function readSequence(reader: TextReader, reading: Reading, depth: number): Piece[] {
  const pieces: Piece[] = [];
  let literal = '';
  const add = (piece?: Piece): void => {
    if (literal !== '') pieces.push({ type: 'bytes', bytes: Buffer.from(literal) });
    literal = '';
    if (piece !== undefined) pieces.push(piece);
  };
  for (let c = reader.peek(); c !== undefined; c = reader.peek()) {
    if (depth > 0 && (c === ',' || c === '}')) break;
    reader.next();
    if (c === '/' && !reading.abstract) add({ type: 'slash' });
    else if (c === '*' || c === '?' || c === '[') add(readWildcard(c, reader, reading));
    else if (c === '{') add({ type: 'braces', of: readBraces(reader, reading, depth + 1) });
    else if (c === '}' || c === ']') throw new Refusal(`nothing opens the "${c}" in it`, undefined);
    else if (c === '\\') throw new Refusal('there is a "\\" in it; what is meant as it stands is put in brackets, [*]');
    else literal += c;
  }
  add();
  return pieces;
}

function readWildcard(c: '*' | '?' | '[', reader: TextReader, reading: Reading): Piece {
  if (++reading.wildcards > MAX_WILDCARDS) throw new Refusal(`it has more than ${MAX_WILDCARDS} wildcards`);
  if (c === '[') return { type: 'one', of: readBrackets(reader, reading.abstract) };
  if (c === '?') return { type: 'one', of: otherThan([], reading.abstract) };
  let stars = 1;
  while (reader.peek() === '*') {
    reader.next();
    stars++;
  }
  if (reading.abstract) return { type: 'run', of: ALL_BYTES };
  if (stars > 2) throw new Refusal('there are more than two "*" in a row in it');
  return stars === 2 ? { type: 'deep' } : { type: 'run', of: NAME_BYTES };
}

function readBraces(reader: TextReader, reading: Reading, depth: number): Piece[][] {
  if (depth > MAX_BRACES) throw new Refusal(`it has more than ${MAX_BRACES} braces inside each other`);
  const parts: Piece[][] = [];
  for (;;) {
    parts.push(readSequence(reader, reading, depth));
    const c = reader.next();
    if (c === '}') break;
    if (c === undefined) throw new Refusal('nothing closes the "{" in it');
    if (parts.length >= MAX_TEXTS) throw new Refusal(`its braces stand for more than ${MAX_TEXTS} texts`);
  }
  if (parts.length === 1) throw new Refusal('there are braces without a "," in it');
  return parts;
}

/** After `[`. A `]` at once is one of the characters. */
function readBrackets(reader: TextReader, abstract: boolean): (readonly ByteSet[])[] {
  const others = reader.peek() === '!' || reader.peek() === '^';
  if (others) reader.next();
  const ascii: [number, number][] = [];
  const wide = new Set<string>();
  for (let count = 0; ; count++) {
    const c = reader.next();
    if (c === undefined || (c === '/' && !abstract)) throw new Refusal('nothing closes the "[" in it');
    if (c === ']' && count > 0) break;
    const isRange = reader.peek() === '-' && reader.peek(1) !== ']' && reader.peek(1) !== undefined;
    if (isRange) {
      reader.next();
      const last = reader.next() ?? c;
      if (!isAscii(c) || !isAscii(last)) throw new Refusal(`the range ${c}-${last} is not of ASCII characters`);
      if (last < c) throw new Refusal(`the range ${c}-${last} is backwards`, undefined);
      ascii.push([c.charCodeAt(0), last.charCodeAt(0)]);
    } else if (isAscii(c)) {
      ascii.push([c.charCodeAt(0), c.charCodeAt(0)]);
    } else {
      wide.add(c);
    }
  }
  if (others && wide.size > 0) throw new Refusal('there are characters other than ASCII after "[!"');
  if (others) return otherThan(ascii, abstract);
  const sequences = [...wide].map((c) => [...Buffer.from(c)].map((byte): ByteSet => [[byte, byte]]));
  const set = without(union(ascii), abstract ? [] : [[0x2f, 0x2f]]);
  if (set.length === 0 && sequences.length === 0) throw new Refusal('there are brackets in it that match nothing');
  return [...(set.length === 0 ? [] : [[set]]), ...sequences];
}

function isAscii(c: string): boolean {
  return c.charCodeAt(0) < 0x80;
}

const CONTINUATION: ByteSet = [[0x80, 0xbf]];

/** Any one character but these ASCII ones. */
function otherThan(ascii: ByteSet, abstract: boolean): (readonly ByteSet[])[] {
  const single: ByteSet = abstract
    ? [
        [0x00, 0xbf],
        [0xf8, 0xff],
      ]
    : [
        [0x01, 0x2e],
        [0x30, 0xbf],
        [0xf8, 0xff],
      ];
  return [
    [without(single, union(ascii))],
    [[[0xc0, 0xdf]], CONTINUATION],
    [[[0xe0, 0xef]], CONTINUATION, CONTINUATION],
    [[[0xf0, 0xf7]], CONTINUATION, CONTINUATION, CONTINUATION],
  ];
}

function union(ranges: ByteSet): ByteSet {
  const merged: [number, number][] = [];
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const before = merged.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else merged.push([first, last]);
  }
  return merged;
}

function without(set: ByteSet, gaps: ByteSet): ByteSet {
  let left = set;
  for (const [from, to] of gaps) {
    left = left.flatMap(([first, last]): [number, number][] => [
      ...(first < from ? [[first, Math.min(last, from - 1)] as [number, number]] : []),
      ...(last > to ? [[Math.max(first, to + 1), last] as [number, number]] : []),
    ]);
  }
  return left;
}
