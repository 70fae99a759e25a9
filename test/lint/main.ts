/** `make lint`'s own rules: imports go one way, files stay small, folders have names. Exits 1 with what is wrong. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');

const BETWEEN_NODES = ['netfilter', 'hold', 'handshake', 'trust', 'store'] as const;

/** Which folders of src/ a folder may import from. What is not listed may not be imported by anybody. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  libbpf: [],
  model: [],
  sources: ['model'],
  compile: ['model'],
  hardening: ['model', 'compile'],
  datapath: ['model', 'compile', 'libbpf'],
  events: ['model'],
  netfilter: [],
  hold: ['model', 'netfilter'],
  handshake: ['model'],
  trust: ['model'],
  store: ['model', 'handshake'],
  agent: ['model', 'sources', 'compile', 'hardening', 'datapath', 'events', 'libbpf', ...BETWEEN_NODES],
  manager: ['model', 'sources', 'hardening', 'trust'],
  cli: [
    'model',
    'sources',
    'compile',
    'hardening',
    'datapath',
    'events',
    'agent',
    'manager',
    'libbpf',
    ...BETWEEN_NODES,
  ],
};

const LINES_MAX = 400;
/** A longer file says why in its first lines: `over 400 lines: …`. */
const REASON = /over 400 lines: \S/;
const NAMELESS = /(^|\/)(utils?|common|helpers?|misc)(\/|\.[a-z]+$)/;
const SKIPPED = new Set(['node_modules', 'dist', 'build', 'bin', 'coverage', '.git', '.cache']);

function* files(directory: string): Generator<string> {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory() && !SKIPPED.has(entry.name)) yield* files(path);
    else if (entry.isFile()) yield path;
  }
}

function importProblems(path: string, text: string): string[] {
  const [top, folder] = relative(root, path).split('/');
  if (top !== 'src' || folder === undefined || folder.endsWith('.ts')) return [];
  const allowed = ALLOWED[folder];
  if (allowed === undefined) return [`${folder}/ is not in the list of folders in test/lint/main.ts`];
  const problems: string[] = [];
  for (const [, target] of text.matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)) {
    if (target === undefined) continue;
    const into = relative(join(root, 'src'), resolve(dirname(path), target)).split('/')[0] ?? '';
    if (into !== folder && !allowed.includes(into)) problems.push(`${folder}/ may not import ${into}/ (${target})`);
  }
  return problems;
}

const problems: string[] = [];
for (const path of files(root)) {
  const name = relative(root, path);
  if (NAMELESS.test(name)) problems.push(`${name}: the name says nothing`);
  if (!/\.(ts|c|h|cc|sh)$/.test(name) || name.includes('.gen.')) continue;
  const text = readFileSync(path, 'utf8');
  const lines = text.split('\n').length - 1;
  if (lines > LINES_MAX && !REASON.test(text)) problems.push(`${name}: ${lines} lines, wanted at most ${LINES_MAX}`);
  for (const problem of importProblems(path, text)) problems.push(`${name}: ${problem}`);
}
for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? 'structure: clean' : `structure: ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
