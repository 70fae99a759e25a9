/** What of a file's name another run of the same program would write otherwise: pure. */

/** Names in these directories are made up by programs; elsewhere a name with digits and letters means something. */
const TEMPORARY = ['/tmp', '/var/tmp', '/dev/shm'];

const NUMBER = '[0-9]*';

/** In the order in which they are looked for; `*` stands for what was found where nothing else is said. */
const VARYING: readonly (readonly [what: RegExp, glob: string])[] = [
  // UUIDs.
  [/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, '*'],
  // Hashes: twelve hexadecimal digits or more, numbers and letters among them, with nothing else beside them.
  [/(?<![0-9a-z])(?=[a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{12,}(?![0-9a-z])/gi, '*'],
  // Dates, with what is written behind them of the time.
  [/(?<![0-9])(?:19|20)\d\d([-_.])\d\d\1\d\d(?:[-_.T]?\d\d[-_.:]?\d\d(?:[-_.:]?\d\d)?)?(?![0-9])/g, NUMBER],
  // Versions of libraries: libz.so.1.2.13, libc-2.36.so.
  [/(?<=\.so)(?:\.\d+)+$/g, '.*'],
  [/(?<=-)\d+(?:\.\d+)+(?=\.so$)/g, NUMBER],
  // Numbers of four digits or more: processes, inodes, times, sequences.
  [/\d{4,}/g, NUMBER],
];

/** What mkstemp and its like write: six characters or more, of two kinds at least. */
const RANDOM = /[0-9A-Za-z]{6,}/g;

/** Characters that mean something in a pattern. */
const SPECIAL = /[*?[\]{}\\]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROLS = /[\x00-\x1f\x7f]/g;

/**
 * The glob for a name, with what varies left open; it always matches the name.
 * @param directory its directory, canonical
 */
export function generalizeName(name: string, directory: string): string {
  if (/^\d+$/.test(name)) return NUMBER;
  let parts: Part[] = [{ text: name }];
  for (const [what, glob] of VARYING) parts = split(parts, what, () => glob);
  if (TEMPORARY.some((one) => directory === one || directory.startsWith(`${one}/`))) {
    parts = split(parts, RANDOM, (found) => (isMixed(found) ? '*' : undefined));
  }
  return join(parts);
}

/** The same, with every number left open. */
export function openNumbers(glob: string): string {
  const parts = glob.split(NUMBER).map((part) => part.replace(/\d+/g, NUMBER));
  return tidy(parts.join(NUMBER));
}

/** The glob for this text. What cannot be written is left open: control characters, and bytes that are no UTF-8. */
export function literal(text: string): string {
  return text
    .replace(SPECIAL, '[$&]')
    .replace(CONTROLS, '?')
    .replace(/\ufffd+/g, '*');
}

/** Whether the name is a shared library's. */
export function isLibrary(name: string): boolean {
  return /\.so(?:\.|$)/.test(name);
}

/** Of a name: text that stays, or a glob. */
type Part = { readonly text: string } | { readonly glob: string };

function split(parts: readonly Part[], what: RegExp, globOf: (found: string) => string | undefined): Part[] {
  return parts.flatMap((part): Part[] => {
    if ('glob' in part) return [part];
    const result: Part[] = [];
    let from = 0;
    for (const match of part.text.matchAll(what)) {
      const glob = globOf(match[0]);
      if (glob === undefined) continue;
      result.push({ text: part.text.slice(from, match.index) }, { glob });
      from = match.index + match[0].length;
    }
    return [...result, { text: part.text.slice(from) }];
  });
}

function join(parts: readonly Part[]): string {
  return tidy(parts.map((part) => ('glob' in part ? part.glob : literal(part.text))).join(''));
}

/** Stars beside each other are one, and a number behind a star is part of it. */
function tidy(glob: string): string {
  let before: string;
  let after = glob;
  do {
    before = after;
    after = before.replaceAll('**', '*').replaceAll(`*${NUMBER}`, '*');
  } while (after !== before);
  return after;
}

function isMixed(text: string): boolean {
  const kinds = [/[0-9]/, /[a-z]/, /[A-Z]/].filter((kind) => kind.test(text)).length;
  // One capital at the beginning is how words are written.
  return kinds > 1 && !/^[A-Z]?[a-z]+$/.test(text);
}
