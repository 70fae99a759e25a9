/** What can be wrong with certificates and keys. */
export type TrustErrorCode =
  | 'EXISTS' // a file would be overwritten
  | 'MISSING' // there is no such file
  | 'UNREADABLE' // the file system says no, or it is no regular file
  | 'UNWRITABLE' // the file system says no
  | 'EXPOSED' // others than its owner may read or change a secret
  | 'INVALID' // not what its format says
  | 'MISMATCH' // certificate, key and authority do not belong together
  | 'WRONG_DOMAIN' // a certificate of another domain or another node
  | 'EXPIRED' // not valid any more, or not yet
  | 'EXPIRING'; // still valid, but not for long

export interface TrustErrorOptions {
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The message says what was attempted on what and what came of it; `hint`, what to do. Never has a secret in it. */
export class TrustError extends Error {
  readonly code: TrustErrorCode;
  readonly hint: string | undefined;

  constructor(code: TrustErrorCode, message: string, options: TrustErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'TrustError';
    this.code = code;
    this.hint = options.hint;
  }
}

/** Any thrown value as one of these. */
export function asTrustError(thrown: unknown, code: TrustErrorCode, attempted: string): TrustError {
  if (thrown instanceof TrustError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new TrustError(code, `Cannot ${attempted}: ${reason}`, { cause: thrown });
}
