import { BpfError } from '../libbpf/errors.ts';

/**
 * The one table of what can go wrong between a person and the agent: the API's status, the command line's exit
 * code and the documentation (docs/cli.md, docs/api.md) all come from it.
 */
export const ERRORS = {
  USAGE: { http: 400, exit: 2, text: 'the command line or the request is malformed' },
  INVALID: { http: 422, exit: 6, text: 'a policy, a configuration or a value does not validate' },
  TOO_LARGE: { http: 413, exit: 6, text: 'the input is larger than is accepted' },
  NOT_FOUND: { http: 404, exit: 3, text: 'nothing has that name' },
  AMBIGUOUS: { http: 409, exit: 3, text: 'several things have that name' },
  CONFLICT: { http: 409, exit: 1, text: 'it exists already, or is managed elsewhere' },
  FORBIDDEN: { http: 403, exit: 7, text: 'the caller may not do this' },
  UNREACHABLE: { http: 502, exit: 4, text: 'the agent does not answer' },
  NOT_READY: { http: 503, exit: 4, text: 'the agent is starting, stopping or has too many followers' },
  NOT_APPLIED: { http: 500, exit: 1, text: 'stored, but the kernel does not have it yet' },
  KERNEL: { http: 500, exit: 1, text: 'the kernel refused' },
  INTERNAL: { http: 500, exit: 1, text: 'a fault of the program itself' },
} as const;

export type ErrorCode = keyof typeof ERRORS;

/** Exit codes that are answers rather than errors. */
export const EXIT = {
  OK: 0,
  FAILED: 1,
  USAGE: 2,
  NOT_FOUND: 3,
  UNREACHABLE: 4,
  DENIED: 5,
  INVALID: 6,
  FORBIDDEN: 7,
  DIFFERS: 8,
} as const;

/** One fault in an input: where it stands, what was found, what is wanted. */
export interface Fault {
  readonly file?: string;
  /** From 1. */
  readonly line?: number;
  readonly column?: number;
  /** Path inside the document: `spec.ingress[0].from`. */
  readonly field?: string;
  readonly message: string;
}

/** `file:line:column: field: message`, without the parts that are not known. */
export function formatFault(fault: Fault): string {
  const place = [fault.file, fault.line, fault.line === undefined ? undefined : fault.column].filter(
    (part) => part !== undefined,
  );
  return [place.join(':'), fault.field ?? '', fault.message].filter((part) => part !== '').join(': ');
}

export interface AgentErrorOptions {
  readonly hint?: string | undefined;
  readonly faults?: readonly Fault[] | undefined;
  readonly cause?: unknown;
}

/** An error with a row in the table. The message says what was attempted on what; `hint`, what to do. */
export class AgentError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly faults: readonly Fault[];

  constructor(code: ErrorCode, message: string, options: AgentErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AgentError';
    this.code = code;
    this.hint = options.hint;
    this.faults = options.faults ?? [];
  }
}

/** Gives any thrown value its row: errors of other folders keep their message and hint, and count as ours. */
export function asAgentError(thrown: unknown): AgentError {
  if (thrown instanceof AgentError) return thrown;
  if (!(thrown instanceof Error)) return new AgentError('INTERNAL', String(thrown));
  const hint = 'hint' in thrown && typeof thrown.hint === 'string' ? thrown.hint : undefined;
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
  const refused = code === 'EPERM' || code === 'EACCES' || code === 'PERMISSION';
  const row = refused ? 'FORBIDDEN' : thrown instanceof BpfError ? 'KERNEL' : 'INTERNAL';
  return new AgentError(row, thrown.message, { hint, cause: thrown });
}
