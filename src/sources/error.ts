/** What can go wrong with a source; the agent shows the code beside the source's name. */
export type SourceErrorCode =
  | 'UNREACHABLE' // nobody answers on the socket
  | 'TIMEOUT' // somebody is there but does not answer in time
  | 'TOO_LARGE' // an answer, file or list beyond its bound
  | 'MALFORMED' // an answer that is not what its protocol says
  | 'REFUSED' // the other side says no
  | 'VERSION' // the other side speaks no version we know
  | 'UNREADABLE' // the file system or kernel says no
  | 'NOT_A_FILE' // a directory entry that is no regular file
  | 'UNSTABLE'; // it kept changing while it was read

export interface SourceErrorOptions {
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The message says what was attempted on what and what came of it; `hint`, what to do about it. */
export class SourceError extends Error {
  readonly code: SourceErrorCode;
  readonly hint: string | undefined;

  constructor(code: SourceErrorCode, message: string, options: SourceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SourceError';
    this.code = code;
    this.hint = options.hint;
  }
}

/** The errno name of a system error (`ENOENT`); undefined for anything else. */
export function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}

/** Any thrown value as the error of a source: its own kept, others said to have happened while `attempted`. */
export function asSourceError(thrown: unknown, code: SourceErrorCode, attempted: string): SourceError {
  if (thrown instanceof SourceError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new SourceError(code, `Cannot ${attempted}: ${reason}`, { cause: thrown });
}
