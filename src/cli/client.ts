import { Client } from 'undici';
import { type ErrorView, STREAM_HEARTBEAT_MS } from '../agent/api/contract.ts';
import { AgentError, ERRORS, type ErrorCode } from '../agent/errors.ts';

export interface ClientOptions {
  readonly socket: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** A line longer than this is no answer of ours. */
const LINE_BYTES_MOST = 1024 * 1024;

/** Speaks to an agent over its UNIX socket. Every failure is an AgentError, with the agent's own words where it spoke. */
export class AgentClient {
  readonly #client: Client;
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#client = new Client('http://agent', {
      socketPath: options.socket,
      connect: { timeout: options.timeoutMs },
      headersTimeout: options.timeoutMs,
      // A stream that says nothing for two and a half heartbeats is dead.
      bodyTimeout: STREAM_HEARTBEAT_MS * 2.5,
    });
  }

  get<T>(path: string, query: Query = {}): Promise<T> {
    return this.#json<T>('GET', path, query);
  }

  post<T>(path: string, body: object): Promise<T> {
    return this.#json<T>('POST', path, {}, body);
  }

  delete<T>(path: string, query: Query = {}): Promise<T> {
    return this.#json<T>('DELETE', path, query);
  }

  async text(path: string): Promise<string> {
    const { body } = await this.#request('GET', path, {});
    return await body.text();
  }

  /** Lines of an endless answer, as many as arrived together, until the signal aborts or the agent ends it. */
  async *follow<T>(path: string, query: Query): AsyncGenerator<readonly T[]> {
    const { body } = await this.#request('GET', path, query);
    let rest = '';
    body.setEncoding('utf8');
    try {
      for await (const chunk of body as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > LINE_BYTES_MOST) throw new AgentError('INTERNAL', 'The agent sent a line without end');
        yield lines.filter((line) => line !== '').map((line) => JSON.parse(line) as T);
      }
    } catch (error) {
      if (this.#options.signal.aborted) return;
      throw error instanceof AgentError ? error : this.#unreachable(error);
    }
  }

  async close(): Promise<void> {
    await this.#client.destroy();
  }

  async #json<T>(method: 'GET' | 'POST' | 'DELETE', path: string, query: Query, payload?: object): Promise<T> {
    const { body } = await this.#request(method, path, query, payload);
    return (await body.json()) as T;
  }

  async #request(method: 'GET' | 'POST' | 'DELETE', path: string, query: Query, payload?: object) {
    const present = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = new URLSearchParams(
      present.map(([name, value]): [string, string] => [name, String(value)]),
    ).toString();
    let response: Awaited<ReturnType<Client['request']>>;
    try {
      response = await this.#client.request({
        method,
        path: search === '' ? path : `${path}?${search}`,
        signal: this.#options.signal,
        ...(payload === undefined
          ? {}
          : { body: JSON.stringify(payload), headers: { 'content-type': 'application/json' } }),
      });
    } catch (error) {
      throw this.#unreachable(error);
    }
    if (response.statusCode < 400) return response;
    throw refusal(response.statusCode, await response.body.text());
  }

  #unreachable(error: unknown): AgentError {
    const { socket } = this.#options;
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const reason = error instanceof Error ? error.message : String(error);
    if (code === 'EACCES' || code === 'EPERM') {
      return new AgentError('FORBIDDEN', `Cannot open ${socket}: permission denied`, {
        hint: 'run as root, or have the agent configured with api.uids or api.gids',
        cause: error,
      });
    }
    const hint =
      code === 'ENOENT' || code === 'ECONNREFUSED'
        ? 'is it running? Start it with "sallyport agent", or name its socket with --socket'
        : undefined;
    return new AgentError('UNREACHABLE', `The agent does not answer on ${socket}: ${reason}`, { hint, cause: error });
  }
}

function refusal(status: number, text: string): AgentError {
  let view: ErrorView['error'] | undefined;
  try {
    view = (JSON.parse(text) as ErrorView).error;
  } catch {
    // Not our agent's words: said as they are.
  }
  if (view === undefined || !Object.hasOwn(ERRORS, view.code)) {
    return new AgentError('INTERNAL', `The agent answered ${status}: ${text.slice(0, 200)}`);
  }
  return new AgentError(view.code as ErrorCode, view.message, { hint: view.hint, faults: view.faults });
}
