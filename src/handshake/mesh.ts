import { constants } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { agentNode, type Credentials, type Identification, identify, stillAccepted, validAt } from './certificate.ts';
import { type CloseReason, CONNECTION_LIMITS, Connection, type ConnectionLimits, VERSION } from './connection.ts';
import { Dialler, hostAndPort } from './dialler.ts';
import { Doorway, keyOf } from './doorway.ts';
import { HandshakeError, ProtocolError } from './errors.ts';
import { Rate } from './limits.ts';
import type { Hello, Message } from './messages.ts';
import type { AgentSettings } from './routes.ts';
import { type Standing, Standings } from './standing.ts';
import type { Counters } from './statistics.ts';

/** Connections of all peers; and of one, beyond which its oldest goes. */
const CONNECTIONS_MOST = 1_024;
const CONNECTIONS_OF_ONE = 4;

const TROUBLES_PER_SECOND = 5;
/** Who has not been connected for so long is not waited for, milliseconds: an agent is replaced faster. */
const ABSENT_MS = 15_000;

export interface MeshTiming {
  readonly connection: ConnectionLimits;
  readonly backoff: { readonly least: number; readonly most: number };
  /** How often certificates are looked at again, milliseconds. */
  readonly certificates: number;
}

export const MESH_TIMING: MeshTiming = {
  connection: CONNECTION_LIMITS,
  backoff: { least: 200, most: 10_000 },
  certificates: 5_000,
};

export interface MeshOptions {
  readonly domain: string;
  readonly name: string;
  /** Another one after each start. */
  readonly instance: bigint;
  /** `host:port`; undefined: others are dialled only. */
  readonly listen?: string;
  readonly agents: readonly AgentSettings[];
  readonly credentials: () => Credentials;
  readonly counters: Counters;
  readonly now: () => number;
  readonly random: () => number;
  readonly timing: MeshTiming;
  /** A connection is up: what is sent now is the first that the peer hears on it. */
  readonly onConnection: (connection: Connection) => void;
  /** Messages for the agent go another way than before. */
  readonly onRoute: (agent: string) => void;
  readonly onMessage: (connection: Connection, message: Message) => void;
  /** For the log: what failed, with whom. */
  readonly onTrouble: (agent: string | undefined, error: Error) => void;
}

/** A peer agent, as far as the transport knows. */
export interface PeerStatus extends Standing {
  readonly name: string;
  /** As it is dialled; empty: it dials us. */
  readonly address: string;
  /** Its connection to us stands. */
  readonly inbound: boolean;
  readonly connections: number;
  /** Of the protocol; there while it is connected. */
  readonly version?: number;
  /** Milliseconds by which its clock is ahead, roughly. */
  readonly skew?: number;
  /** Milliseconds, of the last Ping. */
  readonly roundTrip?: number;
}

/**
 * TLS connections with the other agents, dialled and accepted; either serves. Messages for one agent all go over the
 * first of its connections that is up, so they arrive in order.
 */
export class Mesh {
  readonly #options: MeshOptions;
  /** The others, by name. */
  #agents: ReadonlyMap<string, AgentSettings> = new Map();
  readonly #doorway: Doorway;
  readonly #standings: Standings;
  /** Troubles of strangers that are told; anybody can make as many as he likes. */
  readonly #told: Rate;
  readonly #connections = new Set<Connection>();
  /** Those that are up, by agent, in the order they came up. */
  readonly #up = new Map<string, Connection[]>();
  /** Since when there is no connection, by agent, on the clock of `performance`. */
  readonly #alone = new Map<string, number>();
  readonly #closes = new Map<CloseReason, number>();
  readonly #diallers = new Map<string, { readonly address: string; readonly dialler: Dialler }>();
  #identification: Identification;
  #server: Server | undefined;
  #timer: NodeJS.Timeout | undefined;
  #dials = false;
  #closed = false;

  /** @throws HandshakeError CREDENTIALS or SETTINGS */
  constructor(options: MeshOptions) {
    this.#options = options;
    this.#doorway = new Doorway(options.timing.connection.hello);
    this.#standings = new Standings(options.now);
    this.#told = new Rate(TROUBLES_PER_SECOND, performance.now());
    this.#identification = this.#identify();
    this.setAgents(options.agents);
  }

  /**
   * With these it has to do from now on. Connections of others are closed; who is dialled elsewhere than before is dialled
   * anew. @throws HandshakeError SETTINGS, and goes on with the former ones
   */
  setAgents(agents: readonly AgentSettings[]): void {
    this.check(agents);
    const own = this.#options.name;
    this.#agents = new Map(agents.filter(({ name }) => name !== own).map((agent) => [agent.name, agent]));
    for (const name of this.#agents.keys()) this.#standings.add(name);
    for (const connection of [...this.#connections])
      if (!this.#agents.has(connection.agent)) connection.close('dismissed');
    for (const name of this.#standings.names) if (!this.#agents.has(name)) this.#standings.delete(name);
    for (const name of this.#alone.keys()) if (!this.#agents.has(name)) this.#alone.delete(name);
    for (const name of this.#agents.keys())
      if (!this.#alone.has(name) && !this.#up.has(name)) this.#alone.set(name, performance.now());
    if (this.#dials) this.#dial();
  }

  /** @throws HandshakeError SETTINGS where they cannot be dialled */
  check(agents: readonly AgentSettings[]): void {
    for (const { address } of agents) if (address !== '') hostAndPort(address);
  }

  /** Listens and dials. @throws HandshakeError LISTEN */
  async open(signal: AbortSignal): Promise<void> {
    const { listen, timing } = this.#options;
    if (listen !== undefined) await this.#listen(listen);
    if (this.#closed || signal.aborted) return this.close();
    this.#dials = true;
    this.#dial();
    this.#timer = setInterval(() => this.#checkCertificates(), timing.certificates);
  }

  /** Where it listens; undefined where it does not. */
  get address(): AddressInfo | undefined {
    const address = this.#server?.address();
    return typeof address === 'object' && address !== null ? address : undefined;
  }

  /** Closed connections by reason. */
  get closes(): ReadonlyMap<CloseReason, number> {
    return this.#closes;
  }

  /** Connections that were closed before they said who they are. */
  get turnedAway(): number {
    return this.#doorway.turnedAway;
  }

  connected(agent: string): boolean {
    return this.#up.has(agent);
  }

  /** There has been no connection for so long that nobody waits for one. */
  absent(agent: string): boolean {
    const since = this.#alone.get(agent);
    return since !== undefined && performance.now() - since > ABSENT_MS;
  }

  /** The far ends of its connections. */
  addressesOf(agent: string): string[] {
    return (this.#up.get(agent) ?? []).map(({ address }) => address);
  }

  send(agent: string, message: Message): boolean {
    const [connection] = this.#up.get(agent) ?? [];
    return connection?.send(message) ?? false;
  }

  /** To every connection, so that each hears all of it. */
  broadcast(message: Message): void {
    for (const connections of [...this.#up.values()]) {
      for (const connection of [...connections]) connection.send(message, true);
    }
  }

  /** All that are configured. */
  peers(): PeerStatus[] {
    return [...this.#agents.values()].map(({ name, address }) => {
      const up = this.#up.get(name) ?? [];
      const [first] = up;
      const inbound = up.some(({ dialled }) => !dialled);
      const status = { name, address, ...this.#standings.of(name), inbound, connections: up.length };
      if (first === undefined) return status;
      const { skew, roundTrip } = first;
      return { ...status, version: VERSION, skew, ...(roundTrip === undefined ? {} : { roundTrip }) };
    });
  }

  /**
   * Reads the credentials again. New connections use them; of those that are open, the ones whose peer the authority no
   * longer accepts are closed. @throws HandshakeError CREDENTIALS, and goes on with the former ones
   */
  reload(): void {
    if (this.#closed) return;
    this.#identification = this.#identify();
    const secureOptions = constants.SSL_OP_NO_TICKET;
    this.#server?.setSecureContext({ ...this.#identification.options, ...VERSIONS, secureOptions });
    this.#checkCertificates();
  }

  /** Idempotent; what is queued goes out first. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    const server = this.#server;
    const ended = server?.listening ? once(server, 'close') : Promise.resolve();
    server?.close();
    this.#doorway.close();
    for (const connection of [...this.#connections]) connection.close('closed');
    for (const { dialler } of this.#diallers.values()) dialler.close();
    await ended;
  }

  /** One dialler for each that is dialled, at the address it has now. */
  #dial(): void {
    for (const [name, { address, dialler }] of this.#diallers) {
      if (this.#agents.get(name)?.address === address) continue;
      dialler.close();
      this.#diallers.delete(name);
    }
    const { timing, random } = this.#options;
    for (const { name, address } of this.#agents.values()) {
      if (address === '' || this.#diallers.has(name)) continue;
      const dialler = new Dialler({
        agent: name,
        ...hostAndPort(address),
        timeout: timing.connection.hello,
        backoff: timing.backoff,
        random,
        identification: () => this.#identification,
        onDial: () => this.#standings.dialled(name),
        onSocket: (socket) => this.#take(socket, name),
        onFailure: (error) => this.#trouble(name, error),
      });
      this.#diallers.set(name, { address, dialler });
    }
  }

  #identify(): Identification {
    const { credentials, domain, name } = this.#options;
    return identify(credentials, domain, name);
  }

  async #listen(listen: string): Promise<void> {
    const { host, port } = hostAndPort(listen);
    const { timing } = this.#options;
    const server = createServer(
      {
        ...this.#identification.options,
        ...VERSIONS,
        requestCert: true,
        rejectUnauthorized: true,
        // Nobody resumes: certificates are looked at each time.
        secureOptions: constants.SSL_OP_NO_TICKET,
        handshakeTimeout: timing.connection.hello,
      },
      (socket) => this.#take(socket, undefined),
    );
    this.#server = server;
    server.on('connection', (socket) => {
      if (this.#closed || this.#connections.size >= CONNECTIONS_MOST) socket.destroy();
      else this.#doorway.enter(socket);
    });
    server.on('tlsClientError', (error) => this.#trouble(undefined, error));
    try {
      server.listen(port, host);
      await once(server, 'listening');
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new HandshakeError('LISTEN', `Cannot listen on ${listen} for other agents: ${reason}`, { cause });
    }
    server.on('error', (error) => this.#trouble(undefined, error));
  }

  /** TLS is up: whoever it is has a certificate of the authority. */
  #take(socket: TLSSocket, dialled: string | undefined): void {
    const { domain, timing, now } = this.#options;
    const peer = socket.getPeerX509Certificate();
    const agent = agentNode(peer?.subjectAltName, domain);
    const accepted =
      peer !== undefined && socket.authorized && stillAccepted(peer, this.#identification.authorities, now());
    const wrong =
      !accepted || agent === undefined
        ? new ProtocolError('DOMAIN', `A certificate for ${shown(peer?.subjectAltName)}, wanted an agent of ${domain}`)
        : !this.#agents.has(agent) || (dialled !== undefined && dialled !== agent)
          ? new ProtocolError('PEER', `The agent of ${agent}, wanted ${dialled ?? 'one that is configured'}`)
          : undefined;
    if (wrong !== undefined || peer === undefined || agent === undefined || this.#closed) {
      socket.on('error', () => {});
      socket.destroy();
      if (wrong !== undefined) this.#trouble(dialled, wrong);
      return;
    }
    const key = keyOf(socket);
    const connection = new Connection({
      socket,
      agent,
      hello: this.#hello(),
      dialled: dialled !== undefined,
      own: this.#identification.own,
      peer,
      limits: timing.connection,
      now,
      onUp: (one) => {
        this.#doorway.leave(key);
        this.#raise(one);
      },
      onMessage: (one, message) => this.#options.onMessage(one, message),
      onClosed: (one, reason, error) => this.#lower(one, reason, error),
    });
    this.#connections.add(connection);
  }

  #hello(): Hello {
    const { domain, name, instance, now } = this.#options;
    const versions = { versionLeast: VERSION, versionMost: VERSION };
    return { kind: 'hello', ...versions, domain, node: name, instance, time: Math.max(0, Math.floor(now())) };
  }

  #raise(connection: Connection): void {
    const { agent, instance } = connection;
    const others = [...(this.#up.get(agent) ?? [])];
    // Of a former life of the peer, or more than anybody needs.
    for (const other of others) if (other.instance !== instance) other.close('restarted');
    if (others.length >= CONNECTIONS_OF_ONE) others[0]?.close('restarted');
    const up = this.#up.get(agent) ?? [];
    this.#up.set(agent, [...up, connection]);
    this.#standings.connected(agent);
    this.#alone.delete(agent);
    this.#options.onConnection(connection);
    if (up.length === 0 && !connection.closed) this.#options.onRoute(agent);
  }

  #lower(connection: Connection, reason: CloseReason, error: Error | undefined): void {
    this.#connections.delete(connection);
    this.#closes.set(reason, (this.#closes.get(reason) ?? 0) + 1);
    const { agent } = connection;
    const up = this.#up.get(agent) ?? [];
    const at = up.indexOf(connection);
    const rest = up.filter((one) => one !== connection);
    if (rest.length === 0) {
      if (this.#up.delete(agent) && this.#agents.has(agent)) this.#alone.set(agent, performance.now());
    } else this.#up.set(agent, rest);
    if (reason !== 'closed' && reason !== 'dismissed')
      this.#trouble(agent, error ?? new Error(`Connection closed: ${reason}`));
    // Not from within whatever sent on the one that broke.
    if (at === 0 && rest.length > 0) {
      setImmediate(() => {
        if (!this.#closed && this.connected(agent)) this.#options.onRoute(agent);
      });
    }
  }

  #trouble(agent: string | undefined, error: Error): void {
    if (error instanceof ProtocolError) this.#options.counters.protocolError(error.code);
    if (agent !== undefined && !this.connected(agent)) this.#standings.failed(agent, error);
    if (agent !== undefined || this.#told.take(performance.now())) this.#options.onTrouble(agent, error);
  }

  #checkCertificates(): void {
    const now = this.#options.now();
    const { authorities } = this.#identification;
    for (const connection of [...this.#connections]) {
      const good = validAt(connection.own, now) && stillAccepted(connection.peer, authorities, now);
      if (!good) connection.close('certificate');
    }
  }
}

const VERSIONS = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;

/** What a stranger's certificate says, short enough for a log. */
function shown(text: string | undefined): string {
  return JSON.stringify((text ?? 'nobody').slice(0, 200));
}
