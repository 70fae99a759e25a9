import * as z from 'zod';

/** What can come of a question to an API server. */
export type KubernetesErrorCode =
  | 'UNREACHABLE' // nobody answers, or not in time
  | 'UNAUTHORIZED' // it does not know who asks
  | 'FORBIDDEN' // it knows, and says no
  | 'NOT_FOUND' // no such object, or no such kind
  | 'CONFLICT' // exists already, or was changed by somebody else
  | 'EXPIRED' // a version of the past that is no longer kept
  | 'INVALID' // it cannot accept what was asked; the configuration, where nobody was asked
  | 'THROTTLED' // too many questions
  | 'TOO_LARGE' // an answer longer than any is read
  | 'SERVER'; // anything else: its failures, and answers that are not what the protocol says

export interface KubernetesErrorOptions {
  /** Of the HTTP answer. */
  readonly status?: number;
  /** The answer's own word, as `AlreadyExists`. */
  readonly reason?: string;
  readonly hint?: string;
  /** When to ask again at the soonest, milliseconds from now. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** The message says what was attempted on what and what came of it; `hint`, what to do about it. */
export class KubernetesError extends Error {
  readonly code: KubernetesErrorCode;
  readonly status: number | undefined;
  readonly reason: string | undefined;
  readonly hint: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: KubernetesErrorCode, message: string, options: KubernetesErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'KubernetesError';
    this.code = code;
    this.status = options.status;
    this.reason = options.reason;
    this.hint = options.hint ?? HINTS[code];
    this.retryAfterMs = options.retryAfterMs;
  }
}

const CODES: Readonly<Partial<Record<number, KubernetesErrorCode>>> = {
  400: 'INVALID',
  401: 'UNAUTHORIZED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  405: 'INVALID',
  406: 'INVALID',
  409: 'CONFLICT',
  410: 'EXPIRED',
  413: 'INVALID',
  415: 'INVALID',
  422: 'INVALID',
  429: 'THROTTLED',
};

const HINTS: Readonly<Partial<Record<KubernetesErrorCode, string>>> = {
  UNREACHABLE: 'is the API server running, and the address in the kubeconfig right?',
  UNAUTHORIZED: 'the credentials have expired, or are those of another cluster',
  FORBIDDEN: 'grant it by a (Cluster)Role; `sallyport doctor` lists what is needed',
};

const statusSchema = z.object({
  message: z.string().optional(),
  reason: z.string().optional(),
  code: z.int().optional(),
  details: z.object({ retryAfterSeconds: z.number().nonnegative().optional() }).nullish(),
});

/** An answer that is no success, as an error. `answer` is the parsed body, whatever it is. */
export function refusal(status: number, answer: unknown, attempted: string): KubernetesError {
  const { message, reason, details } = statusSchema.safeParse(answer).data ?? {};
  const retry = details?.retryAfterSeconds;
  return new KubernetesError(
    CODES[status] ?? 'SERVER',
    `Cannot ${attempted}: ${(message ?? `status ${status}`).slice(0, 500)}`,
    {
      status,
      ...(reason === undefined ? {} : { reason }),
      ...(retry === undefined ? {} : { retryAfterMs: Math.min(retry, 60) * 1_000 }),
    },
  );
}

/** The object of an ERROR event of a watch, as an error. */
export function watchRefusal(object: unknown, attempted: string): KubernetesError {
  return refusal(statusSchema.safeParse(object).data?.code ?? 500, object, attempted);
}

/** Any thrown value as a KubernetesError: its own kept, others said to have happened while `attempted`. */
export function asKubernetesError(thrown: unknown, attempted: string): KubernetesError {
  if (thrown instanceof KubernetesError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new KubernetesError('SERVER', `Cannot ${attempted}: ${reason}`, { cause: thrown });
}
