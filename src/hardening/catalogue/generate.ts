/**
 * Writes what is made from the catalogue: `docs/hardening-catalogue.md`.
 *
 *     node src/hardening/catalogue/generate.ts --check    exit 1 and name the file where it is stale
 *     node src/hardening/catalogue/generate.ts --write
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { cataloguePage } from './page.ts';

const FILE = 'docs/hardening-catalogue.md';

/** Whether the page in the repository is what would be written. */
export function isStale(root: string): boolean {
  return contentOf(path.join(root, FILE)) !== cataloguePage();
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function main(argument: string | undefined): number {
  const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../..');
  if (argument === '--write') {
    writeFileSync(path.join(root, FILE), cataloguePage());
    return 0;
  }
  if (argument !== '--check') {
    process.stderr.write('usage: generate.ts --check | --write\n');
    return 2;
  }
  if (!isStale(root)) return 0;
  process.stderr.write(`${FILE} is stale: run src/hardening/catalogue/generate.ts --write\n`);
  return 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main(process.argv[2]);
