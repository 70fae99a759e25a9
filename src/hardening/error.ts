export type HardeningErrorCode =
  /** The automaton of the path patterns has too many states, or takes too much room or work. */
  | 'PATTERNS'
  /** A pattern that reached the compiler is none. */
  | 'PATTERN'
  /** More executables are told apart than there are bits. */
  | 'EXECUTABLES'
  /** More rules of sockets, mounts or networks than a profile has room for. */
  | 'LIST'
  /** A ready rule that the catalogue does not have. */
  | 'READY';

export interface HardeningErrorDetails {
  /** What could not be done, as `compile the profile`. */
  readonly attempted: string;
  readonly reason: string;
  readonly hint?: string;
  /** What of the user's is to blame: patterns, rules, names. */
  readonly blamed?: readonly string[];
}

/** A policy cannot become a profile. */
export class HardeningError extends Error {
  override readonly name = 'HardeningError';
  readonly code: HardeningErrorCode;
  readonly attempted: string;
  readonly reason: string;
  readonly hint: string | undefined;
  readonly blamed: readonly string[];

  constructor(code: HardeningErrorCode, { attempted, reason, hint, blamed = [] }: HardeningErrorDetails) {
    const culprits = blamed.length === 0 ? '' : `: ${blamed.map((name) => JSON.stringify(name)).join(', ')}`;
    super(`Cannot ${attempted}: ${reason}${culprits}${hint === undefined ? '' : `. ${hint}`}`);
    this.code = code;
    this.attempted = attempted;
    this.reason = reason;
    this.hint = hint;
    this.blamed = blamed;
  }
}
