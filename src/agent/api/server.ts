import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { dirname } from 'node:path';
import fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import { AgentError, asAgentError, ERRORS } from '../errors.ts';
import { type CallerRules, Callers } from './callers.ts';
import type { ErrorView } from './contract.ts';
import { drain } from './drain.ts';
import { BODY_BYTES_MOST } from './limits.ts';
import { answers } from './probe.ts';
import { addRoutes } from './routes.ts';
import type { AgentService } from './service.ts';

export interface ApiOptions {
  readonly socket: string;
  readonly service: AgentService;
  readonly callers: CallerRules;
  readonly now: () => number;
  /** Faults of our own, which the caller cannot mend. */
  readonly onFault: (error: Error) => void;
  /** Counts answers by HTTP status. */
  readonly onAnswer: (status: number) => void;
  readonly signal: AbortSignal;
}

/** Connections at one time; more wait in the kernel's backlog. */
const CONNECTIONS_MOST = 64;
/** A request that takes longer to arrive is ended. */
const REQUEST_MS_MOST = 30_000;
/** What is still read of a body that has been refused. */
const REFUSED_BODY = { bytesMost: 4 * BODY_BYTES_MOST, msMost: 2_000 };

export interface ApiServer {
  /** Ends streams and connections, removes the socket. Idempotent. */
  close(): Promise<void>;
}

/**
 * Serves the API on a UNIX socket.
 * @throws AgentError CONFLICT when another agent answers there, or something that is no socket is in the way
 */
export async function startApi(options: ApiOptions): Promise<ApiServer> {
  const { socket: path, callers: rules } = options;
  const onlyRoot = rules.uids.length === 0 && rules.gids.length === 0;
  const callers = new Callers(rules);
  const app = fastify({ bodyLimit: BODY_BYTES_MOST, requestTimeout: REQUEST_MS_MOST, forceCloseConnections: true });
  app.server.maxConnections = CONNECTIONS_MOST;
  app.server.on('connection', (connection: Socket) => void callers.admit(connection));
  app.addHook('onRequest', async (request) => {
    const caller = callers.of(request.raw.socket);
    if (caller.allowed) return;
    throw new AgentError('FORBIDDEN', `Refused: ${caller.reason}`, { hint: 'see api.uids and api.gids' });
  });
  app.addHook('onResponse', async (_request, reply) => options.onAnswer(reply.statusCode));
  refuseClearly(app, options.onFault);
  addRoutes(app, { service: options.service, callers, now: options.now });
  await app.ready();

  await makeWay(path, onlyRoot ? 0o750 : 0o755);
  await listenPrivately(app, path);
  if (!onlyRoot) await chmod(path, 0o666);

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    options.service.journal.close();
    // Node removes the socket's file when the server closes.
    closing ??= app.close();
    return closing;
  };
  options.signal.addEventListener('abort', () => void close(), { once: true });
  return { close };
}

/** The socket never exists with wider permissions than it ends with: the process' mask is set while it is bound. */
async function listenPrivately(app: FastifyInstance, path: string): Promise<void> {
  const listening = Promise.withResolvers<void>();
  app.server.once('error', listening.reject);
  const mask = process.umask(0o177);
  try {
    // Binding is done before listen() returns.
    app.server.listen(path, 128, listening.resolve);
  } finally {
    process.umask(mask);
  }
  await listening.promise;
  app.server.removeListener('error', listening.reject);
}

/** Makes the directory, and removes a socket that a killed agent left behind, and nothing else. */
async function makeWay(path: string, mode: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode });
  const existing = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (existing === undefined) return;
  if (!existing.isSocket()) throw new AgentError('CONFLICT', `Cannot listen on ${path}: it exists and is no socket`);
  if (await answers(path)) {
    throw new AgentError('CONFLICT', `Cannot listen on ${path}: another agent does`, {
      hint: 'stop it first, or give this one its own api.socket and datapath.pins',
    });
  }
  await unlink(path);
}

function refuseClearly(app: FastifyInstance, onFault: (error: Error) => void): void {
  const view = (error: AgentError): ErrorView => ({
    error: {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.faults.length === 0 ? {} : { faults: error.faults }),
    },
  });
  app.setNotFoundHandler((request, reply) => {
    const error = new AgentError('NOT_FOUND', `There is no ${request.method} ${request.url.split('?')[0]}`, {
      hint: 'see docs/api.md; this agent may be older than its caller',
    });
    return reply.status(404).send(view(error));
  });
  app.setErrorHandler(async (thrown: FastifyError, request, reply) => {
    const error = ofFastify(thrown) ?? asAgentError(thrown);
    if (error.code === 'INTERNAL' || error.code === 'KERNEL') onFault(thrown);
    await drain(request.raw, REFUSED_BODY);
    return reply.status(ERRORS[error.code].http).send(view(error));
  });
}

/** What fastify refuses before a route sees it. */
function ofFastify(error: FastifyError): AgentError | undefined {
  if (typeof error.code !== 'string' || !error.code.startsWith('FST_')) return undefined;
  if (error.statusCode === 413) return new AgentError('TOO_LARGE', `The body is larger than ${BODY_BYTES_MOST} bytes`);
  if ((error.statusCode ?? 500) >= 500) return undefined;
  return new AgentError('USAGE', error.message, { cause: error });
}
