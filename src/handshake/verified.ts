import type { Side } from '../model/conversation.ts';
import type { Context } from './context.ts';
import { entryKey, type Pair, remoteSide, verifiedEntries } from './entries.ts';
import type { VerifiedPeer } from './kernel.ts';
import type { Reason } from './messages.ts';
import type { PolicyAnswer, PolicyQuestion, Step } from './port.ts';
import type { Revocations } from './revocations.ts';

/** What a handshake has left at one end: entries in the kernel, and what is needed to renew or revoke them. */
export interface Verified extends Pair {
  /** Of the source's choice. */
  readonly id: bigint;
  readonly agent: string;
  /** The port this node's policy was asked about. */
  readonly port: number;
  /** Where the first packet was addressed, if that was rewritten; the next agent does not know it. */
  readonly addressed?: Side;
  /** When the handshake began. */
  readonly since: number;
  readonly rule: string;
  lifetime: number;
  /** When the entries were written last, and when they end. */
  renewedAt: number;
  expiresAt: number;
  /** At the destination: the source agrees too. */
  confirmed: boolean;
  /** At the source: Renew has been sent and not been answered. */
  renewing: boolean;
}

/** Which verified peers are meant; what is left out means any. */
export interface VerifiedFilter {
  readonly id?: bigint;
  readonly agent?: string;
  readonly endpoint?: string;
  /** Of either end. */
  readonly identity?: bigint;
  /** Of the other node. */
  readonly address?: string;
}

/** Why what was verified no longer is. */
export interface Revoking {
  readonly reason: Reason | 'by-hand' | 'full';
  readonly rule?: string;
  /** Default `confirm`: the last one there was. */
  readonly step?: Step;
  /** The other end knows: it said so. */
  readonly told?: boolean;
}

/** Revoked in one go when the table is full, because each time costs every flow a decision. */
const EVICTED_AT_ONCE = 1_024;

/**
 * What is verified, at either end. Several handshakes may stand behind one entry of the kernel: for other ports between the
 * same two, or in the other direction. The entry is deleted with the last of them. A later one that both ends agree on
 * takes the place of an earlier one of the same kind.
 */
export class VerifiedTable {
  readonly #context: Context;
  readonly #revocations: Revocations;
  /** In the order they were verified. */
  readonly #byHandshake = new Map<string, Verified>();
  readonly #owners = new Map<string, Set<Verified>>();
  /** What is another than when somebody asked last; those that are gone too. */
  #changed = new Map<string, Verified>();
  #entries = 0;

  constructor(context: Context, revocations: Revocations) {
    this.#context = context;
    this.#revocations = revocations;
  }

  get size(): number {
    return this.#byHandshake.size;
  }

  get empty(): boolean {
    return this.#byHandshake.size === 0 && this.#owners.size === 0 && this.#entries === 0;
  }

  values(): IterableIterator<Verified> {
    return this.#byHandshake.values();
  }

  get(end: Pair['end'], agent: string, id: bigint): Verified | undefined {
    return this.#byHandshake.get(handshakeKey(end, agent, id));
  }

  /** What is verified between a container and who is at the other end of a conversation that it opens. */
  reaching(endpoint: string, local: bigint, conversation: Pair['conversation']): Verified | undefined {
    const now = this.#context.now();
    const pair = { end: 'source', endpoint, local, peer: 0n, conversation } as const;
    for (const direct of [true, false]) {
      const [entry] = verifiedEntries({ ...pair, direct }, 0);
      const owners = entry === undefined ? undefined : this.#owners.get(entryKey(entry));
      for (const one of owners ?? []) if (one.confirmed && one.expiresAt > now) return one;
    }
    return undefined;
  }

  /**
   * What has come, become another or gone since the last time, so that keeping a store up to date costs as much as changes
   * and not as much as there is. To be taken now and then.
   */
  takeChanges(): { readonly present: readonly Verified[]; readonly gone: readonly Verified[] } {
    const changed = this.#changed;
    this.#changed = new Map();
    const present: Verified[] = [];
    const gone: Verified[] = [];
    for (const [key, one] of changed) (this.#byHandshake.get(key) === one ? present : gone).push(one);
    return { present, gone };
  }

  /** Takes it up and writes its entries. False: they cannot be written. */
  add(one: Verified): boolean {
    this.adopt(one);
    if (!this.#context.kernel.verify(entriesOf(one))) {
      this.forget([one]);
      return false;
    }
    if (this.#entries > this.#context.limits.entries) this.#evict();
    return true;
  }

  /** Takes up what an earlier agent has verified; its entries are in the kernel, or they are not. */
  adopt(one: Verified): void {
    this.#own(one, entriesOf(one));
    this.#byHandshake.set(handshakeKey(one.end, one.agent, one.id), one);
    if (one.confirmed) this.confirm(one);
  }

  #own(one: Verified, entries: readonly VerifiedPeer[]): void {
    for (const entry of entries) {
      const key = entryKey(entry);
      // The entry names one identity; whoever stood there before is not there any more.
      for (const other of [...(this.#owners.get(key) ?? [])]) if (other.peer !== one.peer) this.#remove(other);
      const owners = this.#owners.get(key);
      if (owners === undefined) this.#owners.set(key, new Set([one]));
      else owners.add(one);
    }
    this.#entries += entries.length;
  }

  /** Both ends agree: it takes the place of others like it. */
  confirm(one: Verified): void {
    const before = entriesOf(one).length;
    one.confirmed = true;
    this.#note(one);
    const entries = entriesOf(one);
    const [known] = entries;
    if (entries.length > before) {
      this.#own(one, entries.slice(before));
      this.#context.kernel.verify(entries.slice(before));
    }
    for (const other of [...(this.#owners.get(entryKey(known!)) ?? [])]) {
      const alike = other.end === one.end && other.direct === one.direct && other.agent === one.agent;
      if (other !== one && other.confirmed && alike) this.#remove(other);
    }
  }

  /** Its entries last that much longer. */
  extend(one: Verified, lifetime: number): void {
    one.lifetime = lifetime;
    one.renewedAt = this.#context.now();
    one.expiresAt = one.renewedAt + lifetime;
    one.renewing = false;
    this.#note(one);
    this.#context.kernel.verify(entriesOf(one));
  }

  /** Deletes the entries and tells the other end, and who asks for records. */
  revoke(ones: readonly Verified[], revoking: Revoking): void {
    this.forget(ones);
    for (const one of ones) {
      if (revoking.told !== true) this.#revocations.send(one, wireReason(revoking.reason));
      this.#context.record({
        ...recordOf(one),
        result: one.confirmed ? 'revoked' : 'timeout',
        step: revoking.step ?? 'confirm',
        reason: revoking.reason,
        rule: revoking.rule ?? '',
      });
    }
  }

  /** Deletes the entries and says nothing. */
  forget(ones: readonly Verified[]): void {
    if (ones.length === 0) return;
    for (const one of ones) this.#remove(one);
    const entries = ones.flatMap(entriesOf).filter((entry) => !this.#owners.has(entryKey(entry)));
    if (entries.length > 0) this.#context.kernel.forget(entries);
  }

  find(filter: VerifiedFilter): Verified[] {
    return [...this.#byHandshake.values()].filter(
      (one) =>
        (filter.id === undefined || filter.id === one.id) &&
        (filter.agent === undefined || filter.agent === one.agent) &&
        (filter.endpoint === undefined || filter.endpoint === one.endpoint) &&
        (filter.identity === undefined || filter.identity === one.local || filter.identity === one.peer) &&
        (filter.address === undefined || filter.address === remoteSide(one).address),
    );
  }

  /**
   * Those whose time is over end with their entries. Where it has been over for long, it is the clock that was set: the
   * kernel has one of its own, in which their time is not over, and nobody would answer for them any more.
   */
  expire(): void {
    const now = this.#context.now();
    const late = now - 2 * this.#context.timing.sweep;
    const living: Verified[] = [];
    for (const one of this.#byHandshake.values()) {
      if (one.expiresAt <= late) living.push(one);
      else if (one.expiresAt <= now) this.#remove(one);
    }
    this.revoke(living, { reason: 'timeout', step: 'renew' });
  }

  decide(one: Verified): PolicyAnswer | undefined {
    return this.#context.policy.decide(questionOf(one, one.port, one.addressed));
  }

  #remove(one: Verified): void {
    const handshake = handshakeKey(one.end, one.agent, one.id);
    if (this.#byHandshake.get(handshake) !== one) return;
    this.#byHandshake.delete(handshake);
    this.#note(one);
    for (const entry of entriesOf(one)) {
      this.#entries -= 1;
      const key = entryKey(entry);
      const owners = this.#owners.get(key);
      owners?.delete(one);
      if (owners?.size === 0) this.#owners.delete(key);
    }
  }

  /** What is not confirmed is nobody else's business. */
  #note(one: Verified): void {
    if (one.confirmed) this.#changed.set(handshakeKey(one.end, one.agent, one.id), one);
  }

  /** Whoever has most makes room: no agent pushes out what others have verified. */
  #evict(): void {
    const counts = new Map<string, number>();
    for (const { agent } of this.#byHandshake.values()) counts.set(agent, (counts.get(agent) ?? 0) + 1);
    const most = Math.max(...counts.values());
    const oldest: Verified[] = [];
    for (const one of this.#byHandshake.values()) {
      // The last one is what room is made for.
      if (oldest.length === Math.min(EVICTED_AT_ONCE, most - 1)) break;
      if (counts.get(one.agent) === most) oldest.push(one);
    }
    for (const _ of oldest) this.#context.counters.limit('entries');
    this.revoke(oldest, { reason: 'full' });
  }
}

/**
 * Before the source agrees the destination has only the entry by which it is reached: what it opened by the other would be
 * dropped by a source that does not know of it yet, while now it is held and asked for.
 */
export function entriesOf(one: Verified): readonly VerifiedPeer[] {
  const entries = verifiedEntries(one, one.expiresAt);
  return one.end === 'destination' && !one.confirmed ? entries.slice(0, 1) : entries;
}

/** What this node's policy is asked about a pair. */
export function questionOf(pair: Pair, port: number, addressed?: Side): PolicyQuestion {
  return {
    subject: pair.local,
    direction: pair.end === 'source' ? 'egress' : 'ingress',
    peer: pair.peer,
    address: remoteSide(pair).address,
    ...(addressed === undefined ? {} : { written: addressed.address }),
    protocol: pair.conversation.protocol,
    port,
  };
}

/** The parts of a record that do not depend on how it ended. */
export function recordOf(one: Verified) {
  const { id, end, agent, conversation, since, local, peer } = one;
  const [source, destination] = end === 'source' ? [local, peer] : [peer, local];
  return { id, end, agent, conversation, since, source, destination };
}

function wireReason(reason: Revoking['reason']): Reason {
  if (reason === 'by-hand') return 'other';
  return reason === 'full' ? 'busy' : reason;
}

function handshakeKey(end: Pair['end'], agent: string, id: bigint): string {
  return `${end} ${id.toString(16)} ${agent}`;
}
