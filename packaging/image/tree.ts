/** The files of a layer, as they will be in the image. */

import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TarEntry } from './tar.ts';

export class Tree {
  readonly #entries = new Map<string, TarEntry>();

  directory(path: string, mode = 0o755): this {
    if (path !== '.' && path !== '' && !this.#entries.has(path)) {
      this.directory(dirname(path));
      this.#entries.set(path, { path, mode });
    }
    return this;
  }

  text(path: string, content: string | Buffer, mode = 0o644): this {
    return this.#put({ path, mode, content: Buffer.from(content) });
  }

  link(path: string, target: string): this {
    return this.#put({ path, mode: 0o777, target });
  }

  /** A file of this machine; executable where it is so here, whatever else its mode says. */
  file(path: string, source: string): this {
    const executable = (lstatSync(source).mode & 0o111) !== 0;
    return this.#put({ path, mode: executable ? 0o755 : 0o644, content: readFileSync(source) });
  }

  /** A directory of this machine with what is in it, without what `leave` names (its path below `source`). */
  copy(path: string, source: string, leave: (below: string) => boolean = () => false, below = ''): this {
    this.directory(path);
    for (const entry of readdirSync(join(source, below), { withFileTypes: true })) {
      const here = below === '' ? entry.name : `${below}/${entry.name}`;
      const [from, to] = [join(source, here), join(path, entry.name)];
      if (leave(here)) continue;
      if (entry.isDirectory()) this.copy(to, source, leave, here);
      else if (entry.isSymbolicLink()) this.link(to, readlinkSync(from));
      else if (entry.isFile()) this.file(to, from);
    }
    return this;
  }

  has(path: string): boolean {
    return this.#entries.has(path);
  }

  /** Sorted by path, so that a directory comes before what is in it. */
  entries(): TarEntry[] {
    return [...this.#entries.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  #put(entry: TarEntry): this {
    this.directory(dirname(entry.path));
    this.#entries.set(entry.path, entry);
    return this;
  }
}
