/** Programs of this machine with all the libraries they are linked with. */

import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readlinkSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import type { Tree } from './tree.ts';

/** The paths that `ldd` resolves, as it names them. */
export function librariesOf(programs: readonly string[]): string[] {
  const text = execFileSync('ldd', [...programs], { encoding: 'utf8', env: { LC_ALL: 'C', PATH: process.env.PATH } });
  const missing = /^\s*(\S+) => not found/m.exec(text);
  if (missing) throw new Error(`Cannot find the library ${missing[1]}: run 'make setup'`);
  const paths = [...text.matchAll(/^\s+(?:\S+ => )?(\/\S+) \(0x/gm)].map(([, path]) => path!);
  return [...new Set(paths)].sort();
}

/**
 * Puts files of this machine into the tree at their own paths, links on the way to them included.
 * @returns the real paths, for who wants to know which package they are of
 */
export function addHostFiles(tree: Tree, paths: readonly string[]): string[] {
  for (const path of paths) addHostFile(tree, path);
  return paths.map((path) => realpathSync(path));
}

/** /bin, /lib and /sbin lead into /usr, here as there. */
const MERGED = /^\/(bin|sbin|lib|lib32|lib64|libx32)\//;

function addHostFile(tree: Tree, path: string): void {
  const merged = normalize(path).replace(MERGED, '/usr/$1/');
  const inside = merged.slice(1);
  if (tree.has(inside)) return;
  if (!existsSync(merged)) throw new Error(`Cannot find ${path}: run 'make setup'`);
  if (!lstatSync(merged).isSymbolicLink()) {
    tree.file(inside, merged);
    return;
  }
  const target = readlinkSync(merged);
  const absolute = isAbsolute(target) ? target : join(dirname(merged), target);
  tree.link(inside, target);
  addHostFile(tree, absolute);
}
