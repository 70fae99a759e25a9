import { randomBytes } from 'node:crypto';
import { Announcer } from './announcer.ts';
import type { Credentials } from './certificate.ts';
import type { CloseReason } from './connection.ts';
import { Directory } from './directory.ts';
import type { UnderWay } from './ending.ts';
import { Engine } from './engine.ts';
import type { ArrivedToken } from './kernel.ts';
import { LIMITS, Rates, roomFor, timing } from './limits.ts';
import { MESH_TIMING, Mesh, type MeshTiming, type PeerStatus } from './mesh.ts';
import type { Message } from './messages.ts';
import type { RefusedConnection } from './notices.ts';
import type { SavedChanges, SavedHandshake } from './persistence.ts';
import type {
  AnnouncedIdentity,
  HandshakeRecord,
  HeldFlow,
  HeldFlows,
  KernelPeers,
  LocalNode,
  PolicyOracle,
  Result,
} from './port.ts';
import type { AgentSettings } from './routes.ts';
import { Counters, type HandshakeStatistics } from './statistics.ts';
import type { Verified, VerifiedFilter } from './verified.ts';

export type { Credentials } from './certificate.ts';
export type { UnderWay } from './ending.ts';
export { HandshakeError, ProtocolError } from './errors.ts';
export type { SavedChanges, SavedHandshake, SavedKey } from './persistence.ts';
export { Remembered, type SavedAnnouncement, saveAnnouncement } from './remembered.ts';
export type { AgentSettings } from './routes.ts';
export type { HandshakeStatistics } from './statistics.ts';
export type { Verified, VerifiedFilter } from './verified.ts';

export interface HandshakeOptions {
  /** This node, as its certificate names it. */
  readonly name: string;
  readonly domain: string;
  /** `host:port`; left out: nobody is let in. */
  readonly listen?: string;
  /** PEM, read at the start and by `reload`. */
  readonly credentials: () => Credentials;
  readonly agents: readonly AgentSettings[];
  readonly node: LocalNode;
  readonly policy: PolicyOracle;
  readonly kernel: KernelPeers;
  readonly held: HeldFlows;
  /** Milliseconds. Default 3,000. */
  readonly deadline?: number;
  /** Milliseconds. Default 300,000. */
  readonly lifetime?: number;
  /** Entries the kernel's table of verified peers has room for. Default 131,072. */
  readonly entries?: number;
  /** Who is refused by policy is not told. Default false. */
  readonly silent?: boolean;
  readonly now: () => number;
  readonly onRecord: (record: HandshakeRecord) => void;
  readonly onDuration?: (end: 'source' | 'destination', result: Result, ms: number) => void;
  /** `identities()` is another; for many changes in one turn it is called once. */
  readonly onIdentities?: () => void;
  /** It cannot listen, or the kernel cannot be written. */
  readonly onFault?: (error: Error) => void;
  /** Connections that failed or broke, and why; `agent` is undefined for strangers, of whom few are told. */
  readonly onTrouble?: (agent: string | undefined, error: Error) => void;
  readonly signal?: AbortSignal;
  /** For tests. */
  readonly meshTiming?: MeshTiming;
  /** For tests: milliseconds until what runs here is announced, where nobody says that it is known. */
  readonly announcedAfter?: number;
}

/** A peer agent, with what it has announced. */
export interface AgentStatus extends PeerStatus {
  /** By its Hello; there while it is connected. */
  readonly node?: string;
  /** That it has announced and may speak for. */
  readonly identities: number;
  readonly cidrs: readonly string[];
}

/** Handshakes with the agents of other nodes. */
export interface Handshake {
  /** Packets of a conversation wait. */
  heldFlow(flow: HeldFlow): void;
  /** The hold has let go of them by itself. */
  dropped(flow: number): void;
  tokenArrived(arrival: ArrivedToken): void;
  /** A good tag named somebody unknown: the agents are asked who that is. */
  stranger(identity: bigint): void;
  /** The kernel has refused a connection on its tag: the node it came from is told. */
  refusedInKernel(refused: RefusedConnection): void;
  /** The tables in the kernel are others. One call for many changes. */
  policyChanged(): void;
  /**
   * What runs here is another. Not to be called before all that runs is known: with the first call, or ten seconds after the start,
   * the others are told, and handshakes begin.
   */
  endpointsChanged(): void;
  /** Who runs on other nodes. */
  identities(): readonly AnnouncedIdentity[];
  /** The same by agent, of those that have been heard since the start; another map for an agent when it has changed. */
  announced(): ReadonlyMap<string, ReadonlyMap<bigint, AnnouncedIdentity>>;
  /** The agent that speaks for an address. */
  agentAt(address: string): string | undefined;
  agents(): readonly AgentStatus[];
  /**
   * With these agents it has to do from now on. What the others have vouched for is revoked.
   * @throws HandshakeError SETTINGS, and goes on with the former ones
   */
  setAgents(agents: readonly AgentSettings[]): void;
  underWay(): readonly UnderWay[];
  verified(filter?: VerifiedFilter): readonly Verified[];
  /** Returns how many handshakes. */
  revoke(filter: VerifiedFilter): number;
  /** What is verified, for the agent's store. */
  export(): readonly SavedHandshake[];
  /** What of that is another since the last call; the first tells all. To be called now and then. */
  takeChanges(): SavedChanges;
  /** Returns how many of them still stand. To be called before anything else. */
  restore(values: readonly unknown[]): number;
  /** Credentials are read again. @throws HandshakeError CREDENTIALS, and goes on with the former ones */
  reload(): void;
  statistics(): HandshakeStatistics & {
    readonly closes: ReadonlyMap<CloseReason, number>;
    readonly turnedAway: number;
    readonly notAnnounced: number;
  };
  /** Where it listens, once it does. */
  readonly listening: Promise<{ readonly address: string; readonly port: number } | undefined>;
  /** Idempotent. What is verified stays so. */
  close(): Promise<void>;
}

/**
 * So long after the start what runs here is announced at the latest, milliseconds. What is not in a first announcement is gone
 * for the others, who revoke what they have verified of it.
 */
const ANNOUNCED_AFTER = 10_000;

/** Queries for one identity a second, and all of them to one agent. */
const QUERIES_PER_SECOND = 50;

/**
 * Begins to listen and to dial.
 * @throws HandshakeError CREDENTIALS or SETTINGS
 */
export function openHandshake(options: HandshakeOptions): Handshake {
  const { name, domain, node, now, listen } = options;
  let { agents } = options;
  const ending = new AbortController();
  const counters = new Counters();
  const directory = new Directory(domain, agents, counters);
  const announcer = new Announcer(() => node.identities());
  const queries = new Rates(QUERIES_PER_SECOND);
  /** What runs here is known, and has been announced. */
  let begun = false;

  const mesh = new Mesh({
    domain,
    name,
    instance: randomBytes(8).readBigUInt64BE(),
    ...(listen === undefined ? {} : { listen }),
    agents,
    credentials: options.credentials,
    counters,
    now,
    random: Math.random,
    timing: options.meshTiming ?? MESH_TIMING,
    onConnection: (connection) => {
      if (begun) for (const message of announcer.complete()) connection.send(message, true);
    },
    onRoute: (agent) => {
      if (begun) engine.connected(agent);
    },
    onMessage: (connection, message) => {
      const { agent, instance = 0n } = connection;
      if (message.kind === 'announce') directory.announce(agent, connection, instance, message);
      else if (message.kind === 'query') answer(agent, message.identity);
      else engine.message(agent, message);
    },
    onTrouble: (agent, error) => options.onTrouble?.(agent, error),
  });

  const begin = (): void => {
    if (begun || ending.signal.aborted) return;
    clearTimeout(patience);
    announcer.changes();
    begun = true;
    for (const message of announcer.complete()) mesh.broadcast(message);
    for (const { name: agent } of agents) if (mesh.connected(agent)) engine.connected(agent);
  };
  const patience = setTimeout(begin, options.announcedAfter ?? ANNOUNCED_AFTER);

  const announce = (): void => {
    if (begun) for (const message of announcer.changes()) mesh.broadcast(message);
  };

  const answer = (agent: string, identity: bigint): void => {
    if (!begun || !queries.take(agent, now())) return;
    if (!announcer.has(identity)) announce();
    for (const message of announcer.answer(identity)) mesh.send(agent, message);
  };

  const engine = new Engine(
    {
      name,
      node,
      policy: options.policy,
      kernel: options.kernel,
      held: options.held,
      agents: directory,
      post: {
        connected: (agent) => begun && mesh.connected(agent),
        absent: (agent) => mesh.absent(agent),
        addressesOf: (agent) => mesh.addressesOf(agent),
        send: (agent: string, message: Message) => begun && mesh.send(agent, message),
        announce: (identity) => {
          if (!announcer.has(identity)) announce();
        },
      },
      now,
      timer: (ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
      randomBytes,
      timing: timing(options.deadline, options.lifetime),
      limits: { ...LIMITS, ...(options.entries === undefined ? {} : roomFor(options.entries)) },
      silent: options.silent ?? false,
      onRecord: options.onRecord,
      onFault: (error) => options.onFault?.(error),
      onDuration: options.onDuration ?? (() => {}),
    },
    counters,
  );

  const changed = new Set<string>();
  directory.onChange((agent) => {
    if (changed.size === 0) setImmediate(tellChanged);
    changed.add(agent);
    // Who is no longer announced must not be relied on for one more message.
    engine.announced(agent);
  });
  const tellChanged = (): void => {
    changed.clear();
    if (!ending.signal.aborted) options.onIdentities?.();
  };

  const listening = mesh.open(ending.signal).then(
    () => (mesh.address === undefined ? undefined : { address: mesh.address.address, port: mesh.address.port }),
    (error: unknown) => {
      options.onFault?.(error instanceof Error ? error : new Error(String(error)));
      return undefined;
    },
  );

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      ending.abort();
      clearTimeout(patience);
      engine.close();
      await listening;
      await mesh.close();
    })();
    return closing;
  };
  if (options.signal?.aborted === true) void close();
  options.signal?.addEventListener('abort', () => void close(), { once: true });

  return {
    heldFlow: (flow) => engine.heldFlow(flow),
    dropped: (flow) => engine.dropped(flow),
    tokenArrived: (arrival) => engine.tokenArrived(arrival),
    stranger: (identity) => {
      if (!queries.take('', now())) return;
      for (const { name: agent } of agents) mesh.send(agent, { kind: 'query', identity });
    },
    refusedInKernel: (refused) => engine.refusedInKernel(refused),
    policyChanged: () => engine.policyChanged(),
    endpointsChanged: () => {
      if (begun) announce();
      else begin();
      engine.endpointsChanged();
    },
    identities: () => directory.identities(),
    announced: () => directory.announced(),
    agentAt: (address) => directory.agentAt(address),
    agents: () => {
      const sizes = directory.sizes();
      const cidrs = new Map(agents.map((agent) => [agent.name, agent.cidrs]));
      return mesh.peers().map((peer) => ({
        ...peer,
        ...(peer.state === 'connected' ? { node: peer.name } : {}),
        identities: sizes.get(peer.name) ?? 0,
        cidrs: cidrs.get(peer.name) ?? [],
      }));
    },
    setAgents: (wanted) => {
      // Each looks at all of it before it takes any of it; what one refuses the other has not taken.
      mesh.check(wanted);
      directory.setAgents(wanted);
      mesh.setAgents(wanted);
      agents = wanted;
    },
    underWay: () => engine.underWay(),
    verified: (filter) => engine.verified(filter),
    revoke: (filter) => engine.revoke(filter),
    export: () => engine.export(),
    takeChanges: () => engine.takeChanges(),
    restore: (values) => engine.restore(values),
    reload: () => mesh.reload(),
    statistics: () => ({
      ...engine.statistics(),
      closes: new Map(mesh.closes),
      turnedAway: mesh.turnedAway,
      notAnnounced: announcer.leftOut,
    }),
    listening,
    close,
  };
}
