import { getSystemErrorMap } from 'node:util';
import { ERROR_TABLE, type ErrorRow, type NetfilterErrorCode } from './error-table.ts';

export interface NetfilterErrorDetails {
  /** What was attempted on what, as it reads after "Cannot": `open queue 5114`. */
  readonly attempted: string;
  /** Why not, where errno does not say it. */
  readonly reason?: string | undefined;
  /** Negative, as the kernel returned it. */
  readonly errno?: number | undefined;
  /** What to do about it. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

/** Every failure of this binding. `code` names the row of `ERROR_TABLE`. */
export class NetfilterError extends Error {
  override readonly name = 'NetfilterError';
  readonly code: NetfilterErrorCode;
  readonly attempted: string;
  /** Its name, `EMSGSIZE`; undefined when no system call was made. */
  readonly errno: string | undefined;
  readonly hint: string | undefined;

  constructor(code: NetfilterErrorCode, details: NetfilterErrorDetails) {
    const { attempted, errno } = details;
    const [name, words] = errno === undefined ? [] : (getSystemErrorMap().get(errno) ?? [`errno ${-errno}`]);
    const row: ErrorRow = ERROR_TABLE[code];
    const reason = details.reason ?? words ?? row.meaning;
    super(`Cannot ${attempted}: ${reason}${name === undefined ? '' : ` (${name})`}`, { cause: details.cause });
    this.code = code;
    this.attempted = attempted;
    this.errno = name;
    this.hint = details.hint ?? row.hint;
  }

  /** What a command that fails with this error exits with. */
  get exitCode(): number {
    return ERROR_TABLE[this.code].exitCode;
  }
}

const EPERM = -1;
const EACCES = -13;
const EMSGSIZE = -90;

type SystemCode = 'QUEUE' | 'VERDICT' | 'SENDER' | 'SEND' | 'CONNTRACK';

/** Raises a failed call. */
export function fail(code: SystemCode, errno: number, attempted: string): never {
  throw systemError(code, errno, attempted);
}

/** The error of a failed call: what errno alone tells has a code of its own. */
export function systemError(code: SystemCode, errno: number, attempted: string): NetfilterError {
  // A packet that a firewall refuses is EPERM too, and no lack of rights.
  if ((errno === EPERM || errno === EACCES) && code !== 'SEND') {
    return new NetfilterError('PERMISSION', { attempted, errno });
  }
  if (errno === EMSGSIZE && code === 'SEND') return new NetfilterError('TOO_LARGE', { attempted, errno });
  return new NetfilterError(code, { attempted, errno });
}

/** For what a caller passed that no system call needs to refuse. */
export function argumentError(attempted: string, reason: string): NetfilterError {
  return new NetfilterError('ARGUMENT', { attempted, reason });
}

/** Throws ARGUMENT unless it is an integer in the range. */
export function checkInteger(value: number, low: number, high: number, what: string): number {
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw argumentError(`use ${String(value)} as ${what}`, `it must be an integer from ${low} to ${high}`);
}

export const MAX_U32 = 0xffffffff;
