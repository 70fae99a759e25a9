import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { globMatch } from '../model/glob.ts';
import { errnoOf } from './error.ts';
import type { ProcessFacts } from './process.ts';
import { readProcess } from './process.ts';

const MOST_SAMPLED = 32;
const MOST_BELOW = 64;

/** Cgroups by a pattern, and those below which others that match may appear. Paths are below the mount. */
export interface FoundCgroups {
  readonly paths: readonly string[];
  readonly parents: readonly string[];
}

/**
 * Finds the cgroups whose path matches a pattern component by component, at most `most` at each step. A pattern with
 * `.` or `..` matches nothing.
 */
export function findCgroups(mount: string, pattern: string, most: number): FoundCgroups {
  const parts = pattern.split('/').filter((part) => part !== '');
  if (parts.length === 0 || parts.includes('..') || parts.includes('.')) return { paths: [], parents: [] };
  const parents: string[] = [];
  let paths = [''];
  for (const part of parts) {
    parents.push(...paths.map((path) => (path === '' ? '/' : path)));
    paths = paths.flatMap((path) => matching(mount, path, part).map((name) => `${path}/${name}`)).slice(0, most);
  }
  return { paths, parents };
}

/** Names below a path that match. One without wildcards is not searched for among hundreds of others. */
function matching(mount: string, path: string, pattern: string): readonly string[] {
  if (/[*?]/.test(pattern)) return childrenOf(mount, path).filter((name) => globMatch(pattern, name));
  return statSync(join(mount, path, pattern), { throwIfNoEntry: false })?.isDirectory() ? [pattern] : [];
}

function childrenOf(mount: string, path: string): string[] {
  try {
    const entries = readdirSync(join(mount, path), { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return [];
    throw thrown;
  }
}

/** Some processes in a cgroup and below it: at most 32, in at most 64 cgroups. */
export function sampleProcesses(mount: string, path: string, proc: string): ProcessFacts[] {
  const found: ProcessFacts[] = [];
  const waiting = [path];
  for (let looked = 0; looked < MOST_BELOW && found.length < MOST_SAMPLED; looked++) {
    const next = waiting.shift();
    if (next === undefined) break;
    for (const pid of pidsOf(mount, next).slice(0, MOST_SAMPLED - found.length)) {
      const process = readProcess(proc, pid);
      if (process !== undefined) found.push(process);
    }
    waiting.push(...childrenOf(mount, next).map((name) => `${next}/${name}`));
  }
  return found;
}

function pidsOf(mount: string, path: string): number[] {
  try {
    const text = readFileSync(join(mount, path, 'cgroup.procs'), 'latin1');
    return text.split('\n').filter(Boolean).map(Number);
  } catch (thrown) {
    // Gone, or threaded: then the processes are in an ancestor.
    if (['ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP'].includes(errnoOf(thrown) ?? '')) return [];
    throw thrown;
  }
}
