/** Secrets the manager keeps: read, made where there is none, changed only as they were read. */
import type { KubernetesClient } from '../sources/kubernetes/client.ts';
import { KubernetesError } from '../sources/kubernetes/error.ts';
import { type ApiObject, SECRETS } from '../sources/kubernetes/resource.ts';
import { MANAGED } from './names.ts';

interface SecretObject extends ApiObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

/** A secret's texts by their keys, and which version of it they are of. */
export interface KeptSecret {
  readonly texts: Readonly<Record<string, string>>;
  readonly version: string;
}

export class SecretKeeper {
  readonly #client: KubernetesClient;
  readonly #namespace: string;
  readonly #name: string;
  readonly #type: string;

  /** @param type of the secret when it is made: `Opaque`, `kubernetes.io/tls` */
  constructor(client: KubernetesClient, namespace: string, name: string, type = 'Opaque') {
    this.#client = client;
    this.#namespace = namespace;
    this.#name = name;
    this.#type = type;
  }

  /** @returns undefined where there is none. @throws KubernetesError */
  async read(signal?: AbortSignal): Promise<KeptSecret | undefined> {
    const where = { namespace: this.#namespace, name: this.#name };
    try {
      return kept((await this.#client.get(SECRETS, where, signal)) as SecretObject);
    } catch (thrown) {
      if (thrown instanceof KubernetesError && thrown.code === 'NOT_FOUND') return undefined;
      throw thrown;
    }
  }

  /**
   * Writes all of it.
   * @param version as it was read; undefined: there was none
   * @throws KubernetesError CONFLICT where somebody else has made or changed it since
   */
  async write(
    texts: Readonly<Record<string, string>>,
    version: string | undefined,
    signal?: AbortSignal,
  ): Promise<KeptSecret> {
    const data = Object.fromEntries(
      Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
    );
    const metadata = { namespace: this.#namespace, name: this.#name, labels: { ...MANAGED } };
    const options = signal === undefined ? {} : { signal };
    if (version === undefined) {
      const object: SecretObject = { metadata, type: this.#type, data };
      return kept(await this.#client.create<SecretObject>(SECRETS, object, options));
    }
    const object: SecretObject = { metadata: { ...metadata, resourceVersion: version }, type: this.#type, data };
    return kept(await this.#client.update<SecretObject>(SECRETS, object, options));
  }
}

function kept({ metadata, data = {} }: SecretObject): KeptSecret {
  const texts = Object.entries(data).map(([key, text]) => [key, Buffer.from(text, 'base64').toString('utf8')]);
  return { texts: Object.fromEntries(texts), version: metadata.resourceVersion ?? '' };
}
