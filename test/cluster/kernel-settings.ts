/** A kubelet sets some of the machine's settings as it likes them; afterwards they must be as they were. */

import { readFileSync, writeFileSync } from 'node:fs';

const TOUCHED = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
].map((name) => `/proc/sys/${name}`);

/** Returns what puts them back. */
export function rememberKernelSettings(): () => void {
  const before = TOUCHED.map((path) => [path, read(path)] as const);
  return () => {
    for (const [path, value] of before) if (value !== undefined && read(path) !== value) writeFileSync(path, value);
  };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // this kernel does not have it
  }
}
