/** An API server as small as tests of its clients need one, that misbehaves on demand. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { ServerOptions } from 'node:https';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ApiObject } from '../../../src/sources/kubernetes/resource.ts';

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

interface Watch {
  readonly path: string;
  readonly response: ServerResponse;
}

/** Keeps objects by the path of their collection; everything it is asked is in `seen`. */
export class FakeApiServer {
  readonly seen: Seen[] = [];
  /** Answers instead of it; true: it did. */
  intercept: (seen: Seen, response: ServerResponse) => boolean = () => false;
  readonly #directory = mkdtempSync(join(tmpdir(), 'sallyport-test-kubernetes-'));
  readonly #collections = new Map<string, Map<string, ApiObject>>();
  readonly #watches = new Set<Watch>();
  #version = 100;
  #server: Server | undefined;
  #port = 0;
  #tls: ServerOptions | undefined;

  async start(tls?: ServerOptions): Promise<void> {
    this.#tls = tls;
    const listener: RequestListener = (request, response) => this.#receive(request, response);
    const server = tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Hangs up on everybody; starts again on the same port. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    this.#watches.clear();
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.#directory, { recursive: true });
  }

  get url(): string {
    return `${this.#tls === undefined ? 'http' : 'https'}://127.0.0.1:${this.#port}`;
  }

  file(name: string, text: string): string {
    const path = join(this.#directory, name);
    writeFileSync(path, text);
    return path;
  }

  /** A kubeconfig for it; JSON is YAML. */
  kubeconfig(user: object = {}, cluster: object = {}): string {
    return this.file(
      'kubeconfig',
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'test',
        clusters: [{ name: 'c', cluster: { server: this.url, ...cluster } }],
        contexts: [{ name: 'test', context: { cluster: 'c', user: 'u' } }],
        users: [{ name: 'u', user }],
      }),
    );
  }

  /** Watches that are open. */
  get watching(): number {
    return this.#watches.size;
  }

  objects(path: string): Map<string, ApiObject> {
    const known = this.#collections.get(path) ?? new Map<string, ApiObject>();
    this.#collections.set(path, known);
    return known;
  }

  /** Makes or changes an object, and tells those who watch unless `quietly`. */
  set(path: string, object: ApiObject, quietly = false): void {
    const objects = this.objects(path);
    const { namespace = '', name } = object.metadata;
    const type = objects.has(`${namespace}/${name}`) ? 'MODIFIED' : 'ADDED';
    this.#version += 1;
    const whole = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
    objects.set(`${namespace}/${name}`, whole);
    if (!quietly) this.tell(path, { type, object: whole });
  }

  remove(path: string, key: string, quietly = false): void {
    const object = this.objects(path).get(key);
    this.#version += 1;
    this.objects(path).delete(key);
    if (!quietly) this.tell(path, { type: 'DELETED', object });
  }

  bookmark(path: string): void {
    this.#version += 1;
    this.tell(path, { type: 'BOOKMARK', object: { metadata: { resourceVersion: String(this.#version) } } });
  }

  get version(): string {
    return String(this.#version);
  }

  tell(path: string, event: unknown): void {
    this.write(path, `${JSON.stringify(event)}\n`);
  }

  write(path: string, text: string): void {
    for (const watch of this.#watches) if (watch.path === path) watch.response.write(text);
  }

  endWatches(): void {
    for (const { response } of this.#watches) response.end();
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://x');
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      const { method = '', headers } = request;
      const seen = { method, path: url.pathname, query: url.searchParams, headers, body };
      this.seen.push(seen);
      if (!this.intercept(seen, response)) this.#answer(seen, response);
    });
  }

  #answer({ method, path, query }: Seen, response: ServerResponse): void {
    response.setHeader('content-type', 'application/json');
    if (method !== 'GET' || !this.#collections.has(path)) {
      answerStatus(response, 404, 'NotFound', 'the server could not find the requested resource');
      return;
    }
    if (query.get('watch') === 'true') {
      const watch = { path, response };
      this.#watches.add(watch);
      response.on('close', () => this.#watches.delete(watch));
      response.writeHead(200);
      response.flushHeaders();
      return;
    }
    const all = [...this.objects(path).values()];
    const from = Number(query.get('continue') ?? 0);
    const limit = Number(query.get('limit') ?? 0) || all.length;
    const more = from + limit < all.length ? String(from + limit) : '';
    const metadata = { resourceVersion: this.version, continue: more };
    response.end(JSON.stringify({ kind: 'List', metadata, items: all.slice(from, from + limit) }));
  }
}

export function answerStatus(response: ServerResponse, code: number, reason: string, message: string): void {
  response.statusCode = code;
  response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code, reason, message }));
}
