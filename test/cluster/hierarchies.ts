/** cgroups in all hierarchies of the machine, of version 1 and 2: a kubelet wants its root in each. */

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { removeCgroup } from '../rig/cgroup.ts';

function mounts(): { readonly path: string; readonly version: 1 | 2 }[] {
  return readFileSync('/proc/self/mountinfo', 'latin1')
    .split('\n')
    .flatMap((line) => {
      const [before, after] = line.split(' - ');
      const type = after?.split(' ')[0];
      if (type !== 'cgroup' && type !== 'cgroup2') return [];
      return [{ path: before!.split(' ')[4]!, version: type === 'cgroup2' ? (2 as const) : (1 as const) }];
    });
}

export function makeInEveryHierarchy(path: string): void {
  for (const mount of mounts()) mkdirSync(join(mount.path, path), { recursive: true });
}

/** Kills all that runs in it, then removes it everywhere. Version 2 first: it alone can kill. */
export function removeFromEveryHierarchy(path: string): void {
  const inOrder = mounts().sort((a, b) => b.version - a.version);
  for (const mount of inOrder) removeCgroup(join(mount.path, path));
}
