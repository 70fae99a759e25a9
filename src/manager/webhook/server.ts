import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { VALIDATE_PATH } from './configuration.ts';
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
}

export type RefusedQuestion = 'method' | 'path' | 'type' | 'size' | 'malformed';

/** An object and its former version, of 1.5 MiB each at most, and what is written around them. */
const LONGEST_BODY = 8 << 20;
const CONNECTIONS_MOST = 256;
/** The API server waits five seconds. */
const TIMEOUT_MS = 10_000;

/** Answers `POST /validate` of API servers and nothing else. It has no certificate before it is given one. */
export class WebhookServer {
  readonly #options: WebhookServerOptions;
  readonly #server: Server;
  #closing: Promise<void> | undefined;

  constructor(options: WebhookServerOptions) {
    this.#options = options;
    const { timeoutMs = TIMEOUT_MS } = options;
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
    this.#server.maxConnections = CONNECTIONS_MOST;
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
    const body = await readBody(request);
    if (body === undefined) return refuse(413, 'size');
    const said = answer(parse(body), present);
    if (said === undefined) return refuse(400, 'malformed');
    onAnswer(said, performance.now() - began);
    send(response, 200, said.body);
  }
}

/** @returns undefined where it is too long */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > LONGEST_BODY) return undefined;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > LONGEST_BODY) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

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
