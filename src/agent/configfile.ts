import { isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import type * as z from 'zod';
import { type Config, configSchema, type Setting, settings } from './config.ts';
import { formatDuration } from './duration.ts';
import { AgentError, type Fault } from './errors.ts';

/** Where the agent's settings come from; later ones win. Nothing is read here: the caller did. */
export interface ConfigInput {
  readonly file?: { readonly path: string; readonly text: string };
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** `key=value` of `--set` and of the flags that stand for one. */
  readonly assignments: readonly string[];
}

export interface LoadedConfig<C = Config> {
  readonly config: C;
  /** Key → `file.yaml:12`, `SALLYPORT_NODE`, `--set`; absent for defaults. */
  readonly origins: ReadonlyMap<string, string>;
}

interface Tree {
  [name: string]: unknown;
}

/** More than any configuration needs; a larger file is a mistake. */
const CONFIG_BYTES_MOST = 256 * 1024;

/**
 * Merges file, environment and flags, and checks the result.
 * @throws AgentError INVALID, with a fault per mistake: where it was set, what was found, what is wanted.
 */
export function loadConfig(input: ConfigInput): LoadedConfig {
  return loadSettings(input, configSchema);
}

/** The same of another program's settings. */
export function loadSettings<S extends z.ZodType>(input: ConfigInput, schema: S): LoadedConfig<z.output<S>> {
  const known = settings(schema);
  const origins = new Map<string, string>();
  const tree = input.file === undefined ? {} : readFile(input.file.path, input.file.text, origins);
  for (const setting of known) {
    const value = input.environment[setting.variable];
    if (value === undefined || value === '') continue;
    assign(tree, setting, value, setting.variable, origins);
  }
  for (const assignment of input.assignments) {
    const split = assignment.indexOf('=');
    const key = split < 0 ? assignment : assignment.slice(0, split);
    const setting = known.find((one) => one.key === key);
    if (split < 0) throw usage(`--set ${assignment}`, 'wanted key=value');
    if (setting === undefined) throw usage(`--set ${key}`, `no such setting; ${nearest(key, known)}`);
    assign(tree, setting, assignment.slice(split + 1), '--set', origins);
  }
  const parsed = schema.safeParse(tree);
  if (parsed.success) return { config: parsed.data, origins };
  const faults = parsed.error.issues.flatMap((issue) => faultsOf(issue, tree, origins, known, input.file?.path));
  throw new AgentError('INVALID', 'The configuration does not validate', { faults });
}

function usage(what: string, message: string): AgentError {
  return new AgentError('USAGE', `${what}: ${message}`);
}

function nearest(key: string, known: readonly Setting[]): string {
  const leaf = key.slice(key.lastIndexOf('.') + 1);
  const near = known.filter((one) => one.key.endsWith(leaf) || one.key.startsWith(`${key}.`)).slice(0, 3);
  return near.length === 0 ? 'see docs/configuration.md' : `did you mean ${near.map((one) => one.key).join(', ')}?`;
}

function readFile(path: string, text: string, origins: Map<string, string>): Tree {
  const invalid = (message: string, line?: number): AgentError =>
    new AgentError('INVALID', `Cannot read the configuration ${path}`, {
      faults: [{ file: path, ...(line === undefined ? {} : { line }), message }],
    });
  if (Buffer.byteLength(text) > CONFIG_BYTES_MOST) throw invalid(`larger than ${CONFIG_BYTES_MOST} bytes`);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const error = document.errors[0];
  if (error !== undefined) throw invalid(error.message.split('\n')[0] ?? '', lines.linePos(error.pos[0]).line);
  const walk = (node: unknown, prefix: string): void => {
    if (!isMap(node)) return;
    for (const pair of node.items) {
      const name = isScalar(pair.key) ? String(pair.key.value) : '';
      const key = prefix === '' ? name : `${prefix}.${name}`;
      const start = isNode(pair.key) ? pair.key.range?.[0] : undefined;
      origins.set(key, start === undefined ? path : `${path}:${lines.linePos(start).line}`);
      walk(pair.value, key);
    }
  };
  walk(document.contents, '');
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 16 });
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : String(cause));
  }
  if (value === null || value === undefined) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid('wanted a mapping of settings');
  return value as Tree;
}

function assign(tree: Tree, setting: Setting, text: string, origin: string, origins: Map<string, string>): void {
  const path = setting.key.split('.');
  const leaf = path.pop() ?? '';
  const parent = branch(tree, path);
  // A section that is not a mapping is a fault of the file; it is reported when the whole is checked.
  if (parent === undefined) return;
  parent[leaf] = readValue(setting, text, origin);
  origins.set(setting.key, origin);
}

/** The mapping at `path`, made where it is missing; undefined where something else stands in the way. */
function branch(tree: Tree, path: readonly string[]): Tree | undefined {
  let node = tree;
  for (const name of path) {
    if (!Object.hasOwn(node, name)) node[name] = {};
    const next = node[name];
    if (typeof next !== 'object' || next === null || Array.isArray(next)) return undefined;
    node = next as Tree;
  }
  return node;
}

function readValue(setting: Setting, text: string, origin: string): unknown {
  if (setting.kind === 'string') return text;
  if (setting.kind === 'number') return /^\d+$/.test(text) ? Number(text) : text;
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = `${origin}: ${setting.key}: found ${JSON.stringify(text)}, wanted a JSON list`;
    throw new AgentError('INVALID', message, { cause });
  }
}

function faultsOf(
  issue: z.core.$ZodIssue,
  tree: Tree,
  origins: ReadonlyMap<string, string>,
  known: readonly Setting[],
  file?: string,
): Fault[] {
  const names = issue.path.map(String);
  const place = (field: string): { file?: string; line?: number } => {
    for (let key = field; key !== ''; key = key.slice(0, Math.max(0, key.lastIndexOf('.')))) {
      const origin = origins.get(key);
      if (origin === undefined) continue;
      const line = /^(.*):(\d+)$/.exec(origin);
      return line === null ? { file: origin } : { file: line[1] ?? '', line: Number(line[2]) };
    }
    return file === undefined ? {} : { file };
  };
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((name) => {
      const field = [...names, name].join('.');
      return { ...place(field), field, message: `no such setting; ${nearest(field, known)}` };
    });
  }
  const field = names.join('.');
  const found = names.reduce<unknown>((value, name) => (value as Tree | undefined)?.[name], tree);
  const shown = JSON.stringify(found) ?? 'nothing';
  const message = issue.message.startsWith('found ') ? issue.message : `found ${shown}: ${issue.message}`;
  return [{ ...place(field), field, message }];
}

/** The configuration as a tree that `loadConfig` reads back to the same. */
export function printableConfig(config: Config): Tree {
  return printableSettings(config, configSchema);
}

/** The same of another program's settings. */
export function printableSettings<S extends z.ZodType>(config: z.output<S>, schema: S): Tree {
  const result: Tree = {};
  for (const setting of settings(schema)) {
    const path = setting.key.split('.');
    const leaf = path.pop() ?? '';
    const value = setting.key.split('.').reduce<unknown>((node, name) => (node as Tree)[name], config);
    const isDuration = typeof setting.standard === 'string' && typeof value === 'number';
    const parent = branch(result, path);
    if (parent !== undefined) parent[leaf] = isDuration ? formatDuration(value) : value;
  }
  return result;
}
