import type { Logger } from 'pino';
import { KubernetesError } from '../../sources/kubernetes/error.ts';
import { isEmpty, type SecretKeeper } from '../secrets.ts';
import {
  bundleOf,
  type CertificatePlan,
  endOf,
  makeTrust,
  nextTrust,
  readTrust,
  type WebhookTrust,
  writeTrust,
} from './certificate.ts';

export interface WebhookIdentityOptions {
  readonly secret: SecretKeeper;
  readonly plan: CertificatePlan;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Gets each certificate that is to be shown from now on. */
  readonly onCertificate: (certificate: string, key: string) => void;
}

/** Keeps the webhook's certificate in a secret: any replica makes it, the leader renews it, all of them follow. */
export class WebhookIdentity {
  readonly #options: WebhookIdentityOptions;
  #trust: WebhookTrust | undefined;
  #version = '';
  /** What the API servers have been told to believe, and since when. */
  #told: { readonly bundle: string; readonly since: number } | undefined;

  constructor(options: WebhookIdentityOptions) {
    this.#options = options;
  }

  get ready(): boolean {
    return this.#trust !== undefined;
  }

  /** What the API server is to believe, PEM; undefined before the first round. */
  get bundle(): string | undefined {
    return this.#trust === undefined ? undefined : bundleOf(this.#trust);
  }

  /** When the certificate ends, milliseconds since the epoch; undefined before the first round. */
  get ends(): number | undefined {
    return this.#trust === undefined ? undefined : endOf(this.#trust);
  }

  /**
   * The webhook's configuration has this bundle.
   * @param anew it had another one until now
   */
  told(bundle: string, anew: boolean): void {
    if (anew || this.#told?.bundle !== bundle) this.#told = { bundle, since: this.#options.now() };
  }

  /** Reads it; makes it where the secret is empty; renews it where that is due. @throws KubernetesError */
  async round(leading: boolean, signal: AbortSignal): Promise<void> {
    const { secret, plan, now, logger } = this.#options;
    const present = await secret.read(signal);
    const trust = readTrust(present.texts);
    if (trust !== undefined) this.#show(trust, present.version);
    else if (!leading && !isEmpty(present)) return;
    // Who does not lead does not tell, and does not know what others have.
    if (!leading) this.#told = undefined;
    const next = trust === undefined ? await makeTrust(plan, now()) : leading ? await this.#nextOf(trust) : undefined;
    if (next === undefined) return;
    try {
      const written = await secret.write(writeTrust(next), present, signal);
      this.#show(next, written.version);
      logger.info({ ends: new Date(endOf(next)).toISOString() }, 'The webhook has a new certificate');
    } catch (thrown) {
      // Another replica was faster; the next round takes its certificate.
      if (!(thrown instanceof KubernetesError) || thrown.code !== 'CONFLICT') throw thrown;
    }
  }

  #nextOf(trust: WebhookTrust): Promise<WebhookTrust | undefined> {
    const { plan, now } = this.#options;
    const toldAt = this.#told?.bundle === bundleOf(trust) ? this.#told.since : undefined;
    return nextTrust(trust, plan, now(), toldAt);
  }

  #show(trust: WebhookTrust, version: string): void {
    if (version === this.#version) return;
    const { certificate, key } = trust;
    const changed = certificate !== this.#trust?.certificate || key !== this.#trust.key;
    try {
      if (changed) this.#options.onCertificate(certificate, key);
      this.#trust = trust;
      this.#version = version;
    } catch (thrown) {
      this.#options.logger.warn({ err: thrown }, 'Cannot use the certificate of the secret; the former one stays');
    }
  }
}
