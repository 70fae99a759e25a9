import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { asTrustError, TrustError } from './error.ts';

/** More than certificates with a long chain, or four tag keys, need. */
export const FILE_BYTES_MOST = 256 * 1024;

/** Who may have access to a file besides its owner. */
export type Access = 'anybody-reads' | 'group-reads' | 'owner-only';

/** Permission bits that must not be set. What others may change is never trusted. */
const FORBIDDEN: Readonly<Record<Access, number>> = {
  'anybody-reads': 0o022,
  'group-reads': 0o027,
  'owner-only': 0o077,
};

/**
 * Reads a small regular file, and looks at the permissions of the very file that is read.
 * @throws TrustError MISSING, UNREADABLE, EXPOSED, INVALID where it is too long
 */
export function readTrusted(path: string, access: Access): string {
  let file: number;
  try {
    // A FIFO must not make the agent wait.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (thrown) {
    const missing = thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT';
    throw asTrustError(thrown, missing ? 'MISSING' : 'UNREADABLE', `read ${path}`);
  }
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new TrustError('UNREADABLE', `Cannot read ${path}: it is no regular file`);
    const loose = stats.mode & FORBIDDEN[access];
    if (loose !== 0) {
      const mode = (stats.mode & 0o7777).toString(8).padStart(4, '0');
      throw new TrustError('EXPOSED', `Refused to use ${path}: its mode is ${mode}, others may read or change it`, {
        hint: `chmod ${access === 'anybody-reads' ? '644' : '600'} ${path}, and renew it if somebody did`,
      });
    }
    const own = process.geteuid?.() ?? 0;
    if (stats.uid !== 0 && stats.uid !== own) {
      throw new TrustError('EXPOSED', `Refused to use ${path}: it belongs to uid ${stats.uid}, not to root or ${own}`);
    }
    if (stats.size > FILE_BYTES_MOST) {
      const message = `Cannot read ${path}: it has ${stats.size} bytes, at most ${FILE_BYTES_MOST} are read`;
      throw new TrustError('INVALID', message);
    }
    const buffer = Buffer.alloc(Number(stats.size));
    return buffer.toString('utf8', 0, readSync(file, buffer, 0, buffer.length, 0));
  } catch (thrown) {
    throw asTrustError(thrown, 'UNREADABLE', `read ${path}`);
  } finally {
    closeSync(file);
  }
}

export interface NewFile {
  readonly path: string;
  readonly text: string;
  /** 0o600 for secrets, 0o644 else. */
  readonly mode: 0o600 | 0o644;
}

/**
 * Writes files whole or not at all, each beside its place first. Directories that are missing are made for their
 * owner alone. Where one of the files is there already, none is written, unless forced.
 * @throws TrustError EXISTS, UNWRITABLE
 */
export function writeTrusted(files: readonly NewFile[], { force }: { readonly force: boolean }): void {
  for (const { path } of files) {
    if (!force && lstatSync(path, { throwIfNoEntry: false }) !== undefined) throw exists(path);
  }
  for (const file of files) {
    try {
      writeOne(file, force);
    } catch (thrown) {
      throw asTrustError(thrown, 'UNWRITABLE', `write ${file.path}`);
    }
  }
}

function exists(path: string): TrustError {
  return new TrustError('EXISTS', `Refused to overwrite ${path}`, { hint: 'keep it, or say --force' });
}

function writeOne({ path, text, mode }: NewFile, force: boolean): void {
  const directory = dirname(path);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const temporary = join(directory, `.${basename(path).slice(0, 200)}.${randomBytes(6).toString('hex')}.new`);
  const file = openSync(temporary, 'wx', 0o600);
  try {
    try {
      for (let bytes = Buffer.from(text); bytes.length > 0; ) bytes = bytes.subarray(writeSync(file, bytes));
      // Exact, whatever the umask says.
      fchmodSync(file, mode);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    if (force) renameSync(temporary, path);
    else linkNew(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
  const parent = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(parent);
  } finally {
    closeSync(parent);
  }
}

/** Unlike a rename, it never replaces what came to be there meanwhile. */
function linkNew(temporary: string, path: string): void {
  try {
    linkSync(temporary, path);
  } catch (thrown) {
    throw thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST' ? exists(path) : thrown;
  }
}
