/** A program that does what hardening rules are about (`deeds/*.c`, static), one thing at a time: building it. */

import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './process.ts';

const SOURCES = join(import.meta.dirname, 'deeds');
const BUILD = join(import.meta.dirname, '../../build/rig');

/** Path of the program; called with nothing, it lists what it can do. */
export const DEED = join(BUILD, 'deed');

/** Builds the program if it is missing or older than its sources. */
export async function buildDeeds(): Promise<void> {
  const sources = readdirSync(SOURCES).map((name) => join(SOURCES, name));
  const newest = Math.max(...sources.map((path) => statSync(path).mtimeMs));
  if (existsSync(DEED) && statSync(DEED).mtimeMs > newest) return;
  mkdirSync(BUILD, { recursive: true });
  const partial = `${DEED}.${process.pid}`;
  const units = sources.filter((path) => path.endsWith('.c'));
  const flags = ['-std=gnu17', '-D_GNU_SOURCE', '-O2', '-Wall', '-Wextra', '-Werror', '-static'];
  await run(['gcc', ...flags, '-o', partial, ...units]);
  renameSync(partial, DEED);
}
