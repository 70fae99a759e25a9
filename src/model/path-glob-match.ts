import type { ByteSet, GlobItem, GlobName, GlobPath, PathGlob } from './path-glob.ts';

/**
 * Whether a pattern means a path: slow and obvious, what automata are checked against.
 * @param path `/`, or `/` and a name for each; or `@` and an abstract name. Text is UTF-8.
 */
export function pathGlobMatch(glob: PathGlob, path: string | Uint8Array): boolean {
  const bytes = typeof path === 'string' ? Buffer.from(path) : Buffer.from(path);
  return glob.paths.some((alternative) => pathMatch(alternative, bytes));
}

function pathMatch({ abstract, names }: GlobPath, path: Buffer): boolean {
  const [only] = names;
  if (abstract) return only?.type === 'name' && nameMatch(only.items, path);
  if (path[0] !== 0x2f) return false;
  return namesMatch(names, namesOf(path));
}

function namesOf(path: Buffer): Buffer[] {
  if (path.length === 1) return [];
  const names: Buffer[] = [];
  for (let start = 1; ; ) {
    const end = path.indexOf(0x2f, start);
    names.push(path.subarray(start, end < 0 ? path.length : end));
    if (end < 0) return names;
    start = end + 1;
  }
}

/** Row by row: which beginnings of the path the first names of the pattern match. */
function namesMatch(pattern: readonly GlobName[], names: readonly Buffer[]): boolean {
  let row = [true, ...names.map(() => false)];
  for (const wanted of pattern) {
    const before = row;
    const first = wanted.type === 'deep' && before[0] === true;
    row = [first];
    for (const [i, name] of names.entries()) {
      if (wanted.type === 'deep') row.push(before[i + 1] === true || row[i] === true);
      else row.push(before[i] === true && name.length > 0 && nameMatch(wanted.items, name));
    }
  }
  return row.at(-1) === true;
}

function nameMatch(items: readonly GlobItem[], name: Buffer): boolean {
  return ends(items, name, new Set([0])).has(name.length);
}

/** Where the items may end that begin at one of these places. */
function ends(items: readonly GlobItem[], name: Buffer, starts: ReadonlySet<number>): ReadonlySet<number> {
  let at = starts;
  for (const item of items) {
    const next = new Set<number>();
    for (const place of at) for (const end of endsOf(item, name, place)) next.add(end);
    at = next;
  }
  return at;
}

function endsOf(item: GlobItem, name: Buffer, start: number): Iterable<number> {
  if (item.type === 'bytes') {
    const end = start + item.bytes.length;
    return name.subarray(start, end).equals(item.bytes) ? [end] : [];
  }
  if (item.type === 'either') return item.of.flatMap((part) => [...ends(part, name, new Set([start]))]);
  if (item.type === 'one') {
    return item.of
      .filter((sequence) => sequence.every((set, i) => inSet(set, name[start + i])))
      .map((sequence) => start + sequence.length);
  }
  const places = [start];
  for (let i = start; inSet(item.of, name[i]); i++) places.push(i + 1);
  return places;
}

function inSet(set: ByteSet, byte: number | undefined): boolean {
  return byte !== undefined && set.some(([first, last]) => first <= byte && byte <= last);
}
