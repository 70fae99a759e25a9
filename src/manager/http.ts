import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HttpOptions {
  readonly host: string;
  readonly port: number;
  readonly metrics: () => Promise<string>;
  /** What is still missing before it can answer; undefined: nothing. */
  readonly notReady: () => string | undefined;
  /** What is wrong beyond repair; undefined: nothing. */
  readonly notHealthy: () => string | undefined;
  readonly onFault: (error: unknown) => void;
}

export interface HttpServer {
  readonly port: number;
  /** Idempotent. */
  close(): Promise<void>;
}

const CONNECTIONS_MOST = 32;
const TIMEOUT_MS = 10_000;
const TEXT = 'text/plain; charset=utf-8';
const EXPOSITION = 'text/plain; version=0.0.4; charset=utf-8';

/** Answers `GET /metrics`, `/healthz`, `/readyz` and nothing else. */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const server = createServer({ requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS }, (request, response) => {
    answer(options, request.method, request.url, response).catch((thrown: unknown) => {
      options.onFault(thrown);
      send(response, 500, TEXT, 'failed\n');
    });
  });
  server.maxConnections = CONNECTIONS_MOST;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(options.port, options.host, resolve);
  await promise;
  server.off('error', reject);
  server.on('error', options.onFault);
  let closing: Promise<void> | undefined;
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      closing ??= new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      });
      return closing;
    },
  };
}

async function answer(
  options: HttpOptions,
  method: string | undefined,
  url: string | undefined,
  response: ServerResponse,
): Promise<void> {
  const path = url?.split('?')[0];
  if (method !== 'GET') send(response, 405, TEXT, 'only GET\n');
  else if (path === '/metrics') send(response, 200, EXPOSITION, await options.metrics());
  else if (path === '/healthz') check(response, options.notHealthy());
  else if (path === '/readyz') check(response, options.notReady());
  else send(response, 404, TEXT, 'not found\n');
}

function check(response: ServerResponse, wrong: string | undefined): void {
  if (wrong === undefined) send(response, 200, TEXT, 'ok\n');
  else send(response, 503, TEXT, `${wrong}\n`);
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { 'content-type': type });
  response.end(body);
}

/** `host:port` or `[ipv6]:port`. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(':');
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) };
}
