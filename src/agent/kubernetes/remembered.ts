import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** More than this is not read back, bytes: 100,000 identities. */
const MOST_BYTES = 128 << 20;

export interface RememberedOptions<T> {
  readonly path: string;
  readonly now: () => ReadonlyMap<string, T>;
  /** At most this often is it written, milliseconds. */
  readonly everyMs: number;
  readonly onFault: (error: Error) => void;
}

/**
 * What the API server said, kept in a file: an agent that begins while the server is away goes on with it. Values are
 * plain data. Losing the file costs no more than that.
 */
export class RememberedMap<T> {
  readonly #options: RememberedOptions<T>;
  #timer: NodeJS.Timeout | undefined;
  #saving: Promise<void> = Promise.resolve();

  constructor(options: RememberedOptions<T>) {
    this.#options = options;
  }

  /** What was kept; nothing where there is no such file, or it is of no use. */
  async load(): Promise<ReadonlyMap<string, T>> {
    try {
      const text = await readFile(this.#options.path, 'utf8');
      if (text.length > MOST_BYTES) return new Map();
      const entries: unknown = JSON.parse(text);
      return Array.isArray(entries) ? new Map(entries as [string, T][]) : new Map();
    } catch (error) {
      // Never written, or cut short by a power cut.
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
      this.#options.onFault(error instanceof Error ? error : new Error(String(error)));
      return new Map();
    }
  }

  /** It has changed: it is written soon. */
  changed(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#saving = this.#saving.then(() => this.#save());
    }, this.#options.everyMs);
  }

  /** Writes what has changed; resolves when it is written. Idempotent. */
  async close(): Promise<void> {
    if (this.#timer !== undefined) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#saving = this.#saving.then(() => this.#save());
    }
    await this.#saving;
  }

  async #save(): Promise<void> {
    const { path, now, onFault } = this.#options;
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await writeFile(`${path}.new`, JSON.stringify([...now()]), { mode: 0o600 });
      await rename(`${path}.new`, path);
    } catch (error) {
      onFault(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
