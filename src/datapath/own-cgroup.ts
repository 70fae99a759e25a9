import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The id of this process's cgroup, as the kernel names it; undefined where it cannot be found, or is the root. */
export function ownCgroup(root: string): bigint | undefined {
  try {
    const lines = readFileSync('/proc/self/cgroup', 'utf8').split('\n');
    const path = lines.find((line) => line.startsWith('0::'))?.slice('0::'.length);
    return path === undefined || path === '/' ? undefined : statSync(join(root, path), { bigint: true }).ino;
  } catch {
    return undefined; // no cgroup2, or another namespace: then no container has this one
  }
}
