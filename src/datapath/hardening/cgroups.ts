/** Whose each cgroup of a hardened container is, in the kernel's `hardened`. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BpfError, cgroupId } from '../../libbpf/index.ts';
import { type HardenedCgroup, ProfileFormat } from '../layouts.gen.ts';
import type { HardeningMaps } from './tables.ts';

interface Place {
  readonly id: bigint;
  /** Below the cgroup2 mount. */
  readonly path: string;
}

export class Cgroups {
  readonly #table: HardeningMaps['cgroups'];
  readonly #root: string;

  /** @param root where cgroup2 is mounted */
  constructor(table: HardeningMaps['cgroups'], root: string) {
    this.#table = table;
    this.#root = root;
  }

  /** Whether the container's own cgroup is its in the kernel. Those in it were made its with it. */
  has({ id }: Place, subject: number, instance: bigint): boolean {
    const row = this.#table.get(id);
    return row?.subject === subject && row.instance === instance;
  }

  /**
   * Makes the cgroup and all there are in it the subject's; those made in it later the kernel adds by itself.
   * @throws BpfError MAP_FULL
   */
  put({ id, path }: Place, subject: number, instance: bigint): void {
    const value: HardenedCgroup = { instance, subject };
    // First the container's own: from then on the kernel adds what is made in it, and what was made before is found.
    this.#table.set(id, value);
    let listed = 0;
    for (const below of cgroupsBelow(join(this.#root, path))) {
      if (listed === ProfileFormat.ContainerCgroups) break; // those above tell the kernel of the others
      const found = idOf(below);
      if (found === undefined) continue;
      this.#table.set(found, value);
      listed += 1;
    }
  }

  /** Subjects that have a cgroup: the kernel forgets those that were removed. */
  subjects(): ReadonlySet<number> {
    return new Set([...this.#table.entries()].map(([, { subject }]) => subject));
  }

  /** Forgets those of all but these subjects. */
  retain(subjects: ReadonlySet<number>): void {
    const stale = [...this.#table.entries()].filter(([, { subject }]) => !subjects.has(subject));
    this.#table.deleteAll(stale.map(([id]) => id));
  }

  /** Whether a process runs in it or below; false where it is gone. */
  isPopulated({ path }: Place): boolean {
    try {
      return /^populated 1$/m.test(readFileSync(join(this.#root, path, 'cgroup.events'), 'latin1'));
    } catch {
      return false;
    }
  }
}

/** Every directory below, parents first. What goes meanwhile is passed over. */
function* cgroupsBelow(path: string): Generator<string> {
  let names: string[];
  try {
    names = readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch {
    return; // gone meanwhile
  }
  for (const name of names) {
    yield join(path, name);
    yield* cgroupsBelow(join(path, name));
  }
}

function idOf(path: string): bigint | undefined {
  try {
    return cgroupId(path);
  } catch (error) {
    if (error instanceof BpfError && error.code === 'NOT_FOUND') return undefined; // gone meanwhile
    throw error;
  }
}
