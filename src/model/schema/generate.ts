/**
 * Writes what is made from the policy schema: `docs/{policy,hardening}-reference.md`, `docs/schema/*.json` and
 * `k8s/crds/*.yaml`.
 *
 *     node src/model/schema/generate.ts --check    exit 1 and name the files that are stale
 *     node src/model/schema/generate.ts --write
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { customResourceDefinitions } from './crd.ts';
import { jsonSchemas } from './json-schema.ts';
import { referencePages } from './reference.ts';

/** Path below the repository's root, and content. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const [file, content] of referencePages()) files.set(`docs/${file}`, content);
  for (const [file, content] of jsonSchemas()) files.set(`docs/schema/${file}`, content);
  for (const [file, content] of customResourceDefinitions()) files.set(`k8s/crds/${file}`, content);
  return files;
}

/** The generated files that are missing or differ. */
export function staleFiles(root: string): readonly string[] {
  return [...generatedFiles()]
    .filter(([file, content]) => contentOf(path.join(root, file)) !== content)
    .map(([f]) => f);
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
    for (const [file, content] of generatedFiles()) {
      mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
      writeFileSync(path.join(root, file), content);
    }
    return 0;
  }
  if (argument !== '--check') {
    process.stderr.write('usage: generate.ts --check | --write\n');
    return 2;
  }
  const stale = staleFiles(root);
  for (const file of stale) process.stderr.write(`${file} is stale: run src/model/schema/generate.ts --write\n`);
  return stale.length === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main(process.argv[2]);
