export type StoreErrorCode =
  | 'CORRUPT' // the file is no database, or a damaged one
  | 'VERSION' // written by a later version of this program
  | 'UNWRITABLE' // it cannot be opened or written
  | 'FULL' // neither disk nor bounds leave room
  | 'CURSOR'; // not where a page ended

/** The message says what was attempted on which file, what came of it, and how things go on. */
export class StoreError extends Error {
  readonly code: StoreErrorCode;
  readonly hint: string | undefined;

  constructor(
    code: StoreErrorCode,
    message: string,
    options: { readonly hint?: string; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'StoreError';
    this.code = code;
    this.hint = options.hint;
  }
}

/** SQLite's result codes (https://sqlite.org/rescode.html) as far as they are told apart here. */
const BUSY = 5;
const LOCKED = 6;
const FULL = 13;
const CORRUPT = 11;
const NOT_A_DATABASE = 26;

/** What is to be done about an error of SQLite. `again`: later; `replace`: the file is of no use. */
export type Remedy = 'again' | 'full' | 'replace' | 'none';

export function remedyFor(thrown: unknown): Remedy {
  const code = sqliteCode(thrown);
  if (code === undefined) return 'none';
  if (code === BUSY || code === LOCKED) return 'again';
  return code === FULL ? 'full' : 'replace';
}

export function isCorruption(thrown: unknown): boolean {
  const code = sqliteCode(thrown);
  return code === CORRUPT || code === NOT_A_DATABASE;
}

function sqliteCode(thrown: unknown): number | undefined {
  const extended = thrown instanceof Error && 'errcode' in thrown ? thrown.errcode : undefined;
  return typeof extended === 'number' ? extended & 0xff : undefined;
}
