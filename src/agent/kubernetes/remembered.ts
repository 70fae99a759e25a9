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
  /** What the file says; undefined before it was read: then nothing is written over it. */
  #written: ReadonlyMap<string, T> | undefined;

  constructor(options: RememberedOptions<T>) {
    this.#options = options;
  }

  /** What was kept; nothing where there is no such file, or it is of no use. */
  async load(): Promise<ReadonlyMap<string, T>> {
    this.#written = await this.#read();
    return this.#written;
  }

  /** It has changed: it is written soon. */
  changed(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#saving = this.#saving.then(() => this.#save());
    }, this.#options.everyMs);
  }

  /** Writes what has changed, also where nobody has said so yet; resolves when it is written. Idempotent. */
  async close(): Promise<void> {
    const due = this.#timer !== undefined || this.#options.now() !== this.#written;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (due && this.#written !== undefined) this.#saving = this.#saving.then(() => this.#save());
    await this.#saving;
  }

  async #read(): Promise<ReadonlyMap<string, T>> {
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

  async #save(): Promise<void> {
    const { path, now, onFault } = this.#options;
    const values = now();
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await writeFile(`${path}.new`, JSON.stringify([...values]), { mode: 0o600 });
      await rename(`${path}.new`, path);
      this.#written = values;
    } catch (error) {
      onFault(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
