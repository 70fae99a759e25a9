import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Datapath, KernelRecord, VerdictRecord } from '../../datapath/port.ts';
import type { Notice } from '../../events/journal.ts';
import type { Handshake } from '../../handshake/index.ts';
import type { HeldFlow } from '../../hold/port.ts';
import type { Store } from '../../store/index.ts';
import type { Credentials } from '../../trust/credentials.ts';
import { watchTagKeys } from '../../trust/tag-key-file.ts';
import type { TagKeysNow } from '../../trust/tag-keys.ts';
import type { Config } from '../config.ts';
import { type Enforcement, NOTHING_WANTED, type Wanted } from '../enforcement.ts';
import { identityRoom } from '../identity-room.ts';
import { EndpointBook } from '../local-node.ts';
import type { Measurements } from '../metrics/registry.ts';
import { TablesOracle } from '../policy-oracle.ts';
import { Chronicle } from './chronicle.ts';
import { domainsOf, type Neighbours } from './domains.ts';
import type { Elsewhere } from './elsewhere.ts';
import { Outlook } from './outlook.ts';
import { orphans, storedKey } from './vouchers.ts';
import type { WaitingRoom } from './waiting-room.ts';

type Machinery = typeof import('./machinery.ts');

export interface BetweenParts {
  readonly config: Config;
  readonly node: string;
  readonly datapath: Datapath;
  readonly enforcement: Enforcement;
  readonly measurements: Measurements;
  readonly logger: Logger;
  readonly now: () => number;
  readonly note: (notice: Notice) => void;
  /** Who runs elsewhere has changed. */
  readonly onElsewhere: () => void;
}

/** The wall clock is told to the kernel this often; what it has drifted by in between is nothing to a tag's window. */
const CLOCK_MS = 10_000;
const SWEEP_MS = 30_000;
/** Often, so that there is little to do each time. */
const SAVE_MS = 200;
/** Records of one container of this node, or of one other node: a fault is seen, a flood pushes nobody else's out soon. */
const RECORDS_OF_ONE = { burst: 500, perSecond: 5 };
/** Firewalls are reloaded, and take the rule with them that leads packets into the queue. */
const RULE_MS = 5_000;

/**
 * This node among others: tags and their keys, packets that wait, handshakes with other agents, and what is kept of
 * them. Whatever of it does not work (no keys, no certificate, no queue) is told and leaves the rest working; what
 * would have needed it does not pass.
 */
export class BetweenNodes {
  readonly book: EndpointBook;
  readonly #parts: BetweenParts;
  readonly #chronicle: Chronicle;
  readonly #closers: (() => void | Promise<void>)[] = [];
  #neighbours: Neighbours;
  #room: WaitingRoom | undefined;
  #handshake: Handshake | undefined;
  #store: Store | undefined;
  #elsewhere: Elsewhere | undefined;
  /** What an earlier agent left in the kernel and in no store is gone. */
  #disowned = false;
  #applied: Wanted = NOTHING_WANTED;
  /** All that runs here has been known once. */
  #whole = false;
  #tags = false;
  #served = 0;
  #keys: TagKeysNow = { keys: [] };
  /** What does not work, and why. */
  readonly #faults = new Map<string, string>();

  constructor(parts: BetweenParts) {
    this.#parts = parts;
    this.#neighbours = { prefixes: parts.config.network.prefixes, nodes: [], agents: parts.config.handshake.agents };
    this.book = new EndpointBook({
      publicAddresses: parts.config.network.publicAddresses,
      senderOf: (side, protocol) => parts.datapath.peers.senderOf(side, protocol),
      listenerAt: (side, protocol) => parts.datapath.peers.listenerAt(side, protocol),
    });
    this.#chronicle = new Chronicle({
      ...parts,
      book: this.book,
      store: () => this.#store,
      agentAt: (address) => this.#handshake?.agentAt(address),
      asks: () => this.#handshake !== undefined,
    });
  }

  /** Other agents are configured, or heard. */
  get shakesHands(): boolean {
    return this.#parts.config.handshake.listen !== 'off' || this.#neighbours.agents.length > 0;
  }

  get handshake(): Handshake | undefined {
    return this.#handshake;
  }

  /** Counts conversations that wait for this agent, here or at the other node. */
  get served(): number {
    return this.#served;
  }

  get store(): Store | undefined {
    return this.#store;
  }

  get room(): WaitingRoom | undefined {
    return this.#room;
  }

  /** Who runs elsewhere, as their agents announce it. */
  elsewhere(): Wanted['elsewhere'] {
    const announced = this.#handshake?.announced() ?? new Map();
    const { identities = [], beyond = 0 } = this.#elsewhere?.known(announced) ?? {};
    if (beyond === 0) this.#works('announcements');
    else this.#faults.set('announcements', `no room for ${beyond} identities: raise datapath.sizes.subjects`);
    return identities;
  }

  /** Begins. What the kernel is told here, it is told before the first round. */
  async start(): Promise<void> {
    const { datapath } = this.#parts;
    datapath.peers.setClock();
    this.#every(CLOCK_MS, () => datapath.peers.setClock());
    this.#every(SWEEP_MS, () => datapath.peers.sweep());
    this.#followTagKeys();
    const machinery = this.shakesHands ? await import('./machinery.ts') : undefined;
    if (machinery !== undefined) {
      this.#openStore(machinery);
      await this.#openRoom(machinery);
    }
    if (machinery !== undefined) this.#followCredentials(machinery);
    this.#setDomains();
    this.#tellKernel();
  }

  /**
   * Other nodes have come, gone or moved. What a node that is gone has vouched for is revoked. A node that was not to shake hands
   * when it started does not begin to: `handshake.listen`.
   * @throws HandshakeError SETTINGS, and goes on with the former ones
   */
  setNeighbours(neighbours: Neighbours): void {
    if (this.#handshake !== undefined) this.#handshake.setAgents(neighbours.agents);
    this.#elsewhere?.setAgents(neighbours.agents);
    this.#neighbours = neighbours;
    this.#setDomains();
    this.#parts.onElsewhere();
  }

  #setDomains(): void {
    const { config, datapath } = this.#parts;
    // Where nobody can hold, what would have to wait is dropped; or goes on as to the world, where that is wanted.
    const hold = this.#room !== undefined || !config.hold.open;
    datapath.peers.setDomains(domainsOf(this.#neighbours, hold));
  }

  /** A round has ended: what is applied now is what handshakes are judged by. */
  applied(wanted: Wanted): void {
    const before = this.#applied;
    this.#applied = wanted;
    const differ = (...what: (keyof Wanted)[]): boolean => what.some((one) => wanted[one] !== before[one]);
    const moved = differ('endpoints', 'frontends', 'complete');
    if (moved) this.book.update(wanted.endpoints, wanted.frontends);
    // Until all are known, one that is missing may still be there.
    this.#whole ||= moved && wanted.complete;
    if (moved && wanted.complete) this.#tellEndpoints();
    if (moved || differ('policies', 'elsewhere', 'nodes')) this.#handshake?.policyChanged();
  }

  #tellEndpoints(): void {
    this.#disown();
    this.#handshake?.endpointsChanged();
  }

  /** Once, when the kernel's entries can be read: by the endpoints of an earlier agent. */
  #disown(): void {
    if (this.#disowned || this.#handshake === undefined) return;
    this.#disowned = true;
    const { peers } = this.#parts.datapath;
    peers.forget(orphans(peers.verified(), this.#handshake.verified()));
  }

  /** How all of it stands now. */
  get outlook(): Outlook {
    return new Outlook({
      room: this.#room,
      handshake: this.#handshake,
      store: this.#store,
      keys: this.#keys,
      holdsOpen: this.#parts.config.hold.open,
      faults: this.#faults,
      missing: this.#parts.datapath.missing,
    });
  }

  receive(records: readonly KernelRecord[]): void {
    for (const record of records) {
      if (record.kind === 'claim') {
        this.#served += 1;
        this.#handshake?.tokenArrived(record);
      } else if (record.kind === 'stranger') this.#handshake?.stranger(record.identity);
      else if (record.kind === 'verdict') this.#judged(record);
    }
  }

  /** Stops; what is verified stays so. The rule that leads packets into the queue goes with what waits there. */
  async close(): Promise<void> {
    this.#save();
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  #every(milliseconds: number, work: () => void): void {
    const timer = setInterval(work, milliseconds);
    this.#closers.push(() => clearInterval(timer));
  }

  #tellKernel(): void {
    const { config, datapath } = this.#parts;
    const { mark, rate, open } = config.hold;
    datapath.setBetween({
      tags: this.#tags,
      // Without anybody to ask nothing waits.
      holdMark: this.#room === undefined || this.#handshake === undefined ? 0 : mark,
      holdRate: rate,
      holdOpen: open,
      refusal: config.network.refusal,
    });
  }

  #followTagKeys(): void {
    const { config, datapath } = this.#parts;
    const { keys: file, window } = config.tags;
    if (file === 'off') return;
    const watch = watchTagKeys(
      file,
      (keys) => {
        this.#keys = keys;
        this.#works('tags');
        datapath.peers.setTagKeys({ ...keys, window: window / 1000 });
        const tags = keys.keys.length > 0;
        if (tags === this.#tags) return;
        this.#tags = tags;
        this.#tellKernel();
      },
      (error) => {
        // Who has no key file does not tag; who had one does not lose its keys by that.
        if (error.code === 'MISSING' && !this.#tags) return;
        this.#fault('tags', error);
      },
    );
    this.#closers.push(() => watch.close());
  }

  #openStore({ openStore, Elsewhere }: Machinery): void {
    const { config, now } = this.#parts;
    const { keep, most } = config.handshake.records;
    const store = openStore(join(config.state.directory, 'records.sqlite'), {
      keepMs: keep,
      most,
      now,
      share: RECORDS_OF_ONE,
      onError: (error) => this.#fault('records', error),
    });
    this.#store = store;
    const { announced } = identityRoom(config.datapath.sizes.subjects);
    this.#elsewhere = new Elsewhere(config.domain, this.#neighbours.agents, announced, store.verified.load());
    this.#closers.push(() => store.close());
  }

  async #openRoom({ openWaitingRoom }: Machinery): Promise<void> {
    const { config, datapath, now } = this.#parts;
    try {
      this.#room = await openWaitingRoom({
        settings: config.hold,
        taken: datapath.taken,
        now,
        endpointOf: (address) => this.book.endpointOf(address),
        onFlow: (flow) => this.#held(flow),
        onDropped: (flow, reason) => {
          this.#handshake?.dropped(flow.id);
          this.#chronicle.dropped(flow, reason);
        },
        onFault: (error) => this.#fault('hold', error),
      });
      this.#closers.push(() => this.#room?.close());
      this.#every(RULE_MS, () => void this.#room?.keepRule());
    } catch (error) {
      this.#fault('hold', error instanceof Error ? error : new Error(String(error)));
    }
  }

  #held(flow: HeldFlow): void {
    this.#served += 1;
    if (this.#handshake === undefined) this.#room?.hold.drop(flow.id, 'unreachable');
    else this.#handshake.heldFlow(flow);
  }

  #followCredentials(machinery: Machinery): void {
    const { config, node } = this.#parts;
    const { certificate, key, authority } = config.handshake;
    let current: Credentials | undefined;
    const watch = machinery.watchCredentials(
      { certificate, key, authority },
      { domain: config.domain, node },
      (credentials) => {
        current = credentials;
        this.#works('certificate');
        if (this.#handshake === undefined) this.#openHandshake(machinery, () => current ?? credentials);
        else this.#handshake.reload();
      },
      (error) => this.#fault('certificate', error),
    );
    this.#closers.push(() => watch.close());
  }

  #openHandshake(machinery: Machinery, credentials: () => Credentials): void {
    const { config, node, datapath, now, measurements, onElsewhere } = this.#parts;
    const { listen, deadline, lifetime, silent } = config.handshake;
    const handshake = machinery.openHandshake({
      name: node,
      domain: config.domain,
      ...(listen === 'off' ? {} : { listen }),
      credentials,
      agents: this.#neighbours.agents,
      node: this.book,
      policy: new TablesOracle({
        tables: () => datapath.currentTables(),
        slotOf: (identity) => datapath.slotOf(identity),
        subjectsOf: (identity) => this.book.subjectsOf(identity),
      }),
      kernel: datapath.peers,
      held: {
        sendToken: (flow, token) => this.#room?.hold.sendToken(flow, token) ?? false,
        release: (flow) => this.#room?.hold.release(flow) ?? false,
        drop: (flow, reason) => this.#room?.hold.drop(flow, reason) ?? false,
      },
      deadline,
      lifetime,
      silent,
      entries: config.datapath.sizes.verified,
      now,
      onRecord: (record) => this.#chronicle.add(record),
      onDuration: (end, result, ms) => {
        if (end === 'source' && result === 'verified') measurements.handshakeDuration.observe(ms / 1000);
      },
      onIdentities: onElsewhere,
      onFault: (error) => this.#fault('handshake', error),
    });
    this.#handshake = handshake;
    this.#restore(machinery, handshake);
    this.#every(SAVE_MS, () => this.#save());
    this.#closers.push(() => handshake.close());
    this.#tellKernel();
    // A certificate may come when all that runs here has long been known.
    if (this.#whole) this.#tellEndpoints();
    onElsewhere();
  }

  /** What a new agent will need to renew and revoke what this one has verified. */
  #save(): void {
    if (this.#handshake === undefined) return;
    const { saved, gone } = this.#handshake.takeChanges();
    this.#store?.verified.forget(gone.map(storedKey));
    this.#store?.verified.save(saved.map((value) => [storedKey(value), value]));
    const news = this.#elsewhere?.takeChanges(this.#handshake.announced());
    if (news === undefined) return;
    this.#store?.verified.forget(news.gone);
    this.#store?.verified.save(news.saved);
  }

  #restore({ isAnnouncement }: Machinery, handshake: Handshake): void {
    if (this.#store === undefined) return;
    const stored = [...this.#store.verified.load()];
    const announcements = stored.filter(([key]) => isAnnouncement(key));
    handshake.restore(stored.filter(([key]) => !isAnnouncement(key)).map(([, value]) => value));
    const standing = handshake.takeChanges().saved.map((value) => [storedKey(value), value] as const);
    // What no longer stands goes; from now on only changes are told.
    this.#store.verified.replace([...announcements, ...standing]);
  }

  /** Where the connection came from, its refusal shall be on record too. */
  #judged(record: VerdictRecord): void {
    const refused = this.#chronicle.judged(record);
    if (refused !== undefined) this.#handshake?.refusedInKernel(refused);
  }

  #works(subject: string): void {
    this.#faults.delete(subject);
  }

  #fault(subject: string, error: Error): void {
    this.#faults.set(subject, error.message);
    this.#parts.note({ type: 'agent', severity: 'error', action: 'fails', subject, message: error.message });
  }
}
