import type { BigIntStats } from 'node:fs';
import { constants, lstatSync, statSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Coalescer } from './coalescer.ts';
import { DirectoryWatch } from './directory.ts';
import { asSourceError, errnoOf, SourceError } from './error.ts';
import { Health } from './health.ts';
import { Publication } from './publication.ts';
import type { Source, SourceStatus } from './source.ts';

/** Bounds of what is read: of one file, of all together, and how many. */
export const LONGEST_FILE = 1 << 20;
export const MOST_BYTES = 64 << 20;
export const MOST_FILES = 10_000;

/** Entries of the directory looked at, files of other names included. */
const MOST_ENTRIES = 100_000;
/** An emptied file is given this long to be filled again, milliseconds: that is how some editors save. */
const EMPTY_MS = 200;
/** A file that changes longer than this without a pause is an error, milliseconds. */
const UNSTABLE_MS = 2_000;
/** While the directory cannot be read or watched it is tried this often, milliseconds. */
const RETRY_MS = 1_000;

/** One file of the directory. The object is the same in later snapshots as long as the file is. */
export interface PolicyFile {
  /** Its name in the directory. */
  readonly name: string;
  readonly content:
    | { readonly ok: true; readonly bytes: Buffer }
    /** TOO_LARGE, NOT_A_FILE, UNREADABLE or UNSTABLE. */
    | { readonly ok: false; readonly error: SourceError };
}

export interface PolicyDirectoryOptions {
  readonly directory: string;
  readonly now: () => number;
  /** A file is read when it did not change for this long, milliseconds. Default 5. */
  readonly quietMs?: number;
  /** Everything is looked at again this often, milliseconds. Default 10,000. */
  readonly rescanMs?: number;
}

interface Known {
  /** Which state of which file it is. */
  readonly state: string;
  readonly file: PolicyFile;
}

/**
 * The policy files of a directory: `*.yaml`, `*.yml` and `*.json`, without hidden ones. A directory that cannot be
 * read, or is not there, leaves the last snapshot: policies end by being removed from it, not by its being away.
 */
export class PolicyDirectory implements Source<readonly PolicyFile[]> {
  readonly name = 'policies';
  readonly #options: Required<PolicyDirectoryOptions>;
  readonly #health: Health;
  readonly #publication = new Publication<readonly PolicyFile[]>([]);
  readonly #coalescer: Coalescer;
  readonly #watch: DirectoryWatch;
  readonly #known = new Map<string, Known>();
  /** Since when files have been changing. */
  readonly #unstable = new Map<string, number>();
  #dirty: Set<string> | 'all' = 'all';
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: PolicyDirectoryOptions) {
    this.#options = { quietMs: 5, rescanMs: 10_000, ...options };
    this.#health = new Health(options.now);
    this.#watch = new DirectoryWatch(options.directory, (name) => this.#touched(name));
    this.#coalescer = new Coalescer(
      () => this.#scan(),
      this.#options.quietMs,
      (thrown) => {
        this.#health.fails('directory', asSourceError(thrown, 'UNREADABLE', `read ${options.directory}`));
        this.#again(RETRY_MS);
      },
    );
  }

  get synced(): boolean {
    return this.#publication.synced;
  }

  snapshot(): readonly PolicyFile[] {
    return this.#publication.value;
  }

  onChange(listener: () => void): () => void {
    return this.#publication.subscribe(listener);
  }

  status(): SourceStatus {
    return this.#health.status();
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => void this.close(), { once: true });
    if (signal.aborted) await this.close();
    this.#coalescer.request();
    await this.#publication.first;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#watch.close();
    await this.#coalescer.close();
    clearTimeout(this.#timer);
    this.#publication.release();
  }

  /** A name was created, changed or removed; undefined: something was. */
  #touched(name: string | undefined): void {
    // The way Kubernetes mounts a ConfigMap: one link for all files is replaced.
    if (name === undefined || name === '..data') this.#mark('all');
    else if (isPolicyFile(name)) this.#mark(new Set([name]));
  }

  async #scan(): Promise<void> {
    const watched = this.#startWatch();
    const dirty = this.#dirty;
    this.#dirty = new Set();
    const names = dirty === 'all' ? await listNames(this.#options.directory) : dirty;
    if (dirty === 'all') for (const name of [...this.#known.keys()]) if (!names.has(name)) this.#forget(name);
    let looked = 0;
    for (const name of [...names].sort()) {
      await this.#look(name);
      looked += 1;
      if (looked % 256 === 0) await setImmediate();
    }
    // Files that vanished together with their directory were not removed from it.
    statSync(this.#options.directory);
    if (this.#closed) return;
    this.#health.works('directory');
    const waiting = this.#unstable.size > 0;
    // The first snapshot is whole: a file that is just being written is waited for.
    if (!waiting || this.#publication.synced) this.#publish();
    if (waiting) this.#mark(new Set(this.#unstable.keys()));
    this.#again(watched ? this.#options.rescanMs : RETRY_MS);
  }

  #mark(names: ReadonlySet<string> | 'all'): void {
    if (names === 'all') this.#dirty = 'all';
    else if (this.#dirty !== 'all') for (const name of names) this.#dirty.add(name);
    this.#coalescer.request();
  }

  #startWatch(): boolean {
    try {
      if (this.#watch.ensure()) this.#dirty = 'all';
      this.#health.works('watch');
      return true;
    } catch (thrown) {
      this.#dirty = 'all';
      this.#health.fails('watch', asSourceError(thrown, 'UNREADABLE', `watch ${this.#options.directory}`));
      return false;
    }
  }

  #publish(): void {
    const files = [...this.#known.values()].map((known) => known.file).sort((a, b) => (a.name < b.name ? -1 : 1));
    const before = this.#publication.value;
    const same = files.length === before.length && files.every((file, i) => file === before[i]);
    if (!same || !this.#publication.synced) this.#publication.publish(files);
  }

  /** Looks at everything again after a while. */
  #again(ms: number): void {
    clearTimeout(this.#timer);
    if (!this.#closed) this.#timer = setTimeout(() => this.#mark('all'), ms);
  }

  /** Looks at one file and reads it if it is another than was read. */
  async #look(name: string): Promise<void> {
    const path = join(this.#options.directory, name);
    const found = statFile(path);
    if (found === undefined) return this.#forget(name);
    if (found instanceof SourceError) return this.#fail(name, `${found.code} ${found.message}`, found);
    const { stats, link } = found;
    const state = stateOf(stats);
    if (this.#known.get(name)?.state === state) {
      this.#unstable.delete(name);
      return;
    }
    const refusal = refuse(path, stats);
    if (refusal !== undefined) return this.#fail(name, state, refusal);
    if (this.#isChanging(stats)) return this.#wait(name, path);
    const read = await readFile(path, state, link);
    if (read === 'changed') return this.#wait(name, path);
    if (read instanceof SourceError) return this.#fail(name, state, read);
    if (this.#bytes - this.#sizeOf(name) + read.length > MOST_BYTES) {
      const message = `Cannot read ${path}: all policy files together are longer than ${MOST_BYTES} bytes`;
      return this.#fail(name, state, new SourceError('TOO_LARGE', message));
    }
    this.#set(name, state, { name, content: { ok: true, bytes: read } });
  }

  #isChanging(stats: BigIntStats): boolean {
    const age = this.#options.now() - Number(stats.mtimeMs);
    return age >= 0 && age < (stats.size === 0n ? EMPTY_MS : this.#options.quietMs);
  }

  /** Leaves a file that is being written as it was; after too long it is an error. */
  #wait(name: string, path: string): void {
    const since = this.#unstable.get(name) ?? this.#options.now();
    this.#unstable.set(name, since);
    if (this.#options.now() - since < UNSTABLE_MS) return;
    // Under no state, and still among the unstable ones, so that it is read when it rests.
    this.#fail(name, '', new SourceError('UNSTABLE', `Cannot read ${path}: it keeps changing`));
    this.#unstable.set(name, since);
  }

  #fail(name: string, state: string, error: SourceError): void {
    const known = this.#known.get(name);
    const again = known?.file.content.ok === false && known.file.content.error.message === error.message;
    this.#set(name, state, again ? known.file : { name, content: { ok: false, error } });
  }

  #set(name: string, state: string, file: PolicyFile): void {
    this.#unstable.delete(name);
    this.#bytes -= this.#sizeOf(name);
    this.#known.set(name, { state, file });
    this.#bytes += this.#sizeOf(name);
  }

  #forget(name: string): void {
    this.#unstable.delete(name);
    this.#bytes -= this.#sizeOf(name);
    this.#known.delete(name);
  }

  #sizeOf(name: string): number {
    const content = this.#known.get(name)?.file.content;
    return content?.ok ? content.bytes.length : 0;
  }
}

function isPolicyFile(name: string): boolean {
  return /^[^.].*\.(yaml|yml|json)$/.test(name);
}

async function listNames(directory: string): Promise<Set<string>> {
  const names = new Set<string>();
  let entries = 0;
  for await (const { name } of await opendir(directory)) {
    if (isPolicyFile(name)) names.add(name);
    entries += 1;
    if (names.size > MOST_FILES || entries > MOST_ENTRIES) {
      const bound = names.size > MOST_FILES ? `${MOST_FILES} policy files` : `${MOST_ENTRIES} entries`;
      throw new SourceError('TOO_LARGE', `Cannot read ${directory}: it has more than ${bound}`);
    }
  }
  return names;
}

/** The file, or the one a link leads to. Undefined where there is none. */
function statFile(path: string): { stats: BigIntStats; link: boolean } | SourceError | undefined {
  try {
    const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (stats === undefined) return undefined;
    if (!stats.isSymbolicLink()) return { stats, link: false };
    const target = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (target !== undefined) return { stats: target, link: true };
    return new SourceError('UNREADABLE', `Cannot read ${path}: the link leads nowhere`);
  } catch (thrown) {
    return asSourceError(thrown, 'UNREADABLE', `read ${path}`);
  }
}

function stateOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

function refuse(path: string, stats: BigIntStats): SourceError | undefined {
  if (!stats.isFile()) return new SourceError('NOT_A_FILE', `Cannot read ${path}: it is no regular file`);
  if (stats.size <= LONGEST_FILE) return undefined;
  return new SourceError(
    'TOO_LARGE',
    `Cannot read ${path}: it has ${stats.size} bytes, at most ${LONGEST_FILE} are read`,
  );
}

/** Reads a file that was in that state; `changed` where it no longer is, before or after. */
async function readFile(path: string, state: string, link: boolean): Promise<Buffer | 'changed' | SourceError> {
  let handle: FileHandle | undefined;
  try {
    // It may have become a FIFO or a link since it was looked at.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | (link ? 0 : constants.O_NOFOLLOW));
    const before = await handle.stat({ bigint: true });
    if (stateOf(before) !== state) return 'changed';
    const buffer = Buffer.alloc(Number(before.size));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
    const unchanged = bytesRead === buffer.length && stateOf(await handle.stat({ bigint: true })) === state;
    return unchanged ? buffer : 'changed';
  } catch (thrown) {
    if (['ENOENT', 'ELOOP', 'ENXIO'].includes(errnoOf(thrown) ?? '')) return 'changed';
    return asSourceError(thrown, 'UNREADABLE', `read ${path}`);
  } finally {
    await handle?.close();
  }
}
