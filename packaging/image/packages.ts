/**
 * Which Debian packages the files of the image are of: for scanners, which read /var/lib/dpkg/status.d as in other
 * images without a package manager, and for the licences, which must go with them.
 */

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Tree } from './tree.ts';

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
}

/** The packages that own these files; of files nobody owns, none. */
export function packagesOf(paths: readonly string[]): DebianPackage[] {
  const names = new Set<string>();
  for (const path of paths) {
    // What was merged into /usr is still listed where it was before.
    const owner = ownerOf(path) ?? ownerOf(path.replace(/^\/usr/, ''));
    if (owner !== undefined) names.add(owner);
  }
  return [...names].sort().map((name) => ({ name, version: /^Version: (.*)$/m.exec(query(['-s', name]))?.[1] ?? '' }));
}

export function addPackages(tree: Tree, packages: readonly DebianPackage[]): void {
  for (const { name } of packages) {
    const plain = name.split(':')[0]!;
    tree.text(`var/lib/dpkg/status.d/${plain}`, query(['-s', name]));
    const licence = `/usr/share/doc/${plain}/copyright`;
    if (existsSync(licence)) tree.file(licence.slice(1), licence);
  }
}

function ownerOf(path: string): string | undefined {
  try {
    const line = query(['-S', path])
      .split('\n')
      .find((text) => !text.startsWith('diversion'));
    return line?.split(': ')[0]?.split(', ')[0];
  } catch {
    return undefined; // of no package
  }
}

function query(args: readonly string[]): string {
  return execFileSync('dpkg-query', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}
