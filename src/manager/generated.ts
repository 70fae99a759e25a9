import type { Logger } from 'pino';
import type { KubernetesClient } from '../sources/kubernetes/client.ts';
import { KubernetesError } from '../sources/kubernetes/error.ts';
import type { LooseObject, ResourceType } from '../sources/kubernetes/resource.ts';
import type { Applier } from './applier.ts';
import type { GeneratedObject } from './cluster.ts';
import { MANAGED } from './names.ts';
import { digest } from './policies.ts';

/** What an object should be. */
export interface Desired {
  readonly spec: object;
  /** Without times that only say when it was written. */
  readonly status: object;
  /** What tells statuses apart. */
  readonly statusDigest: string;
  /** Of the status the object has; undefined: it has none. */
  readonly presentStatus: string | undefined;
}

/** A status that changes all the time is written this often at most, milliseconds. */
const STATUS_EVERY_MS = 10_000;
/** What was written shows in what is followed within this time; else it is written again. */
const SHOWS_MS = 15_000;

/** Brings the objects of one generated kind to what they should be; the applier does the writing. */
export class GeneratedObjects {
  readonly #client: KubernetesClient;
  readonly #applier: Applier;
  readonly #resource: ResourceType<LooseObject>;
  readonly #now: () => number;
  readonly #logger: Pick<Logger, 'debug'>;
  /** What was written last, by key, until it shows. */
  readonly #written = new Map<string, { spec?: string; status?: string; at: number; statusAt: number }>();

  /** Of specs that stay the same from round to round. */
  readonly #digests = new WeakMap<object, string>();

  constructor(options: {
    readonly client: KubernetesClient;
    readonly applier: Applier;
    readonly resource: ResourceType<LooseObject>;
    /** Milliseconds of a clock that never jumps. */
    readonly now: () => number;
    readonly logger: Pick<Logger, 'debug'>;
  }) {
    this.#client = options.client;
    this.#applier = options.applier;
    this.#resource = options.resource;
    this.#now = options.now;
    this.#logger = options.logger;
  }

  /**
   * @param desired by `namespace/name`
   * @returns milliseconds after which to look again; undefined: nothing waits
   */
  reconcile(desired: ReadonlyMap<string, Desired>, present: ReadonlyMap<string, GeneratedObject>): number | undefined {
    const prefix = `${this.#resource.plural}/`;
    this.#applier.drop(prefix, (queued) => {
      const key = queued.slice(prefix.length).replace(/#status$/, '');
      return desired.has(key) || present.has(key);
    });
    let again: number | undefined;
    for (const [key, object] of desired) {
      const wait = this.#bring(key, object, present.get(key));
      if (wait !== undefined) again = Math.min(again ?? wait, wait);
    }
    for (const [key, { uid }] of present) if (!desired.has(key)) this.#remove(key, uid);
    for (const key of this.#written.keys()) if (!desired.has(key)) this.#written.delete(key);
    return again;
  }

  /** Forgets what it wrote: somebody else may have written since. */
  reset(): void {
    this.#written.clear();
  }

  #bring(key: string, object: Desired, present: GeneratedObject | undefined): number | undefined {
    const now = this.#now();
    const spec = this.#digestOf(object.spec);
    const last = this.#written.get(key);
    const shown = last === undefined || now - last.at > SHOWS_MS;
    if (present?.digest !== spec) {
      if (!shown && last?.spec === spec) return SHOWS_MS;
      this.#applier.add({
        party: nameOf(key).namespace,
        key: `${this.#resource.plural}/${key}`,
        run: async (signal) => {
          await this.#write(key, object.spec, present !== undefined, signal);
          this.#note(key, { spec, at: this.#now() });
        },
      });
      return undefined;
    }
    if (object.statusDigest === object.presentStatus) return undefined;
    if (!shown && last?.status === object.statusDigest) return SHOWS_MS;
    const due = (last?.statusAt ?? Number.NEGATIVE_INFINITY) + STATUS_EVERY_MS - now;
    if (due > 0) return due;
    this.#applier.add({
      party: nameOf(key).namespace,
      key: `${this.#resource.plural}/${key}#status`,
      run: async (signal) => {
        await this.#client.patchStatus(this.#resource, nameOf(key), object.status, { signal });
        this.#note(key, { status: object.statusDigest, at: this.#now(), statusAt: this.#now() });
      },
    });
    return undefined;
  }

  #digestOf(spec: object): string {
    const known = this.#digests.get(spec) ?? digest(spec);
    this.#digests.set(spec, known);
    return known;
  }

  #note(key: string, what: { spec?: string; status?: string; at: number; statusAt?: number }): void {
    const known = this.#written.get(key) ?? { at: 0, statusAt: Number.NEGATIVE_INFINITY };
    this.#written.set(key, { ...known, ...what });
  }

  async #write(key: string, spec: object, exists: boolean, signal: AbortSignal): Promise<void> {
    const name = nameOf(key);
    const labels = { ...MANAGED };
    const create = () => this.#client.create(this.#resource, { metadata: { ...name, labels }, spec }, { signal });
    const patch = () => this.#client.patch(this.#resource, name, { metadata: { labels }, spec }, { signal });
    this.#logger.debug({ object: `${this.#resource.kind} ${key}` }, exists ? 'Changing an object' : 'Making an object');
    try {
      await (exists ? patch() : create());
    } catch (thrown) {
      if (!(thrown instanceof KubernetesError)) throw thrown;
      if (exists && thrown.code === 'NOT_FOUND') await create();
      // Somebody made one by hand; it is ours by its name.
      else if (!exists && thrown.code === 'CONFLICT') await patch();
      else throw thrown;
    }
  }

  #remove(key: string, uid: string): void {
    this.#applier.add({
      party: nameOf(key).namespace,
      key: `${this.#resource.plural}/${key}`,
      run: async (signal) => {
        await this.#client.delete(this.#resource, nameOf(key), { uid, signal });
      },
    });
  }
}

function nameOf(key: string): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf('/');
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
