import type { Logger } from 'pino';
import type { KubernetesClient } from '../../sources/kubernetes/client.ts';
import { KubernetesError } from '../../sources/kubernetes/error.ts';
import { type ApiObject, CONFIG_MAPS } from '../../sources/kubernetes/resource.ts';
import type { Authority } from '../../trust/authority.ts';
import { isEmpty, type SecretKeeper } from '../secrets.ts';
import { readShipped } from '../shipped.ts';
import {
  type AgentAuthority,
  type AuthorityPlan,
  bundleOf,
  makeAuthority,
  nextAuthority,
  readAuthority,
  writeAuthority,
} from './authority.ts';

/** The key of the ConfigMap's data: what the file is called where it is mounted. */
export const BUNDLE_FILE = 'authority.crt';

export interface AuthorityKeeperOptions {
  readonly client: KubernetesClient;
  readonly secret: SecretKeeper;
  /** Where agents read whom to believe. */
  readonly bundle: { readonly namespace: string; readonly name: string };
  readonly plan: AuthorityPlan;
  readonly logger: Pick<Logger, 'info' | 'error'>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

interface BundleObject extends ApiObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** Keeps the agents' authority in a secret, and tells agents of it in a ConfigMap. Of the leader. */
export class AuthorityKeeper {
  readonly #options: AuthorityKeeperOptions;
  #current: AgentAuthority | undefined;
  /** What agents can read, and since when. */
  #told: { readonly bundle: string; readonly since: number } | undefined;
  #complained = false;

  constructor(options: AuthorityKeeperOptions) {
    this.#options = options;
  }

  /** What signs; undefined while agents could not believe it. */
  get signing(): Authority | undefined {
    const current = this.#current;
    return current !== undefined && this.#told?.bundle === bundleOf(current) ? current.authority : undefined;
  }

  /** Forgets what it knows: somebody else leads. */
  reset(): void {
    this.#current = undefined;
    this.#told = undefined;
  }

  /** Makes, or follows, where that is due. @throws KubernetesError */
  async round(signal: AbortSignal): Promise<void> {
    const { secret, plan, now, logger } = this.#options;
    const present = await secret.read(signal);
    const known = readAuthority(present.texts);
    if (known === undefined && !isEmpty(present)) return this.#complain();
    this.#complained = false;
    if (known !== undefined) await this.#publish(known, signal);
    const told = known !== undefined && this.#told?.bundle === bundleOf(known) ? this.#told.since : undefined;
    const next = known === undefined ? await makeAuthority(plan, now()) : await nextAuthority(known, plan, told, now());
    if (next === undefined) return;
    try {
      await secret.write(writeAuthority(next), present, signal);
    } catch (thrown) {
      // Somebody was faster; the next round sees what is there.
      if (thrown instanceof KubernetesError && thrown.code === 'CONFLICT') return;
      throw thrown;
    }
    logger.info({ made: known === undefined }, "The agents' authority has changed");
    await this.#publish(next, signal);
  }

  /** It is somebody's, or half of it: nobody overwrites it, and nothing is signed with it. */
  #complain(): void {
    this.#current = undefined;
    if (this.#complained) return;
    this.#complained = true;
    const hint = "empty the secret: a new authority is made, and every agent's certificate with it";
    this.#options.logger.error({ hint }, "Cannot use the secret of the agents' authority: no certificate is signed");
  }

  async #publish(authority: AgentAuthority, signal: AbortSignal): Promise<void> {
    const { client, bundle: where, now } = this.#options;
    const bundle = bundleOf(authority);
    this.#current = authority;
    const present: BundleObject = await readShipped(client, CONFIG_MAPS, where, signal);
    if (present.data?.[BUNDLE_FILE] !== bundle) {
      await client.update<BundleObject>(CONFIG_MAPS, { ...present, data: { [BUNDLE_FILE]: bundle } }, { signal });
    }
    if (this.#told?.bundle !== bundle) this.#told = { bundle, since: now() };
  }
}
