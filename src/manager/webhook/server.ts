import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { addressOf, Bodies, type Body, Doors, Turns } from './callers.ts';
import { VALIDATE_PATH } from './configuration.ts';
import { LONGEST_HEAD, reportHead } from './head.ts';
import type { Present } from './judge.ts';
import { type Answer, answer } from './review.ts';

export interface WebhookServerOptions {
  readonly host: string;
  readonly port: number;
  readonly present: () => Present;
  readonly onAnswer: (answer: Pick<Answer, 'kind' | 'allowed' | 'warnings'>, milliseconds: number) => void;
  /** What was no question of an API server. */
  readonly onRefused: (why: RefusedQuestion) => void;
  readonly onFault: (error: unknown) => void;
  /** How long a question may take to arrive, and its TLS before it, milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /** Connections of all callers. Default 256. */
  readonly connectionsMost?: number;
  /** Bytes of all questions that wait. Default 64 MiB. */
  readonly bytesMost?: number;
}

export type RefusedQuestion = 'method' | 'path' | 'type' | 'size' | 'malformed' | 'busy' | 'gone' | 'unready';

/** An object and its former version, of 1.5 MiB each at most, and what is written around them. */
const LONGEST_BODY = 4 << 20;
const BYTES_MOST = 64 << 20;
/** What is let pass by unread, so that who writes it hears the answer: both objects, each of their bytes written as six. */
const LONGEST_UNREAD = 32 << 20;
const CONNECTIONS_MOST = 256;
/** The API server waits five seconds. */
const TIMEOUT_MS = 10_000;

/** Answers `POST /validate` of API servers and nothing else. It has no certificate before it is given one. */
export class WebhookServer {
  readonly #options: WebhookServerOptions;
  readonly #server: Server;
  readonly #bodies: Bodies;
  readonly #turns = new Turns(() => performance.now());
  #closing: Promise<void> | undefined;

  constructor(options: WebhookServerOptions) {
    this.#options = options;
    const { timeoutMs = TIMEOUT_MS, connectionsMost = CONNECTIONS_MOST, bytesMost = BYTES_MOST } = options;
    this.#bodies = new Bodies(bytesMost);
    // Whoever only holds connections, with TLS or before it, would keep API servers from theirs.
    const limits = {
      handshakeTimeout: timeoutMs,
      requestTimeout: timeoutMs,
      headersTimeout: timeoutMs,
      connectionsCheckingInterval: timeoutMs / 2,
    };
    this.#server = createServer({ ...limits, minVersion: 'TLSv1.2' }, (request, response) => {
      this.#answer(request, response).catch((thrown: unknown) => {
        options.onFault(thrown);
        send(response, 500, { error: 'failed' });
      });
    });
    const doors = new Doors(connectionsMost);
    this.#server.on('connection', (socket: Socket) => doors.enter(socket));
    // Whoever begins TLS and means something else.
    this.#server.on('tlsClientError', () => {});
    this.#server.on('clientError', (_, socket) => socket.destroy());
  }

  /** Shows this certificate from the next connection on. Throws where the two do not belong together. */
  show(certificate: string, key: string): void {
    this.#server.setSecureContext({ cert: certificate, key, minVersion: 'TLSv1.2' });
  }

  /** @returns the port it listens at */
  async listen(): Promise<number> {
    const { host, port } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    this.#server.listen(port, host, resolve);
    await promise;
    this.#server.off('error', reject);
    this.#server.on('error', (error) => this.#options.onFault(error));
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends when what is being answered has been. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeIdleConnections();
      setTimeout(() => this.#server.closeAllConnections(), TIMEOUT_MS).unref();
    });
    await this.#closing;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { onRefused, onAnswer, present } = this.#options;
    const refuse = (status: number, why: RefusedQuestion): void => {
      onRefused(why);
      response.setHeader('connection', 'close');
      send(response, status, { error: why });
    };
    if (request.url?.split('?')[0] !== VALIDATE_PATH) return refuse(404, 'path');
    if (request.method !== 'POST') return refuse(405, 'method');
    if (request.headers['content-type']?.split(';')[0]?.trim() !== 'application/json') return refuse(415, 'type');
    const began = performance.now();
    const address = addressOf(request.socket);
    const body = this.#bodies.begin(address);
    try {
      const read = await this.#read(request, body);
      if (typeof read === 'string') return refuse(STATUS[read], read);
      // What is said of a report costs nothing, and waits for nobody.
      const said = read === undefined ? await this.#judge(request, body) : (answer(read.head, present) ?? 'malformed');
      if (typeof said === 'string') return refuse(STATUS[said], said);
      onAnswer(said, performance.now() - began);
      send(response, 200, said.body);
    } finally {
      this.#bodies.end(body);
    }
  }

  #judge(request: IncomingMessage, body: Body): Promise<Answer | keyof typeof STATUS> {
    return this.#turns.take(addressOf(request.socket), () => {
      // Nobody hears it any more, and it would cost as much.
      if (request.socket.destroyed) return 'gone';
      const whole = this.#bodies.whole(body);
      return whole === undefined ? 'busy' : (answer(parse(whole), this.#options.present) ?? 'malformed');
    });
  }

  /** @returns why it cannot be answered; of a report's question the beginning, of any other nothing */
  async #read(
    request: IncomingMessage,
    body: Body,
  ): Promise<'size' | 'busy' | 'gone' | { readonly head: unknown } | undefined> {
    const said = Number(request.headers['content-length'] ?? 0);
    let [begun, length, head]: [Buffer, number, unknown] = [Buffer.alloc(0), 0, undefined];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) {
        length += chunk.length;
        if (head === undefined && begun.length < LONGEST_HEAD) {
          begun = Buffer.concat([begun, chunk.subarray(0, LONGEST_HEAD)]);
          head = reportHead(begun);
          if (head !== undefined) this.#bodies.end(body);
        }
        if (head !== undefined && length <= LONGEST_UNREAD) continue;
        if (said > LONGEST_BODY || length > LONGEST_BODY) return 'size';
        if (!this.#bodies.add(body, chunk)) return 'busy';
      }
    } catch (thrown) {
      if (request.socket.destroyed) return 'gone';
      throw thrown;
    }
    return head === undefined ? undefined : { head };
  }
}

const STATUS = { size: 413, busy: 503, unready: 503, gone: 400, malformed: 400 } as const;

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined; // no review
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent || response.destroyed) return;
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
