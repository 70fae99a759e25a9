import type { Dispatcher } from 'undici';
import { Client, Pool } from 'undici';
import * as z from 'zod';
import { readBounded, readLines } from '../body.ts';
import { errnoOf, SourceError } from '../error.ts';
import type { EngineEvent, Inspected } from './messages.ts';
import { eventSchema, inspectSchema, listSchema, refusalSchema, versionSchema } from './messages.ts';

/** Newest and oldest versions of the API whose answers we know. */
const NEWEST = [1, 51] as const;
const OLDEST = [1, 24] as const;

/** A list of 10,000 containers with their labels; one container with all it can have; one event. */
const LONGEST_LIST = 64 << 20;
const LONGEST_INSPECT = 4 << 20;
const LONGEST_EVENT = 1 << 20;

export interface EngineOptions {
  /** Path of the engine's UNIX socket. */
  readonly socket: string;
  /** How long any answer may take, milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /** Requests under way at once. Default 8. */
  readonly connections?: number;
}

/** One entry of the list: its text tells whether anything about the container changed. */
export interface Listed {
  readonly id: string;
  readonly summary: string;
}

/** The Docker engine's API, as far as it is read: versioned, bounded, with time limits. */
export class Engine {
  readonly #socket: string;
  readonly #timeoutMs: number;
  readonly #pool: Pool;
  #version: string | undefined;

  constructor({ socket, timeoutMs = 10_000, connections = 8 }: EngineOptions) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    this.#pool = new Pool('http://docker', { ...this.#connection(timeoutMs), connections });
  }

  /** Agrees on a version of the API; to be called at the beginning, and after the engine was away. */
  async negotiate(signal: AbortSignal): Promise<string> {
    const offer = await this.#read('/version', versionSchema, LONGEST_EVENT, signal);
    const theirs = parseVersion(offer?.ApiVersion);
    const least = parseVersion(offer?.MinAPIVersion ?? '1.12');
    if (theirs === undefined || least === undefined) {
      throw new SourceError('MALFORMED', `Cannot agree on an API version with the engine on ${this.#socket}`);
    }
    if (isOlder(theirs, OLDEST) || isOlder(NEWEST, least)) {
      const [offered, known] = [
        `${least.join('.')} to ${theirs.join('.')}`,
        `${OLDEST.join('.')} to ${NEWEST.join('.')}`,
      ];
      throw new SourceError('VERSION', `The engine on ${this.#socket} speaks API ${offered}, wanted one of ${known}`, {
        hint: 'upgrade the engine or this program, whichever is older',
      });
    }
    this.#version = (isOlder(theirs, NEWEST) ? theirs : NEWEST).join('.');
    return this.#version;
  }

  /** Containers that run, paused ones included. */
  async list(signal: AbortSignal): Promise<Listed[]> {
    const entries = (await this.#read(this.#path('/containers/json'), listSchema, LONGEST_LIST, signal)) ?? [];
    // "Up 5 minutes" changes by itself.
    return entries.map(({ Status: _, ...entry }) => ({ id: entry.Id, summary: JSON.stringify(entry) }));
  }

  /** One container; undefined where there is none. */
  async inspect(id: string, signal: AbortSignal): Promise<Inspected | undefined> {
    const path = this.#path(`/containers/${encodeURIComponent(id)}/json`);
    return await this.#read(path, inspectSchema, LONGEST_INSPECT, signal);
  }

  /**
   * Subscribes to events; resolves when the engine has accepted, so that what is listed afterwards misses nothing.
   * @param since milliseconds since the epoch: later events come even where they happened before the call
   */
  async subscribe(since: number, signal: AbortSignal): Promise<AsyncIterable<EngineEvent>> {
    const actions = ['start', 'die', 'destroy', 'rename', 'unpause', 'connect', 'disconnect'];
    const filters = JSON.stringify({ type: ['container', 'network'], event: actions });
    const query = new URLSearchParams({ since: (since / 1000).toFixed(3), filters });
    // A connection of its own, on which silence is normal.
    const client = new Client('http://docker', this.#connection(0));
    try {
      const answer = await this.#request(client, this.#path(`/events?${query}`), signal);
      if (answer.statusCode !== 200) throw await this.#refusal(answer, '/events', signal);
      return this.#events(client, answer.body);
    } catch (thrown) {
      await client.destroy();
      throw thrown;
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async *#events(client: Client, body: Dispatcher.ResponseData['body']): AsyncGenerator<EngineEvent> {
    try {
      for await (const line of readLines(body, LONGEST_EVENT)) yield this.#parse(line, eventSchema, '/events');
    } catch (thrown) {
      throw this.#failure(thrown, '/events');
    } finally {
      await client.destroy();
    }
  }

  #connection(bodyTimeout: number): Client.Options {
    return { socketPath: this.#socket, headersTimeout: this.#timeoutMs, connectTimeout: this.#timeoutMs, bodyTimeout };
  }

  #path(path: string): string {
    return this.#version === undefined ? path : `/v${this.#version}${path}`;
  }

  async #request(from: Dispatcher, path: string, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    try {
      return await from.request({ method: 'GET', path, signal });
    } catch (thrown) {
      throw this.#failure(thrown, path);
    }
  }

  /** Reads one answer; undefined where the engine says there is no such thing. */
  async #read<T>(path: string, schema: z.ZodType<T>, longest: number, parent: AbortSignal): Promise<T | undefined> {
    const signal = AbortSignal.any([parent, AbortSignal.timeout(this.#timeoutMs)]);
    const answer = await this.#request(this.#pool, path, signal);
    if (answer.statusCode !== 200) {
      const refusal = await this.#refusal(answer, path, signal);
      if (answer.statusCode === 404) return undefined;
      throw refusal;
    }
    try {
      return this.#parse(await readBounded(answer.body, longest), schema, path);
    } catch (thrown) {
      throw this.#failure(thrown, path);
    }
  }

  #parse<T>(text: string, schema: z.ZodType<T>, path: string): T {
    const parsed = parseJson(text);
    const result = schema.safeParse(parsed);
    if (result.success) return result.data;
    const found = z.prettifyError(result.error).slice(0, 500);
    throw new SourceError(
      'MALFORMED',
      `Cannot understand what the engine on ${this.#socket} says to ${path}: ${found}`,
    );
  }

  async #refusal(answer: Dispatcher.ResponseData, path: string, signal: AbortSignal): Promise<SourceError> {
    const text = await readBounded(answer.body, LONGEST_EVENT).catch((thrown: unknown) => {
      if (signal.aborted) throw thrown;
      return '';
    });
    const said = refusalSchema.safeParse(parseJson(text)).data?.message ?? `status ${answer.statusCode}`;
    return new SourceError('REFUSED', `The engine on ${this.#socket} refuses ${path}: ${said.slice(0, 500)}`);
  }

  #failure(thrown: unknown, path: string): unknown {
    if (!(thrown instanceof Error) || thrown instanceof SourceError || thrown.name === 'AbortError') return thrown;
    const errno = errnoOf(thrown) ?? '';
    const what = `Cannot read ${path} from the engine on ${this.#socket}`;
    if (thrown.name === 'TimeoutError' || errno.endsWith('_TIMEOUT')) {
      return new SourceError('TIMEOUT', `${what}: no answer in ${this.#timeoutMs} ms`, { cause: thrown });
    }
    const hint = errno === 'EACCES' ? 'run as root or in the group that owns the socket' : 'is the engine running?';
    return new SourceError('UNREACHABLE', `${what}: ${thrown.message}`, { cause: thrown, hint });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // no schema accepts it, and says what was wanted
  }
}

function parseVersion(text: string | undefined): readonly [number, number] | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})$/.exec(text ?? '');
  return match === null ? undefined : [Number(match[1]), Number(match[2])];
}

function isOlder(a: readonly [number, number], b: readonly [number, number]): boolean {
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
}
