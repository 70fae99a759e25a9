import { getSystemErrorMap } from 'node:util';
import { type BpfErrorCode, ERROR_TABLE, type ErrorRow } from './error-table.ts';

/** Errors of the kernel that user space has no name for. */
const KERNEL_ERRORS: Readonly<Record<number, readonly [string, string]>> = {
  [-11]: ['EAGAIN', 'nothing came in time'],
  [-42]: ['ENOMSG', 'no message of the desired type'],
  [-95]: ['EOPNOTSUPP', 'the operation is not supported'],
  [-124]: ['EMEDIUMTYPE', 'something of another kind is there'],
  [-129]: ['EKEYREJECTED', 'key was rejected by service'],
  [-524]: ['ENOTSUPP', 'the operation is not supported'],
};

/** Errors whose libuv text misleads here. */
const EPERM = -1;
const EACCES = -13;

/** `EINVAL` for -22 (or 22); `errno 4242` for a number nobody knows. */
export function errnoName(errno: number): string {
  const key = -Math.abs(errno);
  return KERNEL_ERRORS[key]?.[0] ?? getSystemErrorMap().get(key)?.[0] ?? `errno ${-key}`;
}

/** What a negative errno means, in words. */
export function errnoMessage(errno: number): string {
  const key = -Math.abs(errno);
  return KERNEL_ERRORS[key]?.[1] ?? getSystemErrorMap().get(key)?.[1] ?? 'unknown error';
}

export interface BpfErrorDetails {
  /** What was attempted on what, as it reads after "Cannot": `attach "from_endpoint" to interface 7`. */
  readonly attempted: string;
  /** Why not, where errno does not say it. */
  readonly reason?: string | undefined;
  /** Negative, as the kernel returned it. */
  readonly errno?: number | undefined;
  /** What to do about it. */
  readonly hint?: string | undefined;
  /** Everything libbpf and the verifier printed. */
  readonly log?: string | undefined;
  readonly cause?: unknown;
}

/** Every failure of this binding. `code` names the row of `ERROR_TABLE`. */
export class BpfError extends Error {
  override readonly name = 'BpfError';
  readonly code: BpfErrorCode;
  readonly attempted: string;
  /** Its name, `EINVAL`; undefined when no system call was made. */
  readonly errno: string | undefined;
  readonly hint: string | undefined;
  readonly log: string | undefined;

  constructor(code: BpfErrorCode, details: BpfErrorDetails) {
    const { attempted, errno } = details;
    const name = errno === undefined ? undefined : errnoName(errno);
    const reason = details.reason ?? (errno === undefined ? ERROR_TABLE[code].meaning : errnoMessage(errno));
    super(`Cannot ${attempted}: ${reason}${name === undefined ? '' : ` (${name})`}`, { cause: details.cause });
    const row: ErrorRow = ERROR_TABLE[code];
    this.code = code;
    this.attempted = attempted;
    this.errno = name;
    this.hint = details.hint ?? row.hint;
    this.log = details.log;
  }

  /** What a command that fails with this error exits with. */
  get exitCode(): number {
    return ERROR_TABLE[this.code].exitCode;
  }
}

/** Raises a failed call: `PERMISSION` where that was the reason, else `code`. */
export function fail(
  code: BpfErrorCode,
  errno: number,
  attempted: string,
  details: Partial<BpfErrorDetails> = {},
): never {
  const refused = errno === EPERM || errno === EACCES;
  throw new BpfError(refused && code !== 'VERIFIER' ? 'PERMISSION' : code, { ...details, attempted, errno });
}

/** For what a caller passed that no system call needs to refuse. */
export function argumentError(attempted: string, reason: string): BpfError {
  return new BpfError('ARGUMENT', { attempted, reason });
}
