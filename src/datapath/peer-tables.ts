/** Peers of other nodes, in the kernel: see ./peer-port.ts for what is promised. */
import { BpfError, type BpfProgram, type TypedMap } from '../libbpf/index.ts';
import { parseAddress } from '../model/address.ts';
import type { Side } from '../model/conversation.ts';
import { type Clock, monotonicSeconds } from './clock.ts';
import { type ClaimKey, type Verified, VerifiedFlags, type VerifiedKey } from './layouts.gen.ts';
import type { Tables } from './maps.ts';
import type { Claim, DomainNetwork, Party, PeerTables, TagKeys, VerifiedPeer } from './peer-port.ts';
import * as rows from './peer-rows.ts';
import { findReceiver } from './receiver.ts';
import type { SettingsRow } from './settings.ts';

export interface PeerTablesOptions extends rows.PeerNumbering {
  readonly tables: Pick<Tables, 'domains' | 'verified' | 'claims' | 'tag_keys' | 'senders'>;
  readonly settings: SettingsRow;
  readonly clock: Clock;
  readonly findReceiver: BpfProgram | undefined;
}

export class KernelPeerTables implements PeerTables {
  readonly #options: PeerTablesOptions;
  readonly #tables: PeerTablesOptions['tables'];

  constructor(options: PeerTablesOptions) {
    this.#options = options;
    this.#tables = options.tables;
  }

  setDomains(networks: readonly DomainNetwork[]): void {
    const { domains } = this.#tables;
    const wanted = rows.domainRows(networks);
    const before = new Map(
      [...domains.entries()].map(([key, { flags }]) => [
        rows.domainText(key.prefix, key.network.bytes),
        { key, flags },
      ]),
    );
    const fresh = [...wanted].filter(([text, { flags }]) => before.get(text)?.flags !== flags);
    const stale = [...before].filter(([text]) => !wanted.has(text));
    if (fresh.length + stale.length === 0) return;
    domains.setAll(fresh.map(([, { key, flags }]) => [key, { flags }]));
    domains.deleteAll(stale.map(([, { key }]) => key));
    // Who was the world may have to be asked for now, and the other way round.
    this.#options.settings.bumpRevision();
  }

  setTagKeys(keys: TagKeys): void {
    const { keys: wanted, tagWindow, tagEpoch } = rows.tagRows(keys);
    const { settings } = this.#options;
    // What signs is in before it is told of, and what goes away goes after.
    const put = (valid: number) => {
      for (const [index, key] of wanted.entries()) if (key.valid === valid) this.#tables.tag_keys.set(index, key);
    };
    put(1);
    settings.change({ tagWindow, tagEpoch });
    put(0);
  }

  setClock(): void {
    const { clock, settings } = this.#options;
    settings.change({ clockOffset: clock.refresh() });
  }

  verify(peers: readonly VerifiedPeer[]): void {
    const { clock, settings } = this.#options;
    const now = monotonicSeconds();
    clock.refresh();
    const entries: [VerifiedKey, Verified][] = [];
    let turned = false;
    for (const peer of peers) {
      const key = rows.verifiedKey(peer, this.#options);
      if (key === undefined) continue;
      const before = this.#tables.verified.get(key);
      const value = rows.verifiedValue(peer, clock, 0);
      const same = before?.identity === value.identity && before.flags === value.flags;
      // By what was refused no flow was decided.
      turned ||= !same && before !== undefined && before.expires > now && (before.flags & VerifiedFlags.Refused) === 0;
      entries.push([key, same ? { ...value, used: before.used } : value]);
    }
    this.#put(this.#tables.verified, entries);
    // Flows trust what they were decided by until it ends; this has ended before.
    if (turned) settings.bumpRevision();
  }

  forget(peers: readonly VerifiedPeer[]): void {
    const keys = peers.flatMap((peer) => rows.verifiedKey(peer, this.#options) ?? []);
    if (remove(this.#tables.verified, keys) > 0) this.#options.settings.bumpRevision();
  }

  usedAt(peers: readonly VerifiedPeer[]): readonly number[] {
    const { clock } = this.#options;
    clock.refresh();
    return peers.map((peer) => {
      const key = rows.verifiedKey(peer, this.#options);
      const found = key === undefined ? undefined : this.#tables.verified.get(key);
      const { identity, flags } = rows.verifiedValue(peer, clock, 0);
      const same = found?.identity === identity && found.flags === flags;
      return same && found.used !== 0 ? clock.wallOfSeconds(found.used) : 0;
    });
  }

  verified(): readonly VerifiedPeer[] {
    const { clock } = this.#options;
    const now = monotonicSeconds();
    clock.refresh();
    const found: VerifiedPeer[] = [];
    for (const [key, value] of this.#tables.verified.entries()) {
      const peer = value.expires > now ? rows.verifiedPeer(key, value, clock, this.#options) : undefined;
      if (peer !== undefined) found.push(peer);
    }
    return found;
  }

  sweep(): number {
    const { verified, claims } = this.#tables;
    const now = process.hrtime.bigint();
    const seconds = monotonicSeconds();
    const ended = keysWhere(verified, ({ expires }) => expires <= seconds);
    const unclaimed = keysWhere(claims, ({ expires }) => expires <= now);
    return verified.deleteAll(ended) + claims.deleteAll(unclaimed);
  }

  claim(claims: readonly Claim[]): void {
    const { clock } = this.#options;
    clock.refresh();
    const entries = claims.flatMap((claim) => {
      const row = rows.claimRow(claim, clock, this.#options);
      return row === undefined ? [] : [row];
    });
    this.#put(this.#tables.claims, entries);
  }

  unclaim(tokens: readonly Uint8Array[]): void {
    remove(this.#tables.claims, tokens.map(rows.claimKey));
  }

  senderOf({ address, port }: Side, protocol: number): Party | undefined {
    const bytes = parseAddress(address);
    if (bytes === undefined) return undefined;
    const sender = this.#tables.senders.get({ address: { bytes }, port, protocol });
    return sender && this.#party(sender.endpoint, sender.slot);
  }

  listenerAt({ address, port }: Side, protocol: number): Party | undefined {
    const bytes = parseAddress(address);
    if (bytes === undefined) return undefined;
    const { findReceiver: program } = this.#options;
    const found = program && findReceiver(program, { address: { bytes }, port, protocol });
    return found && this.#party(found.endpoint, found.slot);
  }

  #party(number: number, slot: number): Party | undefined {
    const endpoint = this.#options.endpointId(number);
    const identity = this.#options.identityOf(slot);
    return endpoint === undefined || identity === undefined ? undefined : { endpoint, identity };
  }

  /** Deletes what is known of endpoints' peers, and promised to endpoints, where the number is none of these. */
  retainEndpoints(numbers: ReadonlySet<number>): void {
    const { verified, claims } = this.#tables;
    const stale: ClaimKey[] = [];
    for (const [key, { endpoint }] of claims.entries()) {
      if (endpoint !== 0 && !numbers.has(endpoint)) stale.push(key);
    }
    claims.deleteAll(stale);
    verified.deleteAll([...verified.keys()].filter(({ endpoint }) => !numbers.has(endpoint)));
  }

  /** Deletes what senders of these slots were told of their peers: the slots are given up. */
  forgetSenders(slots: ReadonlySet<number>): void {
    const { verified } = this.#tables;
    verified.deleteAll([...verified.keys()].filter(({ local }) => slots.has(local)));
  }

  /** Where there is no room, what has ended makes some. */
  #put<K, V>(table: Table<K, V>, entries: readonly (readonly [K, V])[]): void {
    try {
      write(table, entries);
    } catch (error) {
      if (!(error instanceof BpfError) || error.code !== 'MAP_FULL' || this.sweep() === 0) throw error;
      write(table, entries);
    }
  }
}

interface Table<K, V> {
  set(key: K, value: V): void;
  setAll(entries: Iterable<readonly [K, V]>): number;
  delete(key: K): boolean;
  deleteAll(keys: Iterable<K>): number;
}

/** Up to this many rows are written or deleted one by one: the buffers of a batch cost more than that. */
const FEW = 64;

function write<K, V>(table: Table<K, V>, entries: readonly (readonly [K, V])[]): void {
  if (entries.length > FEW) table.setAll(entries);
  else for (const [key, value] of entries) table.set(key, value);
}

/** Of rows whose values are meant. Other keys are not even read: there may be a hundred thousand, and nobody waits for them. */
function keysWhere<K, V>({ map, key, value }: TypedMap<K, V>, meant: (value: V) => boolean): K[] {
  const found: K[] = [];
  for (const { keys, values, count } of map.batches()) {
    for (let i = 0; i < count; i++) {
      if (meant(value.read(values, i * map.valueBytes))) found.push(key.read(keys, i * map.keySize));
    }
  }
  return found;
}

/** Returns how many were there. */
function remove<K>(table: Table<K, never>, keys: readonly K[]): number {
  return keys.length > FEW ? table.deleteAll(keys) : keys.filter((key) => table.delete(key)).length;
}
