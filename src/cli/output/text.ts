export type Color = 'red' | 'green' | 'yellow' | 'dim';

const CODES: Readonly<Record<Color, string>> = { red: '31', green: '32', yellow: '33', dim: '2' };

/** Control characters, and those that turn the direction of writing: what could lie to a person's terminal. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** One `\uXXXX` for each UTF-16 unit, as JSON has it. */
const escapeOf = (character: string): string =>
  Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
    .map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`)
    .join('');

/** Text of others, fit for a terminal: what a container calls itself must not move the cursor. */
export function safe(text: string): string {
  return text.replace(UNSAFE, escapeOf);
}

/** JSON whose strings hold no control characters; it parses to the same value. */
export function safeJson(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, undefined, indent) ?? 'null';
  return text.replace(UNSAFE, (character) => (character === '\n' ? '\n' : escapeOf(character)));
}

export function paint(text: string, color: Color | undefined, on: boolean): string {
  return on && color !== undefined ? `\u001b[${CODES[color]}m${text}\u001b[0m` : text;
}

/** `1,234` → `1.2k`: sizes at a glance. */
export function humanCount(count: number): string {
  if (count < 10_000) return String(count);
  const units = ['k', 'M', 'G', 'T', 'P'];
  let value = count;
  let unit = '';
  for (const next of units) {
    if (value < 1000) break;
    value /= 1000;
    unit = next;
  }
  return `${value >= 100 ? Math.round(value) : Math.floor(value * 10) / 10}${unit}`;
}

/** Bytes in powers of 1024: `1.5MiB`. */
export function humanBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes}B`;
  let value = bytes;
  let unit = '';
  for (const next of ['KiB', 'MiB', 'GiB', 'TiB', 'PiB']) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return `${value >= 100 ? Math.round(value) : Math.floor(value * 10) / 10}${unit}`;
}
