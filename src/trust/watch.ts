import { type FSWatcher, statSync, watch } from 'node:fs';
import { dirname } from 'node:path';

export interface FileWatchOptions {
  /** Looked at this often whatever happens, milliseconds: not every file system tells. Default 10,000. */
  readonly intervalMs?: number;
  /** What changes this close together is looked at once, milliseconds. Default 100. */
  readonly quietMs?: number;
}

/**
 * Looks at files when something changes in their directories, and now and then. It knows nothing of what is in them,
 * nor how they are replaced: written over, renamed, or by turning a link (as Kubernetes mounts secrets).
 */
export class FileWatch {
  readonly #directories: readonly string[];
  readonly #look: () => number | undefined;
  readonly #intervalMs: number;
  readonly #quietMs: number;
  readonly #watchers = new Map<string, { readonly watcher: FSWatcher; readonly inode: bigint }>();
  #timer: NodeJS.Timeout | undefined;
  #touched = false;
  #closed = false;

  /** @param look must not throw; tells after how many milliseconds it wants to look again at the latest */
  constructor(paths: readonly string[], look: () => number | undefined, options: FileWatchOptions = {}) {
    this.#directories = [...new Set(paths.map((path) => dirname(path)))];
    this.#look = look;
    this.#intervalMs = options.intervalMs ?? 10_000;
    this.#quietMs = options.quietMs ?? 100;
  }

  /** Looks at once, and from then on. */
  start(): void {
    if (this.#closed) return;
    this.#touched = false;
    // Watching first: what changes while we look is looked at again.
    for (const directory of this.#directories) this.#watch(directory);
    const next = this.#look();
    if (this.#touched || this.#closed) return;
    this.#again(Math.max(1, Math.min(next ?? this.#intervalMs, this.#intervalMs)));
  }

  /** Idempotent. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { watcher } of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #again(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.start(), ms);
    this.#timer.unref();
  }

  #touch(): void {
    if (this.#touched || this.#closed) return;
    this.#touched = true;
    this.#again(this.#quietMs);
  }

  /** A directory that is not there, or cannot be watched, is tried again at the next look. */
  #watch(directory: string): void {
    const known = this.#watchers.get(directory);
    try {
      const { ino } = statSync(directory, { bigint: true });
      if (known?.inode === ino) return;
      known?.watcher.close();
      this.#watchers.delete(directory);
      const watcher = watch(directory, { persistent: false }, () => this.#touch());
      watcher.on('error', () => {
        watcher.close();
        if (this.#watchers.get(directory)?.watcher === watcher) this.#watchers.delete(directory);
      });
      this.#watchers.set(directory, { watcher, inode: ino });
    } catch {
      known?.watcher.close();
      this.#watchers.delete(directory);
    }
  }
}
