import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { Backoff } from '../../sources/backoff.ts';
import type { KubernetesClient } from '../../sources/kubernetes/client.ts';
import { asKubernetesError, KubernetesError } from '../../sources/kubernetes/error.ts';
import { CERTIFICATE_REQUESTS, type LooseObject } from '../../sources/kubernetes/resource.ts';
import { type CredentialFiles, type Credentials, loadCredentials } from '../../trust/credentials.ts';
import { asTrustError, TrustError } from '../../trust/error.ts';
import { writeTrusted } from '../../trust/files.ts';
import { makeRequest } from '../../trust/request.ts';

export interface EnrolmentOptions {
  readonly client: Pick<KubernetesClient, 'create' | 'get'>;
  readonly domain: string;
  readonly node: string;
  /** `spec.signerName` of its requests. */
  readonly signer: string;
  /** Certificate and key are written, the authorities read. */
  readonly files: CredentialFiles;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly onProblem: (error: Error) => void;
  /** From 0 to below 1. */
  readonly random?: () => number;
  /** For tests, milliseconds. */
  readonly timing?: EnrolmentTiming;
}

export interface EnrolmentTiming {
  /** How often the files are looked at. */
  readonly look: number;
  /** How often it is asked whether a request is answered. */
  readonly poll: { readonly leastMs: number; readonly mostMs: number };
  /** Between attempts that fail. */
  readonly retry: { readonly leastMs: number; readonly mostMs: number };
  /** How long the authority of a new certificate may take to be known here, before another one is asked for. */
  readonly told: number;
}

export const ENROLMENT_TIMING: EnrolmentTiming = {
  look: 10_000,
  poll: { leastMs: 500, mostMs: 30_000 },
  retry: { leastMs: 5_000, mostMs: 300_000 },
  told: 300_000,
};

/** A certificate is renewed when this part of its life is over, or somewhat before: not all nodes at once. */
const RENEWED = 2 / 3;
const EARLIER = 0.1;
const USAGES = ['digital signature', 'client auth', 'server auth'];

const statusSchema = z.object({
  certificate: z.string().max(65_536).nullish(),
  conditions: z
    .array(z.object({ type: z.string(), reason: z.string().default(''), message: z.string().default('') }))
    .nullish(),
});

/**
 * How long the certificate is still good enough, milliseconds; 0 or less: another one is wanted now.
 * @param chance of this agent, from 0 to below 1
 */
export function renewalIn(
  { notBefore, notAfter }: Pick<Credentials, 'notBefore' | 'notAfter'>,
  chance: number,
  now: number,
): number {
  return notBefore + (notAfter - notBefore) * (RENEWED - EARLIER * chance) - now;
}

/**
 * Keeps this agent's certificate good: makes a key that does not leave the node, has the cluster's manager sign it, and
 * writes both where the agent follows them. What there is stays in use until there is something better.
 */
export class Enrolment {
  readonly #options: EnrolmentOptions;
  readonly #timing: EnrolmentTiming;
  readonly #chance: number;
  readonly #backoff: Backoff;
  #problem: Error | undefined;
  #running: Promise<void> | undefined;
  /** When the last certificate came. */
  #issuedAt = Number.NEGATIVE_INFINITY;

  constructor(options: EnrolmentOptions) {
    this.#options = options;
    this.#timing = options.timing ?? ENROLMENT_TIMING;
    this.#chance = (options.random ?? Math.random)();
    this.#backoff = new Backoff(this.#timing.retry);
  }

  /** Why there is no certificate, or no newer one. */
  get problem(): string | undefined {
    return this.#problem?.message;
  }

  /** Works until the signal aborts. */
  start(signal: AbortSignal): void {
    this.#running ??= this.#run(signal);
  }

  /** Resolves when it has ended, after the signal. */
  async ended(): Promise<void> {
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const wait = this.#dueIn();
      if (wait > 0) {
        await pause(Math.min(wait, this.#timing.look), signal);
        continue;
      }
      try {
        await this.#renew(signal);
        this.#backoff.reset();
      } catch (thrown) {
        if (signal.aborted) return;
        this.#tell(thrown instanceof TrustError ? thrown : asKubernetesError(thrown, 'get a certificate'));
        // Never at once: a request is an object in the API server's store.
        await pause(this.#timing.retry.leastMs / 2 + this.#backoff.next(), signal);
      }
    }
  }

  #dueIn(): number {
    const { files, domain, node, now } = this.#options;
    const time = now();
    try {
      const good = loadCredentials(files, { domain, node }, time);
      const wait = renewalIn(good, this.#chance, time);
      if (wait > 0) this.#problem = undefined;
      return wait;
    } catch (thrown) {
      const since = time - this.#issuedAt;
      if (since < 0 || since >= this.#timing.told) return 0;
      // It is signed by somebody of whom this node is going to hear.
      this.#tell(asTrustError(thrown, 'INVALID', `use ${files.certificate}`));
      return this.#timing.told - since;
    }
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { client, domain, node, signer, files, now } = this.#options;
    const { key, request } = makeRequest(domain, node);
    const metadata = { name: requestName(node), labels: { 'app.kubernetes.io/managed-by': 'sallyport' } };
    const spec = { request: Buffer.from(request).toString('base64'), signerName: signer, usages: USAGES };
    const object: LooseObject = { metadata, spec };
    await client.create(CERTIFICATE_REQUESTS, object, { signal });
    const certificate = await this.#answer(metadata.name, signal);
    if (!belongs(certificate, key)) {
      throw new TrustError('MISMATCH', `Cannot use the answer to ${metadata.name}: it is no certificate for its key`);
    }
    writeTrusted(
      [
        { path: files.key, text: key, mode: 0o600 },
        { path: files.certificate, text: certificate, mode: 0o644 },
      ],
      { force: true },
    );
    this.#issuedAt = now();
  }

  /** The certificate, PEM. It is waited for as long as the request is there: Kubernetes forgets it after a day. */
  async #answer(name: string, signal: AbortSignal): Promise<string> {
    const { leastMs, mostMs } = this.#timing.poll;
    for (let wait = leastMs; ; wait = Math.min(mostMs, wait * 1.5)) {
      await pause(wait, signal);
      signal.throwIfAborted();
      const { status } = await this.#look(name, signal);
      const { certificate, conditions } = statusSchema.safeParse(status ?? {}).data ?? {};
      const refused = conditions?.find(({ type }) => type === 'Denied' || type === 'Failed');
      if (refused !== undefined) {
        const why = `${refused.reason}: ${refused.message}`.slice(0, 1_000);
        throw new TrustError('INVALID', `The manager has denied the certificate of this node (${name}): ${why}`);
      }
      if (certificate) return Buffer.from(certificate, 'base64').toString('utf8');
    }
  }

  /** While the server is away, nothing new is heard. */
  async #look(name: string, signal: AbortSignal): Promise<LooseObject> {
    try {
      const object = await this.#options.client.get(CERTIFICATE_REQUESTS, { name }, signal);
      this.#tell(new TrustError('MISSING', `The certificate request ${name} waits for the manager`), true);
      return object;
    } catch (thrown) {
      const error = asKubernetesError(thrown, `look at the certificate request ${name}`);
      if (error instanceof KubernetesError && !['UNREACHABLE', 'THROTTLED', 'SERVER'].includes(error.code)) throw error;
      this.#tell(error);
      return { metadata: { name } };
    }
  }

  /** @param usual it is no problem unless it lasts */
  #tell(error: Error, usual = false): void {
    const news = this.#problem?.message !== error.message;
    this.#problem = error;
    if (news && !usual) this.#options.onProblem(error);
  }
}

/** `sallyport-node1-1f0c…`: of one request. */
function requestName(node: string): string {
  const readable = node
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')
    .slice(0, 200);
  return `sallyport-${readable.replace(/[^a-z0-9]+$/, '')}-${randomBytes(8).toString('hex')}`;
}

function belongs(certificate: string, key: string): boolean {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false; // it is no certificate at all
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch((thrown: unknown) => {
    if (!signal.aborted) throw thrown;
  });
}
