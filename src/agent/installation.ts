import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** In every directory of objects. */
const MARK = 'network.bpf.o';

/** Beside this program as it is built, and as it is run from its sources. */
const BESIDE = ['../bpf/', '../../dist/bpf/'];

/**
 * The directory of the compiled kernel programs.
 * @param configured `datapath.objects`: `auto`, or a directory
 * @returns undefined where none of the candidates has them
 */
export function findObjects(configured: string): string | undefined {
  const candidates =
    configured === 'auto' ? BESIDE.map((path) => fileURLToPath(new URL(path, import.meta.url))) : [configured];
  return candidates.find((directory) => existsSync(join(directory, MARK)));
}
