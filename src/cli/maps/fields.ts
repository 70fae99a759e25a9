import { AgentError } from '../../agent/errors.ts';
import { DirectionName, FlowStateName, Verdict, VerdictName } from '../../datapath/layouts.gen.ts';
import { formatAddress, parseAddress } from '../../model/address.ts';
import { parseProtocol, protocolName } from '../../model/protocol.ts';

/**
 * Keys and values of the kernel's tables as people write them: `field=value`. How a field is written follows from
 * its type in the layout and, where a number has names, from its own name.
 */

/** A leaf of a key or value: `any.verdict`, `sets.egress`, or `` for a plain number. */
export interface Field {
  readonly path: string;
  readonly text: string;
}

type Raw = number | bigint | Uint8Array;

/** Names of content, not amounts: 16 hexadecimal digits. */
const DIGESTS = new Set(['set', 'class', 'id', 'identity', 'sets', 'sets.egress', 'sets.ingress']);
/** Arrays by `enum direction`. */
const BY_DIRECTION = new Set(['sets', 'packets', 'bytes']);
const BY_DIRECTION_NAMES = ['egress', 'ingress'];

const names = (nameOf: (value: number) => string, most: number): ReadonlyMap<string, number> =>
  new Map(Array.from({ length: most }, (_, value) => [nameOf(value).toLowerCase(), value]));

/** Numbers that have names, by the last part of their field's path. */
const ENUMERATIONS: Readonly<
  Record<string, { nameOf: (value: number) => string; values: ReadonlyMap<string, number> }>
> = {
  verdict: { nameOf: VerdictName, values: names(VerdictName, Verdict.Hold + 1) },
  stagedVerdict: { nameOf: VerdictName, values: names(VerdictName, Verdict.Hold + 1) },
  direction: { nameOf: DirectionName, values: names(DirectionName, 2) },
  state: { nameOf: FlowStateName, values: names(FlowStateName, 4) },
};

const last = (path: string): string => path.slice(path.lastIndexOf('.') + 1);
const isRaw = (value: unknown): value is Raw =>
  typeof value === 'number' || typeof value === 'bigint' || value instanceof Uint8Array;

interface Part {
  readonly name: string;
  readonly path: string;
  readonly value: unknown;
}

/** The parts of a struct or array, with the paths people know them by. */
function partsOf(value: unknown, path: string): Part[] {
  if (typeof value !== 'object' || value === null) return [];
  const entries = Object.entries(value);
  const [only] = entries;
  // An address is a struct of one array; people know it by the name of the field it is in.
  if (entries.length === 1 && only?.[0] === 'bytes') return [{ name: 'bytes', path, value: only[1] }];
  const directed = Array.isArray(value) && value.length === 2 && BY_DIRECTION.has(last(path));
  return entries.map(([name, child], index) => {
    const shownName = directed ? (BY_DIRECTION_NAMES[index] ?? name) : name;
    return { name, path: path === '' ? shownName : `${path}.${shownName}`, value: child };
  });
}

/** Every leaf of a key or value, written for people. */
export function fieldsOf(value: unknown, path = ''): Field[] {
  if (isRaw(value)) return [{ path, text: formatLeaf(path, value) }];
  return partsOf(value, path).flatMap((part) => fieldsOf(part.value, part.path));
}

function formatLeaf(path: string, leaf: Raw): string {
  if (leaf instanceof Uint8Array) {
    if (leaf.length === 16) return formatAddress(leaf);
    if (leaf.length === 8) return hex(Buffer.from(leaf).readBigUInt64LE());
    if (leaf.length === 2) return String(Buffer.from(leaf).readUInt16BE());
    return Buffer.from(leaf).toString('hex');
  }
  if (typeof leaf === 'bigint') return DIGESTS.has(path) || DIGESTS.has(last(path)) ? hex(leaf) : String(leaf);
  if (last(path) === 'protocol') return protocolName(leaf);
  return ENUMERATIONS[last(path)]?.nameOf(leaf) ?? String(leaf);
}

/** A value as JSON: leaves as people write them, amounts as numbers where they fit. */
export function jsonOf(value: unknown): unknown {
  if (isRaw(value)) return numeric(formatLeaf('', value));
  const result: Record<string, unknown> = {};
  for (const { path, text } of fieldsOf(value)) {
    const parts = path.split('.');
    const leaf = parts.pop() ?? '';
    let node = result;
    for (const part of parts) {
      if (!Object.hasOwn(node, part)) node[part] = {};
      node = node[part] as Record<string, unknown>;
    }
    node[leaf] = DIGESTS.has(path) || DIGESTS.has(leaf) ? text : numeric(text);
  }
  return result;
}

function numeric(text: string): unknown {
  // Bytes may look like a number, and would lose their zeros.
  return /^(0|[1-9]\d{0,14})$/.test(text) ? Number(text) : text;
}

const hex = (value: bigint): string => value.toString(16).padStart(16, '0');

/**
 * A copy of `template` with fields set from `field=value` texts, or from one JSON object; a plain number's text is
 * the value itself.
 * @param whole every field must be given: what is left out of a key is a mistake, not a zero
 * @throws AgentError USAGE naming the field, what was found, what is wanted
 */
export function withFields<T>(template: T, texts: readonly string[], whole: boolean): T {
  const given = readPairs(texts);
  const known = fieldsOf(template).map(({ path }) => path);
  const unknown = [...given.keys()].find((path) => !known.includes(path));
  if (unknown !== undefined) {
    throw new AgentError(
      'USAGE',
      `There is no field ${JSON.stringify(unknown)}: wanted ${known.map(shown).join(', ')}`,
    );
  }
  const missing = whole ? known.filter((path) => !given.has(path)) : [];
  if (missing.length > 0) throw new AgentError('USAGE', `The key also needs ${missing.map(shown).join(', ')}`);
  return replace(template, '', given) as T;
}

const shown = (path: string): string => (path === '' ? 'a number' : path);

function readPairs(texts: readonly string[]): Map<string, string> {
  const [first] = texts;
  if (texts.length === 1 && first?.startsWith('{')) return readJson(first);
  return new Map(
    texts.map((text): [string, string] => {
      const split = text.indexOf('=');
      return split < 0 ? ['', text] : [text.slice(0, split), text.slice(split + 1)];
    }),
  );
}

function readJson(text: string): Map<string, string> {
  const found = new Map<string, string>();
  const collect = (value: unknown, path: string): void => {
    if (typeof value !== 'object' || value === null) {
      found.set(path, String(value));
      return;
    }
    for (const [name, child] of Object.entries(value)) collect(child, path === '' ? name : `${path}.${name}`);
  };
  try {
    collect(JSON.parse(text), '');
  } catch (cause) {
    throw new AgentError('USAGE', `Not JSON: ${cause instanceof Error ? cause.message : text}`, { cause });
  }
  return found;
}

function replace(value: unknown, path: string, given: ReadonlyMap<string, string>): unknown {
  if (isRaw(value)) {
    const text = given.get(path);
    return text === undefined ? value : parseLeaf(path, text, value);
  }
  const parts = partsOf(value, path).map((part): [string, unknown] => [
    part.name,
    replace(part.value, part.path, given),
  ]);
  return Array.isArray(value) ? parts.map(([, child]) => child) : Object.fromEntries(parts);
}

function parseLeaf(path: string, text: string, template: Raw): Raw {
  const wrong = (wanted: string): AgentError =>
    new AgentError('USAGE', `${shown(path)}: found ${JSON.stringify(text)}, wanted ${wanted}`);
  if (template instanceof Uint8Array) return parseBytes(text, template.length, wrong);
  if (typeof template === 'bigint') return parseBig(path, text, wrong);
  const enumeration = ENUMERATIONS[last(path)];
  const named = last(path) === 'protocol' ? parseProtocol(text) : enumeration?.values.get(text.toLowerCase());
  if (named !== undefined) return named;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw wrong(enumeration === undefined ? 'a number' : [...enumeration.values.keys()].join(', '));
}

function parseBytes(text: string, length: number, wrong: (wanted: string) => AgentError): Uint8Array {
  if (length === 16) return parseAddress(text) ?? fail(wrong('an IPv4 or IPv6 address'));
  const bytes = Buffer.alloc(length);
  if (length === 8 && /^(0x)?[0-9a-fA-F]{1,16}$/.test(text)) {
    bytes.writeBigUInt64LE(BigInt(text.startsWith('0x') ? text : `0x${text}`));
  } else if (length === 2 && /^\d{1,5}$/.test(text) && Number(text) <= 0xffff) bytes.writeUInt16BE(Number(text));
  else if (text.length === length * 2 && /^[0-9a-fA-F]+$/.test(text)) bytes.write(text, 'hex');
  else throw wrong(length === 2 ? 'a port' : `${length * 2} hexadecimal digits`);
  return new Uint8Array(bytes);
}

function parseBig(path: string, text: string, wrong: (wanted: string) => AgentError): bigint {
  const digest = DIGESTS.has(path) || DIGESTS.has(last(path));
  if (digest && /^(0x)?[0-9a-fA-F]{1,16}$/.test(text)) return BigInt(text.startsWith('0x') ? text : `0x${text}`);
  if (!digest && /^-?\d{1,20}$/.test(text)) return BigInt(text);
  throw wrong(digest ? '16 hexadecimal digits' : 'a number');
}

function fail(error: Error): never {
  throw error;
}
