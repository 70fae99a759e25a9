/**
 * Patterns of paths, as hardening rules have them. `*` is any run of characters of one name, also none, `?` one
 * character, `[a-c]` one of these and `[!a-c]` one of the others, `{a,b}` either; `**` as a whole name is any number of
 * names, also none. There is no backslash: what is meant as it stands is put in brackets, `[*]`. A pattern that begins
 * with `@` is an abstract UNIX socket's name, in which `/` is a character like others.
 *
 * Patterns come from users and go into automata: what would make one explode is refused here. Sizes are in bytes,
 * because names in the kernel are bytes; a character is one of UTF-8, or a byte that begins none.
 */
import { MAX_TEXTS, type Piece, Refusal, readPieces } from './path-glob-reader.ts';

/** Longest pattern, and longest path the kernel takes, in bytes. */
export const MAX_PATH_BYTES = 4095;
/** Longest name of a file, in bytes. */
export const MAX_NAME_BYTES = 255;
/** Longest name of an abstract socket, with the `@`: `sun_path` has 108 bytes, of which one is 0. */
export const MAX_ABSTRACT_BYTES = 108;
/** Most paths a pattern may stand for: one, but for braces with a `/` or `**` in them. */
export const MAX_PATHS = 32;
/** Most wildcards after the first star: an automaton may double with each. */
const MAX_AFTER_STAR = 8;

/** Ranges of bytes, both ends included; ascending, and apart from each other. */
export type ByteSet = readonly (readonly [first: number, last: number])[];

/** A part of a name. */
export type GlobItem =
  | { readonly type: 'bytes'; readonly bytes: Uint8Array }
  /** Any number of bytes of the set, also none. */
  | { readonly type: 'run'; readonly of: ByteSet }
  /** One of these sequences of bytes. No two of them match the same bytes. */
  | { readonly type: 'one'; readonly of: readonly (readonly ByteSet[])[] }
  | { readonly type: 'either'; readonly of: readonly (readonly GlobItem[])[] };

/** A name of a path is never empty, also where its items may match nothing. */
export type GlobName =
  | { readonly type: 'name'; readonly items: readonly GlobItem[] }
  /** Any number of names, also none. */
  | { readonly type: 'deep' };

/**
 * A path is `/`, or `/` and a name for each; `[]` and `[deep]` match the root. Of an abstract socket there is one name,
 * the `@` included, without the `/` before it.
 */
export interface GlobPath {
  readonly abstract: boolean;
  readonly names: readonly GlobName[];
}

/** A pattern matches what one of its paths does: there are several where braces have a `/` or `**` in them. */
export interface PathGlob {
  readonly ok: true;
  readonly paths: readonly GlobPath[];
}

export interface PathGlobProblem {
  readonly ok: false;
  /** What is wrong with it, as part of a sentence. */
  readonly reason: string;
  /** What was probably meant. */
  readonly suggestion?: string;
}

/** Reads a pattern. Bounded in time and in what it returns, whatever the text is. */
export function parsePathGlob(text: string): PathGlob | PathGlobProblem {
  const abstract = text.startsWith('@');
  const wrong = textProblem(text, abstract);
  if (wrong !== undefined) return wrong;
  try {
    const pieces = readPieces(text, abstract);
    if (textsOf(pieces) > MAX_TEXTS) throw new Refusal(`its braces stand for more than ${MAX_TEXTS} texts`);
    const paths = expand(pieces).map((flat) => (abstract ? abstractName(flat) : pathOf(flat, text)));
    for (const { names } of paths) checkStars(names);
    return { ok: true, paths };
  } catch (error) {
    if (error instanceof Refusal) return error.problem;
    throw error;
  }
}

/** What is wrong with a text before anything in it is read as a pattern. */
function textProblem(text: string, abstract: boolean): PathGlobProblem | undefined {
  const bad = (reason: string, suggestion?: string): PathGlobProblem => ({
    ok: false,
    reason,
    ...(suggestion === undefined ? {} : { suggestion }),
  });
  if (text === '') return bad('it is empty');
  const most = abstract ? 4 * MAX_ABSTRACT_BYTES : MAX_PATH_BYTES;
  if (text.length > most || Buffer.byteLength(text) > most) return bad(`it is longer than ${most} bytes`);
  if (!text.isWellFormed()) return bad('it is not Unicode');
  if (CONTROLS.test(text)) return bad('there is a control character in it');
  if (abstract) return text === '@' ? bad('there is no name after the "@"') : undefined;
  if (!text.startsWith('/')) {
    return bad('it does not begin with "/"', /^[A-Za-z0-9_*]/.test(text) ? `/${text}` : undefined);
  }
  if (text.includes('//')) return bad('there is "//" in it', text.replaceAll(/\/{2,}/g, '/'));
  if (text !== '/' && text.endsWith('/')) return bad('it ends with "/"', `${text}**`);
  return undefined;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROLS = /[\x00-\x1f\x7f]/;

/** How many texts the braces stand for, wildcards counted as one; more than `MAX_TEXTS` is not counted out. */
function textsOf(pieces: readonly Piece[]): number {
  let texts = 1;
  for (const piece of pieces) {
    if (piece.type !== 'braces') continue;
    texts *= piece.of.reduce((sum, part) => sum + textsOf(part), 0);
    if (texts > MAX_TEXTS) return texts;
  }
  return texts;
}

type Flat = GlobItem | { readonly type: 'slash' } | { readonly type: 'deep' };

/** The sequences without braces that have a `/` or `**` in them. */
function expand(pieces: readonly Piece[]): Flat[][] {
  let all: Flat[][] = [[]];
  for (const piece of pieces) {
    if (piece.type !== 'braces') {
      for (const flat of all) flat.push(piece);
      continue;
    }
    const parts = piece.of.flatMap(expand);
    const items = parts.filter((part): part is GlobItem[] => part.every(isItem));
    if (items.length === parts.length) for (const flat of all) flat.push({ type: 'either', of: items });
    else all = all.flatMap((flat) => parts.map((part) => [...flat, ...part]));
    if (all.length > MAX_PATHS) throw new Refusal(`its braces stand for more than ${MAX_PATHS} paths`);
  }
  return all;
}

function isItem(piece: Flat): piece is GlobItem {
  return piece.type !== 'slash' && piece.type !== 'deep';
}

function abstractName(flat: readonly Flat[]): GlobPath {
  const items = joined(flat.filter(isItem));
  if (shortest(items) > MAX_ABSTRACT_BYTES) throw new Refusal(`a name of over ${MAX_ABSTRACT_BYTES} bytes`);
  return { abstract: true, names: [{ type: 'name', items }] };
}

function pathOf(flat: readonly Flat[], text: string): GlobPath {
  const names: GlobName[] = [];
  // The first piece is the slash before the first name.
  let rest = flat.slice(1);
  if (rest.length === 0) return { abstract: false, names };
  for (;;) {
    const end = rest.findIndex((piece) => piece.type === 'slash');
    names.push(nameOf(end < 0 ? rest : rest.slice(0, end), text));
    if (end < 0) return { abstract: false, names };
    rest = rest.slice(end + 1);
  }
}

function nameOf(flat: readonly Flat[], text: string): GlobName {
  const [first] = flat;
  if (first?.type === 'deep' && flat.length === 1) return { type: 'deep' };
  const items = joined(flat.filter(isItem));
  if (items.length < flat.length && !flat.every(isItem)) {
    throw new Refusal('"**" is only part of a name in it', text.replaceAll(/([^/*])\*\*|\*\*([^/*])/g, '$1*$2'));
  }
  if (items.length === 0) throw new Refusal('a name in it may be empty');
  const literal = literalOf(items);
  if (literal === '.' || literal === '..') throw new Refusal(`there is "${literal}" in it`);
  if (shortest(items) > MAX_NAME_BYTES) throw new Refusal(`a name in it is longer than ${MAX_NAME_BYTES} bytes`);
  return { type: 'name', items };
}

/** The items with literals that stand beside each other made one. */
function joined(items: readonly GlobItem[]): GlobItem[] {
  const result: GlobItem[] = [];
  for (const item of items) {
    const before = result.at(-1);
    if (item.type !== 'bytes' || before?.type !== 'bytes') result.push(item);
    else result[result.length - 1] = { type: 'bytes', bytes: Buffer.concat([before.bytes, item.bytes]) };
  }
  return result;
}

function literalOf(items: readonly GlobItem[]): string | undefined {
  const [only] = items;
  return only?.type === 'bytes' && items.length === 1 ? Buffer.from(only.bytes).toString() : undefined;
}

/** Fewest bytes the items match. */
function shortest(items: readonly GlobItem[]): number {
  return items.reduce((sum, item) => {
    if (item.type === 'bytes') return sum + item.bytes.length;
    if (item.type === 'run') return sum;
    return sum + Math.min(...item.of.map((part) => (item.type === 'one' ? part.length : shortest(part as GlobItem[]))));
  }, 0);
}

function checkStars(names: readonly GlobName[]): void {
  let after = -1;
  const visit = (items: readonly GlobItem[]): void => {
    for (const item of items) {
      if (item.type === 'either') item.of.forEach(visit);
      else if (item.type === 'run' || (item.type === 'one' && after >= 0)) after++;
    }
  };
  for (const name of names) {
    if (name.type === 'deep') after++;
    else visit(name.items);
  }
  if (after > MAX_AFTER_STAR) throw new Refusal(`more than ${MAX_AFTER_STAR} wildcards follow a star in it`);
}
