/** Settings of the machine's own network that tests change: as they were, once the last that wanted another is done. */
import { readFileSync, writeFileSync } from 'node:fs';

interface Borrowed {
  readonly before: string;
  users: number;
}

const borrowed = new Map<string, Borrowed>();

/** Sets them; what is returned gives them back, once. @throws where the kernel has no such setting */
export function borrowSysctls(values: Readonly<Record<string, string | number>>): () => void {
  for (const [key, value] of Object.entries(values)) {
    const one = borrowed.get(key) ?? { before: readSysctl(key), users: 0 };
    one.users += 1;
    borrowed.set(key, one);
    writeFileSync(pathOf(key), `${value}\n`);
  }
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    for (const key of Object.keys(values)) giveBack(key);
  };
}

export function readSysctl(key: string): string {
  return readFileSync(pathOf(key), 'latin1').trim();
}

function giveBack(key: string): void {
  const one = borrowed.get(key);
  if (one === undefined) return;
  one.users -= 1;
  if (one.users > 0) return;
  borrowed.delete(key);
  writeFileSync(pathOf(key), `${one.before}\n`);
}

function pathOf(key: string): string {
  return `/proc/sys/${key.replaceAll('.', '/')}`;
}
