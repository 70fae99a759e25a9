import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { AgentError } from '../errors.ts';

export interface MetricsServerOptions {
  /** `host:port` or `[ipv6]:port`. */
  readonly address: string;
  readonly metrics: () => Promise<string>;
  /** Everything known is enforced. */
  readonly ready: () => boolean;
  /** The reconcile loop lives. */
  readonly healthy: () => boolean;
  readonly onFault: (error: Error) => void;
  readonly signal: AbortSignal;
}

export interface MetricsServer {
  /** Where it listens: the port is another than asked for where that was 0. */
  readonly address: string;
  /** Idempotent. */
  close(): Promise<void>;
}

const CONNECTIONS_MOST = 32;
const TIMEOUT_MS = 10_000;
const TEXT = 'text/plain; charset=utf-8';
const EXPOSITION = 'text/plain; version=0.0.4; charset=utf-8';

/** Answers `GET /metrics`, `/healthz`, `/readyz` and nothing else. @throws AgentError CONFLICT */
export async function startMetrics(options: MetricsServerOptions): Promise<MetricsServer> {
  const server = createServer({ requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS }, (request, response) => {
    answer(options, request, response).catch((error: unknown) => {
      options.onFault(error instanceof Error ? error : new Error(String(error)));
      send(response, 500, TEXT, 'failed\n');
    });
  });
  server.maxConnections = CONNECTIONS_MOST;
  await listen(server, options.address);
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
    return closing;
  };
  options.signal.addEventListener('abort', () => void close(), { once: true });
  return { address: addressOf(server), close };
}

async function answer(
  options: MetricsServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = request.url?.split('?')[0];
  if (request.method !== 'GET') return send(response, 405, TEXT, 'only GET\n');
  if (path === '/metrics') return send(response, 200, EXPOSITION, await options.metrics());
  const check = path === '/healthz' ? options.healthy : path === '/readyz' ? options.ready : undefined;
  if (check === undefined) return send(response, 404, TEXT, 'not found\n');
  const good = check();
  send(response, good ? 200 : 503, TEXT, good ? 'ok\n' : 'not yet\n');
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  if (response.headersSent) return;
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(text);
}

async function listen(server: Server, address: string): Promise<void> {
  const split = address.lastIndexOf(':');
  const host = address.slice(0, split).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(split + 1));
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port }, () => {
        server.removeListener('error', reject);
        resolve();
      });
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AgentError('CONFLICT', `Cannot serve metrics on ${address}: ${reason}`, {
      hint: 'set metrics.address to a free one, or "off"',
      cause: error,
    });
  }
}

function addressOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') return address ?? '';
  return `${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
}
