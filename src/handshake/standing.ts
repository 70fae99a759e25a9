import { ProtocolError } from './errors.ts';

/**
 * How it stands with a peer agent. `waiting`: for the next attempt, or to be dialled. `refused`: it was reached, and one of the
 * two does not accept the other.
 */
export type StandingState = 'connected' | 'connecting' | 'waiting' | 'refused';

export interface Standing {
  readonly state: StandingState;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** What ended the last attempt or connection. */
  readonly error?: string;
}

/** Of TLS and its certificates, by Node and by OpenSSL. */
const REFUSALS = /^(ERR_(SSL|TLS)_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA|ERROR_IN_CERT|INVALID_PURPOSE)/;

/** How it stands with each peer agent, for people to see. */
export class Standings {
  readonly #now: () => number;
  readonly #standings = new Map<string, Standing>();

  constructor(now: () => number) {
    this.#now = now;
  }

  add(agent: string): void {
    if (!this.#standings.has(agent)) this.#standings.set(agent, { state: 'waiting', since: this.#now() });
  }

  delete(agent: string): void {
    this.#standings.delete(agent);
  }

  get names(): readonly string[] {
    return [...this.#standings.keys()];
  }

  of(agent: string): Standing {
    return this.#standings.get(agent) ?? { state: 'waiting', since: this.#now() };
  }

  connected(agent: string): void {
    this.#set(agent, 'connected', undefined);
  }

  /** It is dialled. Who has refused is dialled again and again: that is still refused. */
  dialled(agent: string): void {
    const { state, error } = this.of(agent);
    if (state === 'waiting') this.#set(agent, 'connecting', error);
  }

  /** An attempt or the last connection has failed. */
  failed(agent: string, error: Error): void {
    const code = 'code' in error ? String(error.code) : '';
    const refused = error instanceof ProtocolError || REFUSALS.test(code);
    this.#set(agent, refused ? 'refused' : 'waiting', error.message.slice(0, 500));
  }

  #set(agent: string, state: StandingState, error: string | undefined): void {
    const former = this.#standings.get(agent);
    if (former === undefined) return;
    const since = former.state === state ? former.since : this.#now();
    this.#standings.set(agent, { state, since, ...(error === undefined ? {} : { error }) });
  }
}
