/** Bounds of the protocol (docs/protocol.md) and what keeps them. */

export interface Limits {
  /** Handshakes under way as source. */
  readonly asSource: number;
  /** As destination. */
  readonly asDestination: number;
  /** As destination, for one peer agent. */
  readonly perAgent: number;
  /** New ones a second for one peer agent. */
  readonly newPerSecond: number;
  /** Entries of verified peers, 200 bytes in the kernel and 600 here each. Beyond it the oldest are revoked, of the agent that has most. */
  readonly entries: number;
  /** Entries of what was refused or is of the world. Beyond it none are written. */
  readonly outcomes: { readonly all: number; readonly perEndpoint: number };
  /** Notices of connections refused in the kernel, a second, to and from one peer agent. */
  readonly noticesPerSecond: number;
  /** Revocations kept for a peer agent that cannot be told now. */
  readonly revocations: number;
}

/** How a table of the kernel with so many entries is shared: what is verified, and what a container's will alone can make. */
export function roomFor(entries: number): Pick<Limits, 'entries' | 'outcomes'> {
  const part = (share: number): number => Math.max(1, Math.floor(entries * share));
  return { entries: Math.min(120_000, part(0.75)), outcomes: { all: part(0.2), perEndpoint: part(0.05) } };
}

export const LIMITS: Limits = {
  asSource: 4_096,
  asDestination: 4_096,
  perAgent: 1_024,
  newPerSecond: 4_000,
  ...roomFor(131_072),
  noticesPerSecond: 100,
  revocations: 4_096, // half of what may wait for one peer
};

/** Milliseconds; the table of timers in docs/protocol.md. */
export interface Timing {
  readonly deadline: number;
  readonly claim: number;
  readonly confirm: number;
  /** Wait before the token is sent again; doubles. */
  readonly repeat: number;
  readonly lifetime: number;
  readonly world: number;
  readonly refused: number;
  /** How often those to renew are looked for. */
  readonly sweep: number;
}

/** The default times, with a deadline and lifetime of one's own. */
export function timing(deadline = 3_000, lifetime = 300_000): Timing {
  return {
    deadline,
    claim: 10_000,
    confirm: 3_000,
    repeat: 50,
    lifetime,
    world: 60_000,
    refused: 5_000,
    // Between 60 % of a lifetime and its end there are eight of them.
    sweep: Math.max(50, Math.floor(lifetime / 20)),
  };
}

/** So many a second, and as many at once. */
export class Rate {
  readonly #perSecond: number;
  #left: number;
  #at: number;

  constructor(perSecond: number, now: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
    this.#at = now;
  }

  /** False: too many. A clock that goes back gives nothing and takes nothing. */
  take(now: number): boolean {
    this.#refill(now);
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }

  /** What has happened already, be it too much: returns for how many milliseconds nothing more should, 0 for none. */
  spend(amount: number, now: number): number {
    this.#refill(now);
    this.#left -= amount;
    return Math.max(0, Math.ceil((-this.#left * 1_000) / this.#perSecond));
  }

  #refill(now: number): void {
    this.#left = Math.min(this.#perSecond, this.#left + (Math.max(0, now - this.#at) * this.#perSecond) / 1_000);
    this.#at = now;
  }
}

/** A {@link Rate} for each agent; agents come from the configuration, so there are not many. */
export class Rates {
  readonly #perSecond: number;
  readonly #rates = new Map<string, Rate>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  take(agent: string, now: number): boolean {
    let rate = this.#rates.get(agent);
    if (rate === undefined) {
      rate = new Rate(this.#perSecond, now);
      this.#rates.set(agent, rate);
    }
    return rate.take(now);
  }
}
