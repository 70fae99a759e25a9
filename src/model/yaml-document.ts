/**
 * YAML to plain data, for files that may be hostile: bounded in depth, in tokens and in what aliases expand to. Keys
 * are texts and unique, there are no tags and no directives. Positions stay known.
 */
import { Composer, type Document, isAlias, isMap, isScalar, isSeq, Lexer, type Node, Parser } from 'yaml';
import type { Position, ProblemCode } from './problem.ts';
import { type FieldPath, formatPath } from './schema/walk.ts';

/** Most levels of values inside values; policies have nine. */
const MAX_DEPTH = 32;
/** Most lexical tokens of a file; a full 1 MiB of real policies has under half of it. */
const MAX_TOKENS = 600_000;
/** Most nodes of a document that exist only because an alias repeats them. */
const MAX_REPEATED_NODES = 10_000;
/** Most documents in a file. */
const MAX_DOCUMENTS = 10_000;

export interface YamlDocument {
  readonly ok: true;
  /** Mappings have no prototype. */
  readonly value: unknown;
  /** Where the name of a field or its value stands; of a missing one, where it would belong. */
  locate(path: FieldPath, at: 'key' | 'value'): Position;
}

/** Why a document, or all that follows, cannot be read. */
export interface YamlFault {
  readonly ok: false;
  readonly code: ProblemCode;
  readonly position: Position;
  readonly path: string;
  readonly found: string;
  readonly wanted: string;
}

/** Reads documents one after the other; after a fault that leaves the rest in doubt there are no more. */
export function* readYaml(text: string): Generator<YamlDocument | YamlFault> {
  const lines = new Lines(text);
  let count = 0;
  try {
    for (const document of composeAll(text)) {
      if (++count > MAX_DOCUMENTS) {
        throw new Fault(
          'TOO_MANY_DOCUMENTS',
          document.range[0],
          `more than ${MAX_DOCUMENTS} documents`,
          'fewer a file',
        );
      }
      const syntax = document.errors[0] ?? document.warnings[0];
      if (syntax !== undefined) {
        throw new Fault('SYNTAX', syntax.pos[0], firstLine(syntax.message), 'valid YAML');
      }
      if (document.contents === null || isEmptyScalar(document.contents)) continue;
      const nodes = new NodeReader();
      const value = nodes.read(document.contents, [], 0);
      const contents: Node = document.contents;
      yield { ok: true, value, locate: (path, at) => lines.at(nodes.offsetOf(contents, path, at)) };
    }
  } catch (error) {
    if (error instanceof Fault) yield error.at(lines);
    else if (error instanceof RangeError)
      yield new Fault('TOO_DEEP', 0, 'values too deep to read', DEPTH_WANTED).at(lines);
    else throw error;
  }
}

const DEPTH_WANTED = `at most ${MAX_DEPTH} levels`;

class Fault extends Error {
  readonly #fault: Omit<YamlFault, 'ok' | 'position'>;
  readonly #offset: number;

  constructor(code: ProblemCode, offset: number, found: string, wanted: string, path: FieldPath = []) {
    super(found);
    this.#fault = { code, found, wanted, path: formatPath(path) };
    this.#offset = offset;
  }

  at(lines: Lines): YamlFault {
    return { ok: false, ...this.#fault, position: lines.at(this.#offset) };
  }
}

/** The lexer says so before the text of a plain or block scalar, which may look like anything. */
const SCALAR_MARK = '\x1f';
/** What the lexer emits that is not in the text: document, end of flow, scalar. Policy files have none of them. */
const LEXER_MARKS: ReadonlySet<string> = new Set(['\x02', '\x18', SCALAR_MARK]);

/** The library's stages, one token at a time, so that a bomb is noticed before a tree is built from it. */
function* composeAll(text: string): Generator<Document.Parsed> {
  // Its own check of unique keys compares every key with every other one.
  const composer = new Composer({ uniqueKeys: false, version: '1.2', prettyErrors: false });
  const parser = new Parser();
  let tokens = 0;
  let depth = 0;
  let offset = 0;
  let isText = false;
  for (const lexeme of new Lexer().lex(text)) {
    if (++tokens > MAX_TOKENS) throw new Fault('FILE_TOO_LARGE', offset, `over ${MAX_TOKENS} YAML tokens`, 'fewer');
    if (!isText) {
      if (lexeme === '[' || lexeme === '{') depth++;
      else if (lexeme === ']' || lexeme === '}') depth = Math.max(0, depth - 1);
      if (depth > MAX_DEPTH) throw new Fault('TOO_DEEP', offset, 'values inside values inside values', DEPTH_WANTED);
      if (lexeme.startsWith('%')) throw new Fault('SYNTAX', offset, 'a YAML directive', 'none');
    }
    isText = lexeme === SCALAR_MARK;
    if (!LEXER_MARKS.has(lexeme)) offset += lexeme.length;
    for (const token of parser.next(lexeme)) yield* composer.next(token);
  }
  for (const token of parser.end()) yield* composer.next(token);
  yield* composer.end();
}

class NodeReader {
  readonly #anchors = new Map<string, Node>();
  readonly #targets = new Map<Node, Node>();
  readonly #open = new Set<Node>();
  #repeated = 0;
  /** The alias being read that lies in no other one. */
  #outermost: { readonly offset: number; readonly path: FieldPath } | undefined;

  read(node: unknown, path: FieldPath, depth: number): unknown {
    if (node === null || node === undefined) return null;
    const start = offsetOf(node);
    if (depth > MAX_DEPTH) throw new Fault('TOO_DEEP', start, 'values inside values inside values', DEPTH_WANTED, path);
    if (this.#outermost !== undefined && ++this.#repeated > MAX_REPEATED_NODES) {
      const { offset, path: at } = this.#outermost;
      throw new Fault('ALIASES', offset, `aliases that repeat over ${MAX_REPEATED_NODES} values`, 'fewer', at);
    }
    if (isAlias(node)) return this.#readAlias(node, path, depth);
    if (!isScalar(node) && !isMap(node) && !isSeq(node)) throw new Fault('SYNTAX', start, 'no value', 'a value', path);
    if (node.tag !== undefined && !node.tag.startsWith('tag:yaml.org,2002:')) {
      throw new Fault('SYNTAX', start, `the tag ${node.tag.slice(0, 40)}`, 'no tag', path);
    }
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return node.value;
    this.#open.add(node);
    const value = isSeq(node)
      ? node.items.map((item, i) => this.read(item, [...path, i], depth + 1))
      : this.#readMap(node.items, path, depth);
    this.#open.delete(node);
    return value;
  }

  #readMap(items: readonly { key: unknown; value: unknown }[], path: FieldPath, depth: number): unknown {
    const value: Record<string, unknown> = Object.create(null);
    for (const pair of items) {
      const key = isScalar(pair.key) ? pair.key.value : undefined;
      const start = offsetOf(pair.key);
      if (typeof key !== 'string') throw new Fault('SYNTAX', start, 'a key that is no text', 'a text', path);
      if (Object.hasOwn(value, key)) {
        throw new Fault('DUPLICATE_KEY', start, `the field ${JSON.stringify(key.slice(0, 60))} again`, 'it once', [
          ...path,
          key,
        ]);
      }
      value[key] = this.read(pair.value, [...path, key], depth + 1);
    }
    return value;
  }

  #readAlias(node: Node & { source: string }, path: FieldPath, depth: number): unknown {
    const target = this.#anchors.get(node.source);
    const name = `the alias *${node.source.slice(0, 40)}`;
    if (target === undefined) throw new Fault('SYNTAX', offsetOf(node), name, 'an anchor before it', path);
    if (this.#open.has(target)) {
      throw new Fault('ALIASES', offsetOf(node), `${name} inside what it stands for`, 'no such circle', path);
    }
    this.#targets.set(node, target);
    const isOutermost = this.#outermost === undefined;
    if (isOutermost) this.#outermost = { offset: offsetOf(node), path };
    const value = this.read(target, path, depth);
    if (isOutermost) this.#outermost = undefined;
    return value;
  }

  offsetOf(root: Node, path: FieldPath, at: 'key' | 'value'): number {
    let node: unknown = root;
    let offset = offsetOf(root);
    for (const [i, part] of path.entries()) {
      if (isAlias(node)) node = this.#targets.get(node);
      if (isSeq(node)) {
        node = node.items[Number(part)];
        if (node === undefined) return offset;
        offset = offsetOf(node);
      } else if (isMap(node)) {
        const pair = node.items.find((item) => isScalar(item.key) && item.key.value === part);
        if (pair === undefined) return offset;
        node = pair.value;
        const last = i === path.length - 1;
        offset = last && at === 'value' && !isEmptyScalar(node) ? offsetOf(node) : offsetOf(pair.key);
      } else {
        return offset;
      }
    }
    return offset;
  }
}

function isEmptyScalar(node: unknown): boolean {
  return node === null || (isScalar(node) && node.value === null && (node.source ?? '') === '');
}

function offsetOf(node: unknown): number {
  if (isAlias(node) || isScalar(node) || isMap(node) || isSeq(node)) return node.range?.[0] ?? 0;
  return 0;
}

function firstLine(message: string): string {
  return message.split('\n', 1)[0]?.slice(0, 120) ?? '';
}

/** Offsets to lines and columns. */
class Lines {
  readonly #starts: number[] = [0];

  constructor(text: string) {
    for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) this.#starts.push(i + 1);
  }

  at(offset: number): Position {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - (this.#starts[low] ?? 0) + 1 };
  }
}
