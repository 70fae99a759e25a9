import { type IncomingMessage, request } from 'node:http';
import type { ErrorView } from '../agent/api/contract.ts';
import { STREAM_HEARTBEAT_MS } from '../agent/api/limits.ts';
import { AgentError, ERRORS, type ErrorCode } from '../agent/errors.ts';

export interface ClientOptions {
  readonly socket: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

type Method = 'GET' | 'POST' | 'DELETE';
type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** A line longer than this is no answer of ours. */
const LINE_CHARACTERS_MOST = 1024 * 1024;
/** A stream that says nothing for two and a half heartbeats is dead. */
const SILENCE_MS_MOST = STREAM_HEARTBEAT_MS * 2.5;

/** Speaks to an agent over its UNIX socket. Every failure is an AgentError, with the agent's own words where it spoke. */
export class AgentClient {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  async get<T>(path: string, query: Query = {}): Promise<T> {
    return JSON.parse(await this.#text('GET', path, query)) as T;
  }

  async post<T>(path: string, body: object): Promise<T> {
    return JSON.parse(await this.#text('POST', path, {}, body)) as T;
  }

  async delete<T>(path: string, query: Query = {}): Promise<T> {
    return JSON.parse(await this.#text('DELETE', path, query)) as T;
  }

  /** The answer as it is. */
  text(path: string): Promise<string> {
    return this.#text('GET', path, {});
  }

  /** Lines of an endless answer, as many as arrived together, until the signal aborts or the agent ends it. */
  async *follow<T>(path: string, query: Query): AsyncGenerator<readonly T[]> {
    const response = await this.#request('GET', path, query);
    response.setTimeout(SILENCE_MS_MOST, () => response.destroy(new Error('the stream went silent')));
    let rest = '';
    try {
      for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > LINE_CHARACTERS_MOST) throw new AgentError('INTERNAL', 'The agent sent a line without end');
        yield lines.filter((line) => line !== '').map((line) => JSON.parse(line) as T);
      }
    } catch (error) {
      if (this.#options.signal.aborted) return;
      throw error instanceof AgentError ? error : this.#unreachable(error);
    }
  }

  async #text(method: Method, path: string, query: Query, payload?: object): Promise<string> {
    const response = await this.#request(method, path, query, payload);
    try {
      return await readText(response);
    } catch (error) {
      throw this.#unreachable(error);
    }
  }

  async #request(method: Method, path: string, query: Query, payload?: object): Promise<IncomingMessage> {
    const present = Object.entries(query).filter(([, value]) => value !== undefined);
    const search = new URLSearchParams(
      present.map(([name, value]): [string, string] => [name, String(value)]),
    ).toString();
    const body = payload === undefined ? undefined : JSON.stringify(payload);
    let response: IncomingMessage;
    try {
      response = await this.#send(method, search === '' ? path : `${path}?${search}`, body);
    } catch (error) {
      throw this.#unreachable(error);
    }
    const status = response.statusCode ?? 0;
    if (status < 400) return response;
    throw refusal(status, await readText(response));
  }

  #send(method: Method, path: string, body: string | undefined): Promise<IncomingMessage> {
    const { socket, signal, timeoutMs } = this.#options;
    const content = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body ?? '') };
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : content;
      const sent = request({ socketPath: socket, method, path, headers, signal, timeout: timeoutMs, agent: false });
      sent.once('timeout', () => sent.destroy(new Error(`no answer for ${timeoutMs / 1000} seconds`)));
      sent.once('error', reject);
      sent.once('response', resolve);
      sent.end(body);
    });
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

async function readText(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) text += chunk;
  return text;
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
