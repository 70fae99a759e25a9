/** The program: what `make build` made, the pinned Node, and the npm packages it needs when it runs. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { Tree } from './tree.ts';

const ROOT = 'opt/sallyport';
const ADDONS = ['libbpf.node', 'netfilter.node'].map((name) => `build/Release/${name}`);
const PINNED_NODE = `node_modules/node-linux-${process.arch}`;

const Lock = z.object({
  packages: z.record(
    z.string(),
    z.object({ version: z.string().optional(), dev: z.boolean().optional(), optional: z.boolean().optional() }),
  ),
});

export interface NpmPackage {
  readonly path: string;
  readonly version: string;
}

/** What the image's own programs are linked with, for whoever collects the libraries. */
export function linkedPrograms(source: string): string[] {
  return [join(PINNED_NODE, 'bin/node'), ...ADDONS].map((path) => join(source, path));
}

/** The npm packages of the lock file that are needed when it runs, sorted. */
export function runtimePackages(lock: string): NpmPackage[] {
  const { packages } = Lock.parse(JSON.parse(lock));
  return Object.entries(packages)
    .filter(([path, { dev, optional }]) => path !== '' && dev !== true && optional !== true)
    .map(([path, { version }]) => ({ path, version: version ?? '' }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Declarations, maps and sources are for who writes programs with a package. */
const FOR_AUTHORS = /\.([cm]?ts|map|markdown)$|(^|\/)(README|CHANGELOG|HISTORY)[^/]*$/i;
const NESTED = /(^|\/)node_modules(\/|$)/;

export function nodeTree(source: string): Tree {
  const tree = new Tree();
  tree.file(`${ROOT}/${PINNED_NODE}/bin/node`, join(source, PINNED_NODE, 'bin/node'));
  return tree.file(`${ROOT}/${PINNED_NODE}/LICENSE`, join(source, PINNED_NODE, 'LICENSE'));
}

export function modulesTree(source: string, packages: readonly NpmPackage[]): Tree {
  const tree = new Tree();
  // What is nested in a package is a package of its own in the lock file.
  const leave = (below: string) => FOR_AUTHORS.test(below) || NESTED.test(below);
  for (const { path } of packages) tree.copy(`${ROOT}/${path}`, join(source, path), leave);
  return tree;
}

export function programTree(source: string): Tree {
  const from = (path: string) => join(source, path);
  if (!existsSync(from('bin/sallyport'))) throw new Error("Not built: run 'make build'");
  const tree = new Tree();
  for (const path of [...ADDONS, 'bin/sallyport', 'package.json', 'LICENSE']) tree.file(`${ROOT}/${path}`, from(path));
  tree.copy(`${ROOT}/dist`, from('dist'), (below) => below.endsWith('.map'));
  tree.file('usr/local/bin/agent-in-pod', from('packaging/image/agent-in-pod'));
  return tree.link('usr/local/bin/sallyport', `/${ROOT}/bin/sallyport`);
}

export function versionOf(source: string): string {
  return z.object({ version: z.string() }).parse(JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')))
    .version;
}
