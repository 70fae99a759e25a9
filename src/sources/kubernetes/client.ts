import type { Connection } from './connection.ts';
import { KubernetesError } from './error.ts';
import type { ApiObject, ResourceType } from './resource.ts';
import { apiVersionOf, isApiObject, keyOf, pathOf } from './resource.ts';

/** Objects asked for at once. */
const PAGE_SIZE = 500;
/** Of a page that is too long this part is asked for next. */
const FEWER = 8;

/** Bodies of a PATCH. */
const MERGE = 'application/merge-patch+json';
/** JSON is YAML. */
const APPLY = 'application/apply-patch+yaml';
/** Of an object everything but its metadata is left out, whatever its kind. */
const METADATA_ONLY = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';

/** Which object: the namespace is left out for what belongs to none. */
export interface ObjectName {
  readonly namespace?: string | undefined;
  readonly name: string;
}

export interface ListOptions {
  readonly namespace?: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  /** Objects asked for at once. Default 500; 0: all. */
  readonly pageSize?: number;
  /** What the API server has in its cache is new enough: one answer, which costs its database nothing. */
  readonly fromCache?: boolean;
}

export interface WriteOptions {
  /** Checked by the server, not kept. */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal | undefined;
}

export interface ApplyOptions extends WriteOptions {
  /** In whose name fields are owned. */
  readonly fieldManager: string;
  /** Takes fields that others own. */
  readonly force?: boolean;
  readonly subresource?: 'status';
}

/** One page of a list. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Of the whole list: a watch from here misses nothing. */
  readonly resourceVersion: string;
  /** Asks for what follows; undefined at the end. */
  readonly continue?: string;
}

/** Verbs of the API, with types. Objects are what the server says; only that they have names is checked. */
export class KubernetesClient {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async get<T extends ApiObject>(resource: ResourceType<T>, object: ObjectName, signal?: AbortSignal): Promise<T> {
    const path = pathOf(resource, object.namespace, object.name);
    return this.#object(await this.#connection.request({ method: 'GET', path, ...withSignal(signal) }), path);
  }

  /** An object's metadata; its content does not travel. */
  async getMetadata(resource: ResourceType, object: ObjectName, signal?: AbortSignal): Promise<ApiObject> {
    const path = pathOf(resource, object.namespace, object.name);
    const request = { method: 'GET', path, accept: METADATA_ONLY, ...withSignal(signal) } as const;
    return this.#object(await this.#connection.request(request), path);
  }

  /**
   * Pages of a list; objects without a name are left out. A page that is too long is asked for again with fewer objects:
   * whoever may write large ones could otherwise keep us from all others.
   */
  async *pages<T extends ApiObject>(
    resource: ResourceType<T>,
    options: ListOptions = {},
    signal?: AbortSignal,
  ): AsyncGenerator<Page<T>> {
    const { pageSize = PAGE_SIZE } = options;
    let { fromCache = false } = options;
    let limit = fromCache ? 0 : pageSize;
    let next: string | undefined;
    for (;;) {
      let page: Page<T>;
      try {
        page = await this.#page(resource, { ...options, fromCache, pageSize: limit }, next, signal);
      } catch (thrown) {
        const tooLarge = thrown instanceof KubernetesError && thrown.code === 'TOO_LARGE';
        if (!tooLarge || limit === 1) throw thrown;
        limit = limit === 0 ? PAGE_SIZE : Math.ceil(limit / FEWER);
        // What is in the server's cache comes in one piece.
        fromCache = false;
        continue;
      }
      yield page;
      next = page.continue;
      if (next === undefined) return;
      limit = Math.min(pageSize || PAGE_SIZE, limit * 2);
    }
  }

  async list<T extends ApiObject>(
    resource: ResourceType<T>,
    options?: ListOptions,
    signal?: AbortSignal,
  ): Promise<T[]> {
    const items: T[] = [];
    for await (const page of this.pages(resource, options, signal)) items.push(...page.items);
    return items;
  }

  async create<T extends ApiObject>(resource: ResourceType<T>, object: T, options: WriteOptions = {}): Promise<T> {
    const path = pathOf(resource, object.metadata.namespace);
    return await this.#write('POST', path, this.#whole(resource, object), options);
  }

  /** Replaces an object; CONFLICT where it was changed since its resourceVersion. */
  async update<T extends ApiObject>(resource: ResourceType<T>, object: T, options: WriteOptions = {}): Promise<T> {
    return await this.#write('PUT', this.#pathTo(resource, object.metadata), this.#whole(resource, object), options);
  }

  async updateStatus<T extends ApiObject>(
    resource: ResourceType<T>,
    object: T,
    options: WriteOptions = {},
  ): Promise<T> {
    return await this.#updatePart(resource, object, 'status', options);
  }

  /** Of a CertificateSigningRequest: that it is approved, or denied, has a right of its own. */
  async updateApproval<T extends ApiObject>(
    resource: ResourceType<T>,
    object: T,
    options: WriteOptions = {},
  ): Promise<T> {
    return await this.#updatePart(resource, object, 'approval', options);
  }

  async #updatePart<T extends ApiObject>(
    resource: ResourceType<T>,
    object: T,
    part: 'status' | 'approval',
    options: WriteOptions,
  ): Promise<T> {
    const path = this.#pathTo(resource, object.metadata, part);
    return await this.#write('PUT', path, this.#whole(resource, object), options);
  }

  /** JSON merge patch (RFC 7396). */
  async patch<T extends ApiObject>(
    resource: ResourceType<T>,
    object: ObjectName,
    change: object,
    options: WriteOptions = {},
  ): Promise<T> {
    return await this.#write('PATCH', this.#pathTo(resource, object), change, options, MERGE);
  }

  async patchStatus<T extends ApiObject>(
    resource: ResourceType<T>,
    object: ObjectName,
    status: object,
    options: WriteOptions = {},
  ): Promise<T> {
    return await this.#write('PATCH', this.#pathTo(resource, object, 'status'), { status }, options, MERGE);
  }

  /** Server-side apply: makes the object where there is none, and owns exactly the fields given. */
  async apply<T extends ApiObject>(resource: ResourceType<T>, object: T, options: ApplyOptions): Promise<T> {
    const { fieldManager, force = false, subresource } = options;
    const path = this.#pathTo(resource, object.metadata, subresource);
    const query = { fieldManager, ...(force ? { force: 'true' } : {}) };
    return await this.#write('PATCH', path, this.#whole(resource, object), options, APPLY, query);
  }

  /** @returns false where there was no such object */
  async delete(
    resource: ResourceType,
    object: ObjectName,
    { uid, signal }: { readonly uid?: string; readonly signal?: AbortSignal } = {},
  ): Promise<boolean> {
    const body = { kind: 'DeleteOptions', apiVersion: 'v1', ...(uid === undefined ? {} : { preconditions: { uid } }) };
    const path = this.#pathTo(resource, object);
    try {
      await this.#connection.request({ method: 'DELETE', path, body, ...withSignal(signal) });
      return true;
    } catch (thrown) {
      if (thrown instanceof KubernetesError && thrown.code === 'NOT_FOUND') return false;
      throw thrown;
    }
  }

  async #page<T extends ApiObject>(
    resource: ResourceType<T>,
    options: ListOptions,
    next: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Page<T>> {
    const { namespace, fieldSelector, labelSelector, pageSize = PAGE_SIZE, fromCache = false } = options;
    const path = pathOf(resource, namespace);
    const query = {
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fromCache ? { resourceVersion: '0' } : {}),
      ...(pageSize === 0 || fromCache ? {} : { limit: String(pageSize) }),
      ...(next === undefined ? {} : { continue: next }),
    };
    const answer = await this.#connection.request({ method: 'GET', path, query, ...withSignal(signal) });
    const page = pageOf<T>(answer);
    if (page !== undefined) return page;
    throw new KubernetesError('SERVER', `Cannot list ${path} of ${this.#connection.server}: the answer is no list`);
  }

  async #write<T extends ApiObject>(
    method: 'POST' | 'PUT' | 'PATCH',
    path: string,
    body: object,
    { dryRun = false, signal }: WriteOptions,
    contentType?: string,
    more: Readonly<Record<string, string>> = {},
  ): Promise<T> {
    const query = { ...more, ...(dryRun ? { dryRun: 'All' } : {}) };
    const type = contentType === undefined ? {} : { contentType };
    return this.#object(
      await this.#connection.request({ method, path, query, body, ...type, ...withSignal(signal) }),
      path,
    );
  }

  #pathTo(resource: ResourceType, { namespace, name }: ObjectName, subresource?: string): string {
    return pathOf(resource, namespace, name, subresource);
  }

  #whole<T extends ApiObject>(resource: ResourceType<T>, object: T): T {
    return { ...object, apiVersion: apiVersionOf(resource), kind: resource.kind };
  }

  /** The server's answer, which has an object's form; a review has no name. */
  #object<T extends ApiObject>(answer: unknown, path: string): T {
    if (typeof answer === 'object' && answer !== null && 'metadata' in answer) return answer as T;
    throw new KubernetesError('SERVER', `Cannot use ${path} of ${this.#connection.server}: the answer is no object`);
  }
}

function withSignal(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function pageOf<T extends ApiObject>(answer: unknown): Page<T> | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined;
  const { items, metadata } = answer as {
    items?: unknown;
    metadata?: { resourceVersion?: unknown; continue?: unknown };
  };
  const version = metadata?.resourceVersion;
  // A list of nothing may be null.
  if (!(Array.isArray(items) || items === null || items === undefined) || typeof version !== 'string') return undefined;
  const next = metadata?.continue;
  const named = (items ?? []).filter((item): item is T => isApiObject(item));
  const page = { items: named, resourceVersion: version };
  return typeof next === 'string' && next !== '' ? { ...page, continue: next } : page;
}

/** How an object is called in messages: `Deployment shop/web`. */
export function nameOf(resource: ResourceType, object: ObjectName): string {
  const { namespace, name } = object;
  return `${resource.kind} ${keyOf(namespace === undefined ? { name } : { namespace, name })}`;
}
