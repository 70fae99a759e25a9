import { AgentError, asAgentError, type ErrorCode } from '../agent/errors.ts';
import { TrustError, type TrustErrorCode } from '../trust/error.ts';

const ROWS: Readonly<Record<TrustErrorCode, ErrorCode>> = {
  EXISTS: 'CONFLICT',
  MISSING: 'NOT_FOUND',
  UNREADABLE: 'INVALID',
  UNWRITABLE: 'INVALID',
  EXPOSED: 'FORBIDDEN',
  INVALID: 'INVALID',
  MISMATCH: 'INVALID',
  WRONG_DOMAIN: 'INVALID',
  EXPIRED: 'INVALID',
  EXPIRING: 'INVALID',
};

/** Runs what works on certificates and keys, and gives its errors their row in the table. @throws AgentError */
export async function withTrust<T>(run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    if (!(thrown instanceof TrustError)) throw asAgentError(thrown);
    const { message, hint, cause } = thrown;
    const errno = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    const row = errno === 'EACCES' || errno === 'EPERM' ? 'FORBIDDEN' : ROWS[thrown.code];
    throw new AgentError(row, message, { hint, cause: thrown });
  }
}
