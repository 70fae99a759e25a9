import { parsePathGlob } from '../../model/path-glob.ts';
import { generalizeName, isLibrary, literal, openNumbers } from './names.ts';

/** Paths as a tree of names, made smaller by leaving open what varies: pure. */

export interface TreeOptions {
  /** A directory in which more different names were seen is allowed whole. */
  readonly children: number;
  /** What is done to the paths is to run them: executables are told one by one, libraries by their directory. */
  readonly execution: boolean;
  /** Paths begin anywhere: their beginning was not seen. */
  readonly cut: boolean;
}

/** In these, each entry means something of its own: they are never allowed whole, however many were seen. */
const BY_NAME: ReadonlySet<string> = new Set([
  '/',
  '/boot',
  '/dev',
  '/etc',
  '/etc/ssh',
  '/etc/ssl',
  '/etc/ssl/private',
  '/home',
  '/proc',
  '/proc/[0-9]*',
  '/proc/sys',
  '/proc/sys/kernel',
  '/proc/sys/net',
  '/root',
  '/root/.ssh',
  '/run',
  '/run/secrets',
  '/sys',
  '/sys/fs',
  '/sys/kernel',
  '/usr',
  '/usr/local',
  '/var',
  '/var/lib',
  '/var/run',
  '/var/run/secrets',
]);

/** Executables of one directory that are told one by one. */
const EXECUTABLES_MOST = 64;

interface Tree {
  /** The path itself was seen, not only what lies below. */
  here: boolean;
  readonly children: Map<string, Tree>;
}

const makeTree = (): Tree => ({ here: false, children: new Map() });

/** Globs, sorted, that together match every path. @param paths canonical and absolute */
export function generalizePaths(paths: Iterable<string>, options: TreeOptions): string[] {
  const root = makeTree();
  for (const path of paths) {
    let tree = root;
    for (const name of path.split('/').filter((one) => one !== '')) tree = childOf(tree, name);
    tree.here = true;
  }
  const globs: string[] = [];
  write(root, options.cut ? '/**' : '', options, globs);
  return [...new Set(globs.map(fitted))].sort();
}

/** A pattern may have only so many wildcards: what has more is allowed from a directory on. */
function fitted(glob: string): string {
  let fitting = glob;
  for (let parent = glob; !parsePathGlob(fitting).ok && parent !== ''; ) {
    parent = parent.slice(0, parent.lastIndexOf('/'));
    fitting = `${parent}/**`;
  }
  return fitting;
}

function childOf(tree: Tree, name: string): Tree {
  let child = tree.children.get(name);
  if (child === undefined) {
    child = makeTree();
    tree.children.set(name, child);
  }
  return child;
}

/** @param at the glob that leads to the tree; empty: the root */
function write(tree: Tree, at: string, options: TreeOptions, globs: string[]): void {
  const directory = at === '' ? '/' : at;
  if (tree.here) globs.push(directory);
  let children = mergeBy(tree.children, (name) => (options.execution ? library(name, at) : generalizeName(name, at)));
  if (!options.execution) children = mergeAlike(children);
  const most = options.execution ? EXECUTABLES_MOST : options.children;
  if (options.execution) children = mergeLibraries(children, options.children);
  if (children.size > most && !BY_NAME.has(directory)) {
    const together = mergeBy(children, () => '*').get('*') ?? makeTree();
    const files = [...children.values()].every((child) => child.children.size === 0);
    // Where the children are alike inside, their insides are told: /home/*/.bashrc. Else the directory, at any depth.
    if (!files && countOf(together) * 2 > [...children.values()].reduce((sum, child) => sum + countOf(child), 0)) {
      globs.push(`${at}/**`);
      return;
    }
    children = new Map([['*', together]]);
  }
  children = withoutCovered(children);
  for (const [glob, child] of children) write(child, `${at}/${glob}`, options, globs);
}

/** What is run has the name it has; only its libraries come in versions. */
function library(name: string, directory: string): string {
  return isLibrary(name) || /^\d+$/.test(name) ? generalizeName(name, directory) : literal(name);
}

/** Children under the names that `rename` gives theirs, with the trees of equal names put together. */
function mergeBy(children: ReadonlyMap<string, Tree>, rename: (name: string) => string): Map<string, Tree> {
  const merged = new Map<string, Tree>();
  for (const [name, child] of children) {
    const glob = rename(name);
    const other = merged.get(glob);
    merged.set(glob, other === undefined ? child : union(other, child));
  }
  return merged;
}

function union(a: Tree, b: Tree): Tree {
  const result: Tree = { here: a.here || b.here, children: new Map(a.children) };
  for (const [name, child] of b.children) {
    const other = result.children.get(name);
    result.children.set(name, other === undefined ? child : union(other, child));
  }
  return result;
}

/** Names that differ only in numbers are one name with its numbers open. */
function mergeAlike(children: Map<string, Tree>): Map<string, Tree> {
  const alike = new Map<string, number>();
  for (const name of children.keys()) {
    const open = openNumbers(name);
    alike.set(open, (alike.get(open) ?? 0) + 1);
  }
  return mergeBy(children, (name) => {
    const open = openNumbers(name);
    return (alike.get(open) ?? 0) > 1 ? open : name;
  });
}

function mergeLibraries(children: Map<string, Tree>, most: number): Map<string, Tree> {
  const libraries = [...children.keys()].filter(isLibrary);
  return libraries.length > most ? mergeBy(children, (name) => (isLibrary(name) ? '*.so*' : name)) : children;
}

/** Files beside which any file is allowed need no names. */
function withoutCovered(children: Map<string, Tree>): Map<string, Tree> {
  if (children.get('*')?.here !== true) return children;
  return new Map([...children].filter(([name, child]) => name === '*' || child.children.size > 0));
}

/** Paths in it. */
function countOf(tree: Tree): number {
  let count = tree.here ? 1 : 0;
  for (const child of tree.children.values()) count += countOf(child);
  return count;
}
