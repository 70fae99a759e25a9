/** An API server of plain objects, for tests of who writes what and when: versions and conflicts as the real one has. */
import type { Connection, Request } from '../../src/sources/kubernetes/connection.ts';
import { KubernetesError } from '../../src/sources/kubernetes/error.ts';
import type { LooseObject } from '../../src/sources/kubernetes/resource.ts';

export class MemoryApi implements Connection {
  readonly server = 'memory';
  readonly objects = new Map<string, LooseObject>();
  readonly writes: { readonly method: string; readonly path: string; readonly body: unknown }[] = [];
  /** Answers nobody while it is false. */
  up = true;
  #version = 0;

  async request<T>({ method, path, body, signal }: Request): Promise<T> {
    await Promise.resolve();
    signal?.throwIfAborted();
    if (!this.up) throw new KubernetesError('UNREACHABLE', `Cannot ${method} ${path}: it is down`);
    if (method !== 'GET') this.writes.push({ method, path, body });
    return structuredClone(this.#answer(method, path, body)) as T;
  }

  /** An object as it is shipped: with a name, and nothing in it. */
  ship(path: string): this {
    const [, namespace, name = ''] = /\/namespaces\/([^/]+)\/[^/]+\/([^/]+)$/.exec(path) ?? [];
    this.#store(path, { metadata: { name, ...(namespace === undefined ? {} : { namespace }) } });
    return this;
  }

  // biome-ignore lint/correctness/useYield: nobody watches here
  async *stream(): AsyncGenerator<string> {
    throw new KubernetesError('SERVER', 'Cannot watch: not made for it');
  }

  async close(): Promise<void> {}

  #answer(method: string, path: string, body: unknown): unknown {
    const given = (body ?? {}) as LooseObject;
    const target = method === 'POST' ? `${path}/${given.metadata.name}` : path.replace(/\/status$/, '');
    const known = this.objects.get(target);
    if (method === 'POST') {
      if (known !== undefined) throw new KubernetesError('CONFLICT', `Cannot ${method} ${path}: it exists`);
      return this.#store(target, given);
    }
    if (known === undefined) throw new KubernetesError('NOT_FOUND', `Cannot ${method} ${path}: there is none`);
    if (method === 'GET') return known;
    if (method === 'DELETE') {
      this.objects.delete(target);
      return {};
    }
    if (method === 'PATCH')
      return this.#store(target, { ...known, ...given, metadata: { ...known.metadata, ...given.metadata } });
    const { resourceVersion } = given.metadata;
    if (resourceVersion !== undefined && resourceVersion !== known.metadata.resourceVersion) {
      throw new KubernetesError('CONFLICT', `Cannot ${method} ${path}: it was changed`);
    }
    return this.#store(target, given);
  }

  #store(target: string, object: LooseObject): LooseObject {
    this.#version += 1;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
    this.objects.set(target, structuredClone(stored));
    return stored;
  }
}
