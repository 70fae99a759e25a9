import type { ProtocolErrorCode } from './errors.ts';
import type { Result, Step } from './port.ts';

/** Messages that change nothing: nobody need be wrong for them to come, but many are worth a look. */
export type IgnoredMessage =
  | 'unknown' // of no handshake that is known: late, or of an earlier life of this agent
  | 'duplicate' // what it says has been said
  | 'reuse' // a request with the id of another
  | 'unsolicited' // answers nothing that was asked
  | 'foreign' // about a handshake of another agent, or an identity that is not the sender's
  | 'notice' // of a connection refused, which is not ours or too many
  | 'announcement' // older than what is known
  | 'token' // no claim is known for it
  | 'elsewhere'; // a token that came from where its agent's containers cannot be

/** Counts since the start. */
export interface HandshakeStatistics {
  readonly results: ReadonlyMap<`${'source' | 'destination'} ${Result} ${Step}`, number>;
  readonly ignored: ReadonlyMap<IgnoredMessage, number>;
  readonly protocolErrors: ReadonlyMap<ProtocolErrorCode, number>;
  /** Refused or dropped because a bound was reached, by bound. */
  readonly limited: ReadonlyMap<Limited, number>;
  readonly underWay: { readonly source: number; readonly destination: number };
  /** Handshakes, of both ends, whose entries have not ended. */
  readonly verified: number;
}

export type Limited =
  | 'source'
  | 'destination'
  | 'agent'
  | 'rate'
  | 'entries'
  | 'outcomes'
  | 'notices'
  | 'revocations'
  | 'identities'
  | 'kernel'; // the kernel took no more

export class Counters {
  readonly results = new Map<`${'source' | 'destination'} ${Result} ${Step}`, number>();
  readonly ignored = new Map<IgnoredMessage, number>();
  readonly protocolErrors = new Map<ProtocolErrorCode, number>();
  readonly limited = new Map<Limited, number>();

  ignore(what: IgnoredMessage): void {
    add(this.ignored, what);
  }

  limit(what: Limited): void {
    add(this.limited, what);
  }

  protocolError(code: ProtocolErrorCode): void {
    add(this.protocolErrors, code);
  }

  result(end: 'source' | 'destination', result: Result, step: Step): void {
    add(this.results, `${end} ${result} ${step}` as const);
  }
}

function add<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
