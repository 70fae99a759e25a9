/** cgroups (version 2) of the tests' own. */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitSync } from './cleanup.ts';

/** Where cgroup2 is mounted; machines with version 1 controllers have it elsewhere than `/sys/fs/cgroup`. */
export function cgroup2Mount(mountinfo: string = readFileSync('/proc/self/mountinfo', 'latin1')): string {
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ');
    if (after?.startsWith('cgroup2 ')) return before!.split(' ')[4]!;
  }
  throw new Error('rig: no cgroup2 is mounted: mount -t cgroup2 none /sys/fs/cgroup');
}

export class Cgroup {
  /** Relative to the mount, with no leading slash. */
  readonly name: string;
  /** Absolute path of its directory. */
  readonly path: string;

  /** `name` may have several components; parents are made. */
  constructor(name: string) {
    this.name = name;
    this.path = join(cgroup2Mount(), name);
    mkdirSync(this.path, { recursive: true });
  }

  /** The id the kernel's programs see (`bpf_skb_cgroup_id`). */
  get id(): bigint {
    return statSync(this.path, { bigint: true }).ino;
  }

  get processes(): number[] {
    return readFileSync(join(this.path, 'cgroup.procs'), 'latin1').split('\n').filter(Boolean).map(Number);
  }

  /** Kills everything in it and below, then removes it all. Idempotent. */
  close(): void {
    removeCgroup(this.path);
  }
}

/** Kills everything in a cgroup and below, then removes it. */
export function removeCgroup(path: string): void {
  if (!existsSync(path)) return;
  const kill = join(path, 'cgroup.kill');
  if (existsSync(kill)) writeFileSync(kill, '1');
  const removed = waitSync(() => removeTree(path), 5000);
  if (!removed)
    throw new Error(`rig: cannot remove cgroup "${path}": processes ${listProcesses(path).join(', ')} stay`);
}

function removeTree(path: string): boolean {
  if (!existsSync(path)) return true;
  let empty = true;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) empty = removeTree(join(path, entry.name)) && empty;
  }
  if (!empty) return false;
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false; // its processes are still dying
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw error;
  }
}

function listProcesses(path: string): string[] {
  try {
    return readFileSync(join(path, 'cgroup.procs'), 'latin1').split('\n').filter(Boolean);
  } catch {
    return []; // gone meanwhile
  }
}
