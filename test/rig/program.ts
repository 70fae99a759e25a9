/** Programs in C that tests run, each built once, on this machine: an emulated one takes minutes for it. */

import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './process.ts';

const BUILD = join(import.meta.dirname, '../../build/rig');

export interface Program {
  readonly path: string;
  /** Builds it if it is missing or older than its sources. */
  build(): Promise<void>;
}

/** The program of the C files in `test/rig/<directory>`. */
export function compiled(name: string, directory: string, flags: readonly string[]): Program {
  const path = join(BUILD, name);
  return {
    path,
    async build() {
      const folder = join(import.meta.dirname, directory);
      const sources = readdirSync(folder).map((file) => join(folder, file));
      const newest = Math.max(...sources.map((file) => statSync(file).mtimeMs));
      if (existsSync(path) && statSync(path).mtimeMs > newest) return;
      mkdirSync(BUILD, { recursive: true });
      const partial = `${path}.${process.pid}`;
      const units = sources.filter((file) => file.endsWith('.c'));
      await run(['gcc', ...flags, '-o', partial, ...units]);
      renameSync(partial, path);
    },
  };
}

/** How those are built that need a C library. */
export const WITH_LIBC = ['-std=gnu17', '-D_GNU_SOURCE', '-O2', '-Wall', '-Wextra', '-Werror', '-static'] as const;
