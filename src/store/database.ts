import { closeSync, fchmodSync, mkdirSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isCorruption, remedyFor, StoreError } from './error.ts';
import { INSERT_RECORD } from './records.ts';

const PAGE_BYTES = 4_096;
/** The write-ahead log is cut to this when it has been taken over, bytes. */
const LOG_BYTES = 4 * 1024 * 1024;
/** Another process may hold the lock that long, milliseconds; the agent waits meanwhile. */
const BUSY_MS = 10;
const BUSY_AT_START_MS = 2_000;
/** Bad files kept beside the good one. */
const KEPT_BAD = 3;

/** Each brings the schema from its index to the next. Never changed once released; only added to. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE records (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     time INTEGER NOT NULL,
     handshake TEXT NOT NULL,
     side TEXT NOT NULL,
     result TEXT NOT NULL,
     step TEXT NOT NULL,
     reason TEXT NOT NULL,
     rule TEXT NOT NULL,
     source_node TEXT, source_identity TEXT, source_workload TEXT,
     destination_node TEXT, destination_identity TEXT, destination_workload TEXT,
     protocol INTEGER NOT NULL,
     source_address TEXT NOT NULL, source_port INTEGER NOT NULL,
     destination_address TEXT NOT NULL, destination_port INTEGER NOT NULL,
     duration REAL NOT NULL
   ) STRICT;
   CREATE INDEX records_time ON records (time);
   CREATE INDEX records_handshake ON records (handshake) WHERE handshake <> '';
   CREATE TABLE verified (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;`,
];

export interface OpenedDatabase {
  readonly database: DatabaseSync;
  /** Nothing survives the process. */
  readonly inMemory: boolean;
  /** What was wrong with the file that should have been opened. */
  readonly error?: StoreError;
}

export interface DatabaseOptions {
  readonly bytesMost: number;
  /** For the names of bad files. */
  readonly now: () => number;
}

/**
 * Opens a database, or makes it. One that cannot be used is kept under another name and replaced by an empty one;
 * where that is not possible either, there is one in memory. Never throws for what is wrong with a file.
 */
export function openDatabase(path: string, options: DatabaseOptions): OpenedDatabase {
  try {
    return { database: open(path, options), inMemory: false };
  } catch (thrown) {
    // Nothing is wrong with a file that somebody else is using, or on a disk that is full.
    const remedy = remedyFor(thrown);
    return remedy === 'again' || remedy === 'full'
      ? openInMemory(path, thrown, options)
      : replaceDatabase(path, thrown, options);
  }
}

/** Puts a file that is of no use aside, and begins with an empty one. The database must be closed. */
export function replaceDatabase(path: string, thrown: unknown, options: DatabaseOptions): OpenedDatabase {
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  const code = thrown instanceof StoreError ? thrown.code : isCorruption(thrown) ? 'CORRUPT' : 'UNWRITABLE';
  try {
    const kept = putAside(path, options.now());
    const database = open(path, options);
    const error = new StoreError(code, `Cannot use the database ${path}: ${reason}; an empty one takes its place`, {
      hint: kept === undefined ? 'look at its directory' : `what was in it is in ${kept}`,
      cause: thrown,
    });
    return { database, inMemory: false, error };
  } catch (cause) {
    return openInMemory(path, cause, options);
  }
}

/** Where the place of the file is of no use. */
export function openInMemory(path: string, cause: unknown, options: DatabaseOptions): OpenedDatabase {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const message = `Cannot use the database ${path}: ${reason}; until the agent starts again nothing of it is kept`;
  const hint = `make ${dirname(path)} writable for the agent, with room on its disk`;
  const error = new StoreError('UNWRITABLE', message, { hint, cause });
  return { database: open(':memory:', options), inMemory: true, error };
}

function open(path: string, { bytesMost }: DatabaseOptions): DatabaseSync {
  if (path !== ':memory:') makeFile(path);
  const database = new DatabaseSync(path, { timeout: BUSY_AT_START_MS });
  try {
    // NORMAL: a crash of the machine may lose the last records, never the database.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF');
    database.exec(`PRAGMA journal_size_limit = ${LOG_BYTES}`);
    database.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(bytesMost / PAGE_BYTES))}`);
    migrate(database, path);
    // A schema that says it is ours and is not.
    database.prepare(INSERT_RECORD);
    database.prepare('SELECT id, key, value FROM records, verified LIMIT 1').get();
    database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`);
  } catch (thrown) {
    database.close();
    throw thrown;
  }
  return database;
}

/** SQLite gives its other files the mode of this one. */
function makeFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const file = openSync(path, 'a', 0o600);
  try {
    fchmodSync(file, 0o600);
  } finally {
    closeSync(file);
  }
}

function migrate(database: DatabaseSync, path: string): void {
  // Two agents may start on one file: who comes second finds it done.
  database.exec('BEGIN IMMEDIATE');
  try {
    const version = Number(database.prepare('PRAGMA user_version').get()?.user_version ?? 0);
    if (version > MIGRATIONS.length) {
      throw new StoreError(
        'VERSION',
        `its schema is ${version}, of a later version of this program than ${path} needs`,
      );
    }
    for (const migration of MIGRATIONS.slice(version)) database.exec(migration);
    if (version < MIGRATIONS.length) database.exec(`PRAGMA user_version = ${MIGRATIONS.length}`);
    database.exec('COMMIT');
  } catch (thrown) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw thrown;
  }
}

/** @returns where it is now; undefined where there was none */
function putAside(path: string, now: number): string | undefined {
  const stamp = new Date(now).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const directory = dirname(path);
  const prefix = `${basename(path)}.corrupt-`;
  const names = readdirSync(directory);
  let name = `${prefix}${stamp}`;
  for (let i = 1; names.includes(name); i++) name = `${prefix}${stamp}.${i}`;
  const moved = names.includes(basename(path));
  // The log belongs to the file; a new one must not find it.
  for (const suffix of ['-wal', '-shm', '']) {
    if (names.includes(basename(path) + suffix)) renameSync(path + suffix, join(directory, name + suffix));
  }
  const bad = names.filter((one) => one.startsWith(prefix) && !/-(wal|shm)$/.test(one)).sort();
  for (const old of bad.slice(0, Math.max(0, bad.length - KEPT_BAD + 1))) {
    for (const suffix of ['', '-wal', '-shm']) rmSync(join(directory, old + suffix), { recursive: true, force: true });
  }
  return moved ? join(directory, name) : undefined;
}
