/** Secrets the manager fills: they come empty, are read, and changed only as they were read. */
import type { KubernetesClient } from '../sources/kubernetes/client.ts';
import { type ApiObject, SECRETS } from '../sources/kubernetes/resource.ts';
import { readShipped } from './shipped.ts';

interface SecretObject extends ApiObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** A secret's texts by their keys, and which version of it they are of. */
export interface KeptSecret {
  readonly texts: Readonly<Record<string, string>>;
  readonly version: string;
  /** All else of it: type, labels and annotations are of whoever brought it. */
  readonly rest: ApiObject;
}

export class SecretKeeper {
  readonly #client: KubernetesClient;
  readonly #namespace: string;
  readonly #name: string;

  constructor(client: KubernetesClient, namespace: string, name: string) {
    this.#client = client;
    this.#namespace = namespace;
    this.#name = name;
  }

  /** @throws KubernetesError NOT_FOUND where there is none */
  async read(signal?: AbortSignal): Promise<KeptSecret> {
    const where = { namespace: this.#namespace, name: this.#name };
    return kept(await readShipped(this.#client, SECRETS, where, signal));
  }

  /**
   * Writes all of it.
   * @param present as it was read
   * @throws KubernetesError CONFLICT where somebody else has changed it since
   */
  async write(texts: Readonly<Record<string, string>>, present: KeptSecret, signal?: AbortSignal): Promise<KeptSecret> {
    const data = Object.fromEntries(
      Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
    );
    const object: SecretObject = { ...present.rest, data };
    return kept(await this.#client.update<SecretObject>(SECRETS, object, signal === undefined ? {} : { signal }));
  }
}

/** Whether it is as it came: nobody has put anything into it. */
export function isEmpty({ texts }: KeptSecret): boolean {
  return Object.keys(texts).length === 0;
}

function kept({ data, ...rest }: SecretObject): KeptSecret {
  const texts = Object.entries(data ?? {}).map(([key, text]) => [key, Buffer.from(text, 'base64').toString('utf8')]);
  return { texts: Object.fromEntries(texts), version: rest.metadata.resourceVersion ?? '', rest };
}
