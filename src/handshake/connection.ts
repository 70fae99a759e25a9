import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { formatAddress, parseAddress } from '../model/address.ts';
import { decode } from './decode.ts';
import { encode } from './encode.ts';
import { ProtocolError } from './errors.ts';
import { FIRST_FRAME_MOST, FRAME_MOST, FrameReader } from './frames.ts';
import { Rate } from './limits.ts';
import type { Hello, Message } from './messages.ts';

/** The only version there is. */
export const VERSION = 1;

/** Milliseconds and counts of one connection; tests have shorter ones. */
export interface ConnectionLimits {
  /** From the first byte to Hello. */
  readonly hello: number;
  readonly ping: number;
  /** Without one whole message. */
  readonly silence: number;
  readonly queuedMessages: number;
  readonly queuedBytes: number;
  /** Read in a second; a peer that sends more waits. */
  readonly messagesPerSecond: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  hello: 5_000,
  ping: 5_000,
  silence: 15_000,
  queuedMessages: 8_192,
  queuedBytes: 8 << 20,
  messagesPerSecond: 20_000,
};

/** An announcement counts as so many messages: it makes this node look at all that is verified, and at its policies. */
const ANNOUNCE_WEIGHT = 100;

/** Why a connection ended; labels of metrics. */
export type CloseReason =
  | 'protocol' // what came is against the protocol
  | 'fault' // what came could not be dealt with
  | 'silence' // nothing whole came in time
  | 'hello' // no Hello in time
  | 'overflow' // more waited to be sent than may
  | 'certificate' // one of the two certificates is no longer good
  | 'restarted' // the peer has begun another life, or has newer connections
  | 'dismissed' // it is no longer one of the agents
  | 'peer' // it closed, or the network did
  | 'closed'; // this agent closes

export interface ConnectionOptions {
  readonly socket: TLSSocket;
  /** Of the peer's certificate. */
  readonly agent: string;
  readonly hello: Hello;
  readonly dialled: boolean;
  /** This agent's certificate of the time. */
  readonly own: X509Certificate;
  readonly peer: X509Certificate;
  readonly limits: ConnectionLimits;
  readonly now: () => number;
  /** Hello has come, and is good. */
  readonly onUp: (connection: Connection) => void;
  /** Anything but Hello, Ping and Pong. */
  readonly onMessage: (connection: Connection, message: Message) => void;
  readonly onClosed: (connection: Connection, reason: CloseReason, error: Error | undefined) => void;
}

/** One TLS connection with a peer agent, from the end of TLS's own handshake on. */
export class Connection {
  readonly agent: string;
  readonly dialled: boolean;
  /** Of the far end, or of the NAT before it; canonical text. Empty: it has gone already. */
  readonly address: string;
  readonly own: X509Certificate;
  readonly peer: X509Certificate;
  readonly #options: ConnectionOptions;
  readonly #reader = new FrameReader(FIRST_FRAME_MOST);
  readonly #rate: Rate;
  #instance: bigint | undefined;
  #skew = 0;
  #roundTrip: number | undefined;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #exemptQueued = 0;
  #exemptWritten = 0;
  #flushing = false;
  #blocked = false;
  #closed = false;
  #heardAt: number;
  #pingAt = 0;
  #pings = 0n;
  readonly #helloTimer: NodeJS.Timeout;
  #pingTimer: NodeJS.Timeout | undefined;
  #resumeTimer: NodeJS.Timeout | undefined;

  constructor(options: ConnectionOptions) {
    const { socket, agent, dialled, own, peer, limits } = options;
    this.#options = options;
    this.agent = agent;
    this.dialled = dialled;
    const address = parseAddress(socket.remoteAddress ?? '');
    this.address = address === undefined ? '' : formatAddress(address);
    this.own = own;
    this.peer = peer;
    this.#heardAt = performance.now();
    this.#rate = new Rate(limits.messagesPerSecond, this.#heardAt);
    this.#helloTimer = setTimeout(() => this.close('hello'), limits.hello);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('drain', () => {
      this.#blocked = false;
      this.#flush();
    });
    socket.on('error', (error: Error) => this.close('peer', error));
    socket.on('end', () => this.close('peer'));
    socket.on('close', () => this.close('peer'));
    this.#enqueue(encode(options.hello), false);
  }

  /** Of the peer; undefined before its Hello. */
  get instance(): bigint | undefined {
    return this.#instance;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Milliseconds by which the peer's clock is ahead, roughly. */
  get skew(): number {
    return this.#skew;
  }

  /** Milliseconds; undefined before the first Pong. */
  get roundTrip(): number | undefined {
    return this.#roundTrip;
  }

  /**
   * Queues a message; those of one turn of the event loop go out together. False: the connection is closed, perhaps
   * because of this message.
   * @param exempt does not count toward the bound: the announcements, which come when the connection is new
   */
  send(message: Message, exempt = false): boolean {
    return !this.#closed && this.#enqueue(encode(message), exempt);
  }

  /** Ends it at once, or, where that is this agent's own wish, after what is queued has gone out. Idempotent. */
  close(reason: CloseReason, error?: Error): void {
    if (this.#closed) return;
    const { socket, onClosed } = this.#options;
    if (reason === 'closed') this.#flush();
    this.#closed = true;
    clearTimeout(this.#helloTimer);
    clearInterval(this.#pingTimer);
    clearTimeout(this.#resumeTimer);
    this.#queue = [];
    if (reason === 'closed') {
      socket.resume();
      socket.end();
      setTimeout(() => socket.destroy(), 200).unref();
    } else socket.destroy();
    onClosed(this, reason, error);
  }

  #enqueue(frame: Buffer, exempt: boolean): boolean {
    const { limits, socket } = this.#options;
    if (exempt) this.#exemptQueued += frame.length;
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    const written = Math.max(0, socket.writableLength - this.#exemptWritten);
    const bytes = this.#queuedBytes - this.#exemptQueued + written;
    if (bytes > limits.queuedBytes || this.#queue.length > limits.queuedMessages) {
      this.close('overflow');
      return false;
    }
    if (!this.#flushing && !this.#blocked) {
      this.#flushing = true;
      process.nextTick(() => this.#flush());
    }
    return true;
  }

  #flush(): void {
    this.#flushing = false;
    if (this.#closed || this.#blocked) return;
    const { socket } = this.#options;
    if (socket.writableLength === 0) this.#exemptWritten = 0;
    if (this.#queue.length === 0) return;
    this.#exemptWritten += this.#exemptQueued;
    this.#exemptQueued = 0;
    const bytes = this.#queue.length === 1 ? this.#queue[0]! : Buffer.concat(this.#queue, this.#queuedBytes);
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#blocked = !socket.write(bytes);
  }

  #read(chunk: Buffer): void {
    try {
      for (const frame of this.#reader.push(chunk)) {
        this.#heardAt = performance.now();
        const message = decode(frame);
        this.#receive(message);
        if (this.#closed) return;
        const wait = this.#rate.spend(message.kind === 'announce' ? ANNOUNCE_WEIGHT : 1, this.#heardAt);
        if (wait > 0) this.#rest(wait);
      }
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      // Whatever a peer can make go wrong here ends its connection, not the agent.
      this.close(error instanceof ProtocolError ? 'protocol' : 'fault', error);
    }
  }

  /** What is in this chunk is still read; the next waits until all that was too much is made up for. */
  #rest(ms: number): void {
    const { socket } = this.#options;
    socket.pause();
    clearTimeout(this.#resumeTimer);
    this.#resumeTimer = setTimeout(() => socket.resume(), Math.max(20, ms));
  }

  #receive(message: Message): void {
    if (this.#instance === undefined) {
      this.#greet(message);
      return;
    }
    switch (message.kind) {
      case 'hello':
        throw new ProtocolError('UNEXPECTED', 'A second Hello');
      case 'ping':
        this.send({ kind: 'pong', nonce: message.nonce });
        break;
      case 'pong':
        if (message.nonce === this.#pings) this.#roundTrip = performance.now() - this.#pingAt;
        break;
      default:
        this.#options.onMessage(this, message);
    }
  }

  #greet(message: Message): void {
    const { hello, now, limits, onUp } = this.#options;
    if (message.kind !== 'hello') throw new ProtocolError('UNEXPECTED', `${message.kind} before Hello`);
    if (message.versionLeast > VERSION || message.versionMost < VERSION) {
      const { versionLeast, versionMost } = message;
      throw new ProtocolError('VERSION', `${this.agent} speaks ${versionLeast} to ${versionMost}, wanted ${VERSION}`);
    }
    if (message.domain !== hello.domain) throw new ProtocolError('DOMAIN', `${this.agent} is of ${message.domain}`);
    if (message.node !== this.agent) {
      throw new ProtocolError('PEER', `${this.agent} calls itself ${message.node}`);
    }
    this.#instance = message.instance;
    this.#skew = message.time - now();
    this.#reader.limit = FRAME_MOST;
    clearTimeout(this.#helloTimer);
    this.#pingTimer = setInterval(() => this.#ping(), limits.ping);
    onUp(this);
  }

  #ping(): void {
    const { limits } = this.#options;
    if (performance.now() - this.#heardAt > limits.silence) {
      this.close('silence');
      return;
    }
    this.#pings += 1n;
    this.#pingAt = performance.now();
    this.send({ kind: 'ping', nonce: this.#pings });
  }
}
