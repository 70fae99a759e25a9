import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { HandshakeRecord } from '../handshake/port.ts';
import { openDatabase, openInMemory, replaceDatabase } from './database.ts';
import { remedyFor, StoreError } from './error.ts';
import { Fair, type Share } from './fair.ts';
import {
  INSERT_RECORD,
  listRecords,
  type RecordFilter,
  type RecordPage,
  type RecordRow,
  recordsOf,
  rowOf,
} from './records.ts';
import { StoredValues } from './values.ts';

export { StoreError, type StoreErrorCode } from './error.ts';
export type { RecordFilter, RecordPage } from './records.ts';

export interface StoreOptions {
  /** Records older than this go, milliseconds. */
  readonly keepMs: number;
  /** Of more records than this the oldest go. */
  readonly most: number;
  /** Each trouble once, until it is over. Default: nobody is told. */
  readonly onError?: (error: StoreError) => void;
  readonly now?: () => number;
  /** The file does not grow over this; the oldest records make room. Default 256 MiB. */
  readonly bytesMost?: number;
  /** Of one culprit; what is more counts as lost. Default: as many as come. */
  readonly share?: Share;
}

export interface StoreStatistics {
  readonly records: number;
  /** Not written yet. */
  readonly waiting: number;
  /** Since the start: they came faster than they could be written, could not be written at all, or were one culprit's. */
  readonly lost: number;
  readonly inMemory: boolean;
}

/** Opaque values that outlive the agent: what the handshake knows of verified peers. */
export interface VerifiedValues {
  load(): ReadonlyMap<string, unknown>;
  /** Adds them or puts them in place of what had these keys. Written with the next batch. */
  save(values: Iterable<readonly [key: string, value: unknown]>): void;
  forget(keys: Iterable<string>): void;
  /** These and no others; what has not changed is not written again. */
  replace(values: Iterable<readonly [key: string, value: unknown]>): void;
}

/** Records and state of a node. Nothing it is asked throws for the database's sake. */
export interface Store {
  /** Written with the next batch, within 200 ms. */
  add(record: HandshakeRecord): void;
  /** @throws StoreError CURSOR */
  list(filter: RecordFilter): RecordPage;
  /** Records of one handshake, the oldest first; at most 100. */
  get(handshake: string): readonly HandshakeRecord[];
  readonly verified: VerifiedValues;
  /** Writes what waits. */
  flush(): void;
  statistics(): StoreStatistics;
  /** Writes what waits, and closes. Idempotent. */
  close(): void;
}

const BYTES_MOST = 256 * 1024 * 1024;
/** Records that wait, at most; some 600 B each. */
const QUEUE_MOST = 10_000;
/** Records written in one transaction, at most. */
const BATCH = 500;
/** A transaction grows no further after this time, so that nobody waits long for it; half of it is for values. Milliseconds. */
const BATCH_MS = 2;
/** What a batch takes at most, with its share of the indexes. */
const BATCH_PAGES = 1_024;
const FLUSH_MS = 200;
/** Between two batches: whoever waits for a verdict comes first. */
const BETWEEN_MS = 10;
/** After a failure. */
const RETRY_MS = 2_000;
/** How often work is done that failed, and something was done about it. */
const ATTEMPTS = 6;
/** Another process may be in the way so long before that is an error, milliseconds. */
const BUSY_MS_MOST = 10_000;
/** A file that is of no use again after this short a time is not the file's fault, milliseconds. */
const REPLACED_APART_MS = 60_000;
const PRUNE_MS = 60_000;
/** Records removed at one time. */
const PRUNE_MOST = 5_000;
const IN_MEMORY_MOST = 10_000;
const OF_ONE_HANDSHAKE = 100;

export function openStore(path: string, options: StoreOptions): Store {
  return new SqliteStore(path, options);
}

class SqliteStore implements Store {
  readonly #path: string;
  readonly #options: Required<Omit<StoreOptions, 'share'>>;
  readonly #fair: Fair | undefined;
  #database!: DatabaseSync;
  #insert!: StatementSync;
  #inMemory = false;
  #queue: RecordRow[] = [];
  readonly #values = new StoredValues();
  #lost = 0;
  /** The trouble that was told. */
  #told: string | undefined;
  #failingSince: number | undefined;
  #replacedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  readonly #pruning: NodeJS.Timeout;
  #closed = false;
  readonly verified: VerifiedValues;

  constructor(path: string, options: StoreOptions) {
    this.#path = path;
    this.#fair = options.share && new Fair(options.share);
    this.#options = { onError: () => {}, now: Date.now, bytesMost: BYTES_MOST, ...options };
    this.#use(openDatabase(path, this.#options));
    const change = (work: () => void): void => {
      this.#attempt(work);
      this.#later(FLUSH_MS);
    };
    this.verified = {
      load: () => this.#attempt(() => this.#values.load(this.#database)) ?? new Map(),
      save: (values) => change(() => this.#values.save(this.#database, values)),
      forget: (keys) => change(() => this.#values.forget(this.#database, keys)),
      replace: (values) => change(() => this.#values.replace(this.#database, values)),
    };
    this.#pruning = setInterval(() => this.#attempt(() => this.#prune()), PRUNE_MS);
    this.#pruning.unref();
  }

  add(record: HandshakeRecord): void {
    const full = this.#closed || this.#queue.length >= QUEUE_MOST;
    if (full || this.#fair?.take(record, this.#options.now()) === false) {
      this.#lost += 1;
      return;
    }
    this.#queue.push(rowOf(record));
    if (this.#queue.length % BATCH === 0 && this.#failingSince === undefined) this.#flushOne();
    this.#later(FLUSH_MS);
  }

  list(filter: RecordFilter): RecordPage {
    this.flush();
    const oldest = this.#options.now() - this.#options.keepMs;
    const since = Math.max(filter.since ?? oldest, oldest);
    return this.#attempt(() => listRecords(this.#database, { ...filter, since })) ?? { records: [] };
  }

  get(handshake: string): readonly HandshakeRecord[] {
    this.flush();
    return this.#attempt(() => recordsOf(this.#database, handshake, OF_ONE_HANDSHAKE)) ?? [];
  }

  flush(): void {
    while (this.#waits() && this.#flushOne());
  }

  statistics(): StoreStatistics {
    const count = this.#attempt(() => this.#database.prepare('SELECT count(*) AS n FROM records').get()?.n);
    return {
      records: Number(count ?? 0),
      waiting: this.#queue.length,
      lost: this.#lost + this.#values.lost,
      inMemory: this.#inMemory,
    };
  }

  close(): void {
    if (this.#closed) return;
    this.flush();
    this.#lost += this.#queue.length;
    this.#queue = [];
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#pruning);
    this.#database.close();
  }

  #use({ database, inMemory, error }: ReturnType<typeof openDatabase>): void {
    this.#database = database;
    this.#inMemory = inMemory;
    this.#insert = database.prepare(INSERT_RECORD);
    this.#values.forgetDatabase();
    if (error !== undefined) this.#options.onError(error);
    setImmediate(() => this.#attempt(() => this.#prune()));
  }

  #waits(): boolean {
    return this.#queue.length > 0 || this.#values.waits;
  }

  #later(ms: number): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.#flushOne()) this.#later(RETRY_MS);
      else if (this.#waits()) this.#later(BETWEEN_MS);
    }, ms);
    this.#timer.unref();
  }

  /** Writes one batch. @returns whether it is written */
  #flushOne(): boolean {
    const written = this.#attempt(() => {
      this.#write();
      return true;
    });
    if (written !== true) return false;
    this.#told = undefined;
    this.#failingSince = undefined;
    return true;
  }

  #write(): void {
    let rows = 0;
    const written = this.#transaction(() => {
      const begin = performance.now();
      const done = this.#values.write(this.#database, begin + BATCH_MS / 2);
      for (const row of this.#queue) {
        if (rows === BATCH || (rows > 0 && performance.now() > begin + BATCH_MS)) break;
        this.#insert.run(...row);
        rows += 1;
      }
      return done;
    });
    this.#queue.splice(0, rows);
    written();
    this.#trim();
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (thrown) {
      // A full disk or a damaged file may have ended it already.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw thrown;
    }
  }

  /** Runs what needs the database. What is wrong with it is put right where possible, and the work done again. */
  #attempt<T>(work: () => T): T | undefined {
    if (this.#closed) return undefined;
    for (let left = ATTEMPTS; ; left--) {
      try {
        return work();
      } catch (thrown) {
        if (thrown instanceof StoreError) throw thrown;
        if (left > 0 && this.#help(thrown)) continue;
        this.#tell(thrown);
        return undefined;
      }
    }
  }

  /** @returns whether trying again may help */
  #help(thrown: unknown): boolean {
    const remedy = remedyFor(thrown);
    if (remedy === 'none') throw thrown;
    if (remedy === 'replace') this.#replace(thrown);
    return remedy === 'replace' || (remedy === 'full' && this.#makeRoom());
  }

  #tell(thrown: unknown): void {
    const isFull = remedyFor(thrown) === 'full';
    const code = isFull ? 'FULL' : 'UNWRITABLE';
    this.#failingSince ??= performance.now();
    if (this.#told === code || (!isFull && performance.now() - this.#failingSince < BUSY_MS_MOST)) return;
    this.#told = code;
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    const message = `Cannot write to the database ${this.#path}: ${reason}; up to ${QUEUE_MOST} records wait for it`;
    this.#options.onError(new StoreError(code, message, { cause: thrown }));
  }

  #replace(thrown: unknown): void {
    try {
      this.#database.close();
    } catch {
      // Closing writes, too. The file is put aside as it is.
    }
    const again = performance.now() - this.#replacedAt < REPLACED_APART_MS;
    this.#replacedAt = performance.now();
    this.#use(
      again || this.#inMemory
        ? openInMemory(this.#path, thrown, this.#options)
        : replaceDatabase(this.#path, thrown, this.#options),
    );
  }

  /** Where our own bound is what is full, the oldest records go: twice as many as come. */
  #makeRoom(): boolean {
    try {
      const number = (pragma: string): number => Number(Object.values(this.#database.prepare(pragma).get() ?? {})[0]);
      // What was rolled back needed more pages than there are now.
      if (number('PRAGMA page_count') + BATCH_PAGES < number('PRAGMA max_page_count')) return false;
      const text = 'DELETE FROM records WHERE id IN (SELECT id FROM records ORDER BY id LIMIT ?)';
      return Number(this.#database.prepare(text).run(2 * BATCH).changes) > 0;
    } catch {
      return false;
    }
  }

  /** Records over the number that is kept. By their ids, which count up: what else was removed only makes it fewer. */
  #trim(): number {
    const most = this.#inMemory ? Math.min(this.#options.most, IN_MEMORY_MOST) : this.#options.most;
    const { last } = this.#database.prepare('SELECT max(id) AS last FROM records').get() ?? {};
    const text = 'DELETE FROM records WHERE id IN (SELECT id FROM records WHERE id <= ? ORDER BY id LIMIT ?)';
    return Number(this.#database.prepare(text).run(Number(last ?? 0) - most, PRUNE_MOST).changes);
  }

  #prune(): void {
    const oldest = Math.trunc(this.#options.now() - this.#options.keepMs);
    const text = 'DELETE FROM records WHERE id IN (SELECT id FROM records WHERE time < ? ORDER BY time LIMIT ?)';
    const aged = Number(this.#database.prepare(text).run(oldest, PRUNE_MOST).changes);
    if (aged === PRUNE_MOST || this.#trim() === PRUNE_MOST) setImmediate(() => this.#attempt(() => this.#prune()));
  }
}
