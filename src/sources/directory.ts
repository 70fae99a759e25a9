import type { FSWatcher } from 'node:fs';
import { statSync, watch } from 'node:fs';
import { basename } from 'node:path';

/** Watches a directory by its path: also after it was replaced by another, when `ensure` is called now and then. */
export class DirectoryWatch {
  readonly #path: string;
  readonly #onChange: (name: string | undefined) => void;
  #watcher: FSWatcher | undefined;
  #inode: bigint | undefined;

  /** @param onChange gets the name of the entry that was created, changed or removed; undefined where not known */
  constructor(path: string, onChange: (name: string | undefined) => void) {
    this.#path = path;
    this.#onChange = onChange;
  }

  /**
   * Begins to watch, or again where the directory is another. Throws what `fs.watch` does.
   * @returns whether changes before this call may have been missed
   */
  ensure(): boolean {
    const inode = statSync(this.#path, { bigint: true }).ino;
    if (this.#watcher !== undefined && inode === this.#inode) return false;
    this.close();
    const own = basename(this.#path);
    const watcher = watch(this.#path, { persistent: false }, (_, name) => {
      // Under its own name a directory is told to have been moved or removed itself.
      this.#onChange(name === null || name === own ? undefined : name);
    });
    watcher.on('error', () => {
      if (this.#watcher === watcher) this.close();
      this.#onChange(undefined);
    });
    this.#watcher = watcher;
    this.#inode = inode;
    return true;
  }

  /** Idempotent. */
  close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}
