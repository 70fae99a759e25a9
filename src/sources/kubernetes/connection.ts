import type { Dispatcher } from 'undici';
import { Agent, ProxyAgent } from 'undici';
import { readBounded, readLines } from '../body.ts';
import { errnoOf, SourceError } from '../error.ts';
import type { Tls } from './credentials.ts';
import { Credentials } from './credentials.ts';
import { KubernetesError, refusal } from './error.ts';
import type { KubeconfigOptions, Target } from './kubeconfig.ts';
import { loadTarget } from './kubeconfig.ts';

/**
 * One page of a list, one object, or one event of a watch, bytes. etcd keeps no object beyond 1.5 MiB; as JSON one byte of
 * it may be six (`<` is `\u003c`).
 */
const LONGEST_ANSWER = 16 << 20;
/** How long any answer may take, and the first word of a watch, milliseconds. */
const ANSWER_MS = 30_000;
const CONNECT_MS = 10_000;
/** Connections at once; a watch keeps one. What is beyond waits for a free one. */
const MOST_CONNECTIONS = 64;

export interface Request {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Of the body. Default JSON. */
  readonly contentType?: string;
  /** What is wanted back. Default JSON. */
  readonly accept?: string;
  readonly signal?: AbortSignal;
}

/** A way to one API server, with somebody's credentials. */
export interface Connection {
  /** Its address, for people. */
  readonly server: string;
  /** Asks once; nothing is repeated. Throws KubernetesError, or the signal's reason where that aborts. */
  request<T>(request: Request): Promise<T>;
  /**
   * Lines of a watch, one JSON event each, until the server ends it. Throws as `request`.
   * @param onOpen called when the server has accepted, which may be long before it has something to say
   */
  stream(
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
    onOpen?: () => void,
  ): AsyncIterable<string>;
  /** Ends everything under way. Idempotent. */
  close(): Promise<void>;
}

export interface ConnectionOptions {
  /** How long any answer may take, milliseconds. Default 30,000. */
  readonly answerMs?: number;
  /** How long any answer and any event may be, bytes. Default 16 MiB. */
  readonly longest?: number;
  readonly now?: () => number;
}

/**
 * Loads a kubeconfig (or the pod's service account); nobody is asked yet. Throws KubernetesError INVALID.
 *
 * Lists and watches are ours: those of `@kubernetes/client-node` hang on half-open connections and know no bookmarks. It
 * signs in where a kubeconfig has an auth-provider (`client-node.ts`), and is loaded there only.
 */
export async function connect(options: KubeconfigOptions & ConnectionOptions = {}): Promise<Connection> {
  return new HttpConnection(loadTarget(options), options);
}

class HttpConnection implements Connection {
  readonly server: string;
  readonly #target: Target;
  readonly #origin: string;
  readonly #base: string;
  readonly #answerMs: number;
  readonly #longest: number;
  readonly #credentials: Credentials;
  /** The one new questions go through; those made with former credentials end with what is under way on them. */
  #way: { readonly dispatcher: Dispatcher; readonly tls: Tls } | undefined;
  readonly #open = new Set<Dispatcher>();
  #closed = false;

  constructor(target: Target, { answerMs = ANSWER_MS, longest = LONGEST_ANSWER, now = Date.now }: ConnectionOptions) {
    const url = new URL(target.server);
    checkPlain(url, target);
    this.server = target.server;
    this.#target = target;
    this.#origin = url.origin;
    this.#base = url.pathname.replace(/\/+$/, '');
    this.#answerMs = answerMs;
    this.#longest = longest;
    this.#credentials = new Credentials(target, now);
  }

  async request<T>(request: Request): Promise<T> {
    const { method, path } = request;
    const attempted = `${method} ${path} of ${this.server}`;
    const { signal, done } = this.#limit(request.signal);
    try {
      const answer = await this.#ask(request, signal, attempted);
      const text = await readBounded(answer.body, this.#longest);
      if (answer.statusCode >= 200 && answer.statusCode < 300) return parseAnswer(text, attempted) as T;
      throw refusalOf(answer, text, attempted);
    } catch (thrown) {
      throw this.#failure(thrown, attempted, request.signal);
    } finally {
      done();
    }
  }

  async *stream(
    path: string,
    query: Readonly<Record<string, string>>,
    parent: AbortSignal,
    onOpen: () => void = () => {},
  ): AsyncGenerator<string> {
    const attempted = `watch ${path} of ${this.server}`;
    const { signal, done } = this.#limit(parent);
    try {
      const answer = await this.#ask({ method: 'GET', path, query }, signal, attempted);
      if (answer.statusCode !== 200) {
        throw refusalOf(answer, await readBounded(answer.body, this.#longest), attempted);
      }
      // From here on silence is normal.
      done();
      onOpen();
      yield* readLines(answer.body, this.#longest);
    } catch (thrown) {
      throw this.#failure(thrown, attempted, parent);
    } finally {
      done();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#open].map((dispatcher) => dispatcher.destroy()));
  }

  /** Asks; once more with fresh credentials where the server does not know these. */
  async #ask(request: Request, signal: AbortSignal, attempted: string): Promise<Dispatcher.ResponseData> {
    const answer = await this.#send(request, signal, attempted);
    if (answer.statusCode !== 401) return answer;
    await answer.body.dump();
    this.#credentials.refused();
    return await this.#send(request, signal, attempted);
  }

  async #send(request: Request, signal: AbortSignal, attempted: string): Promise<Dispatcher.ResponseData> {
    if (this.#closed) throw new KubernetesError('UNREACHABLE', `Cannot ${attempted}: the connection is closed`);
    const { tls, headers } = await this.#credentials.current();
    const { method, path, query, body, contentType = 'application/json', accept = 'application/json' } = request;
    const search = query === undefined ? '' : `?${new URLSearchParams(query)}`;
    return await this.#dispatcher(tls).request({
      origin: this.#origin,
      method,
      path: `${this.#base}${path}${search}`,
      headers: {
        ...headers,
        accept,
        'user-agent': 'sallyport',
        ...(body === undefined ? {} : { 'content-type': contentType }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal,
    });
  }

  #dispatcher(tls: Tls): Dispatcher {
    const way = this.#way;
    if (way?.tls.ca === tls.ca && way?.tls.cert === tls.cert && way?.tls.key === tls.key && way !== undefined) {
      return way.dispatcher;
    }
    const dispatcher = this.#connect(tls);
    this.#open.add(dispatcher);
    this.#way = { dispatcher, tls };
    // Resolves when the last watch on it has ended.
    void way?.dispatcher.close().then(() => this.#open.delete(way.dispatcher));
    return dispatcher;
  }

  #connect(tls: Tls): Dispatcher {
    const { insecure, serverName, proxy } = this.#target;
    const secured = {
      ...tls,
      minVersion: 'TLSv1.2' as const,
      rejectUnauthorized: !insecure,
      ...(serverName === undefined ? {} : { servername: serverName }),
    };
    const common = {
      connections: MOST_CONNECTIONS,
      // One stream a connection: with HTTP/2, one that is half open would be all of them.
      allowH2: false,
      headersTimeout: this.#answerMs,
      bodyTimeout: 0,
    };
    if (proxy !== undefined) return new ProxyAgent({ ...common, uri: proxy, requestTls: secured });
    const connect = { ...secured, timeout: CONNECT_MS, keepAlive: true, keepAliveInitialDelay: 30_000 };
    return new Agent({ ...common, connect });
  }

  /** A signal that also aborts when an answer takes too long. */
  #limit(parent: AbortSignal | undefined): { readonly signal: AbortSignal; readonly done: () => void } {
    const late = new AbortController();
    const timer = setTimeout(
      () => late.abort(new DOMException(`no answer in ${this.#answerMs} ms`, 'TimeoutError')),
      this.#answerMs,
    );
    const done = (): void => clearTimeout(timer);
    return { signal: parent === undefined ? late.signal : AbortSignal.any([parent, late.signal]), done };
  }

  #failure(thrown: unknown, attempted: string, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason;
    if (thrown instanceof KubernetesError) return thrown;
    if (thrown instanceof SourceError) {
      const code = thrown.code === 'TOO_LARGE' ? 'TOO_LARGE' : 'SERVER';
      return new KubernetesError(code, `Cannot ${attempted}: ${thrown.message}`);
    }
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    const certificate = /CERT|SELF_SIGNED|ALTNAME|UNABLE_TO/.test(errnoOf(thrown) ?? '');
    return new KubernetesError('UNREACHABLE', `Cannot ${attempted}: ${reason}`, {
      cause: thrown,
      ...(certificate ? { hint: 'the kubeconfig’s certificate authority is not the one of this server' } : {}),
    });
  }
}

/** Credentials go over plain HTTP only inside this machine. */
function checkPlain({ protocol, hostname }: URL, { server, user }: Target): void {
  const here = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
  if (protocol === 'https:' || here || Object.keys(user).length === 0) return;
  throw new KubernetesError('INVALID', `Cannot ask ${server}: credentials are not sent over plain HTTP`, {
    hint: 'use https',
  });
}

function refusalOf(answer: Dispatcher.ResponseData, text: string, attempted: string): KubernetesError {
  const error = refusal(answer.statusCode, parseJson(text) ?? { message: text.trim() || undefined }, attempted);
  const after = Number(answer.headers['retry-after']);
  if (error.retryAfterMs !== undefined || !(after >= 0)) return error;
  const { code, message, status, reason } = error;
  const retryAfterMs = Math.min(after, 60) * 1_000;
  return new KubernetesError(code, message, {
    ...(status === undefined ? {} : { status }),
    ...(reason === undefined ? {} : { reason }),
    retryAfterMs,
  });
}

function parseAnswer(text: string, attempted: string): unknown {
  const parsed = text === '' ? {} : parseJson(text);
  if (parsed !== undefined) return parsed;
  throw new KubernetesError('SERVER', `Cannot ${attempted}: the answer is not JSON`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // whoever asked says what was wanted
  }
}
