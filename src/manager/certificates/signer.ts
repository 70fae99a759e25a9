import type { Logger } from 'pino';
import { Coalescer } from '../../sources/coalescer.ts';
import type { KubernetesClient } from '../../sources/kubernetes/client.ts';
import type { Connection } from '../../sources/kubernetes/connection.ts';
import { asKubernetesError, KubernetesError } from '../../sources/kubernetes/error.ts';
import { Reflector } from '../../sources/kubernetes/reflector.ts';
import { CERTIFICATE_REQUESTS, type LooseObject, PODS } from '../../sources/kubernetes/resource.ts';
import { type Authority, signCertificate } from '../../trust/authority.ts';
import { asTrustError } from '../../trust/error.ts';
import { type ReadRequest, readRequest } from '../../trust/read-request.ts';
import { timeOf } from '../conditions.ts';
import {
  type AskedCertificate,
  askedCertificate,
  askerOf,
  type Denial,
  decide,
  type Installation,
} from './decision.ts';

export interface CertificateSignerOptions {
  readonly client: KubernetesClient;
  readonly connection: Connection;
  readonly installation: Installation;
  /** `spec.signerName` of the requests that are ours. */
  readonly signer: string;
  /** Of a certificate, milliseconds. */
  readonly lifetimeMs: number;
  /** Undefined: nothing can be signed now. */
  readonly authority: () => Authority | undefined;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  readonly onOutcome: (outcome: 'signed' | 'denied' | 'failed') => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** How long requests are gathered, milliseconds. */
const GATHER_MS = 50;
/** What could not be done is tried again this often, milliseconds. */
const AGAIN_MS = 10_000;
/** Requests of one round; the others come in the next. */
const ROUND_MOST = 500;

/** Kept of each request. */
interface Waiting {
  /** Whose it seems to be, so that one that asks a thousand times waits a thousand turns. */
  readonly asker: string;
}

/**
 * Answers the agents' requests for certificates: approves and signs those an agent's pod made for the node it runs on,
 * and denies all others. Of the leader; it lives as long as that leads.
 */
export class CertificateSigner {
  readonly #options: CertificateSignerOptions;
  readonly #requests: Reflector<Waiting, LooseObject>;
  readonly #rounds: Coalescer;
  readonly #closing = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(options: CertificateSignerOptions) {
    this.#options = options;
    const { connection, signer, now } = options;
    this.#requests = new Reflector({
      connection,
      resource: CERTIFICATE_REQUESTS,
      fieldSelector: `spec.signerName=${signer}`,
      project: waitingRequest,
      now,
    });
    this.#rounds = new Coalescer(
      () => this.#round(),
      GATHER_MS,
      (err) => options.logger.warn({ err }, 'Cannot look at requests for certificates'),
    );
    this.#requests.onChange(() => this.#rounds.request());
    this.#timer = setInterval(() => this.look(), AGAIN_MS);
    this.#requests.start(this.#closing.signal).catch(() => {}); // how it goes is in its status
  }

  /** Something else than a request has changed: what waits may be answered now. */
  look(): void {
    this.#rounds.request();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#timer);
    await this.#rounds.close();
    await this.#requests.close();
  }

  async #round(): Promise<void> {
    const { authority, logger } = this.#options;
    if (authority() === undefined) return;
    const names = inTurn(this.#requests.snapshot()).slice(0, ROUND_MOST);
    for (const name of names) {
      if (this.#closing.signal.aborted) return;
      try {
        await this.#answer(name);
      } catch (thrown) {
        const error = asKubernetesError(thrown, `answer the request ${name}`);
        // Somebody else has answered it, or it is gone.
        if (error.code === 'CONFLICT' || error.code === 'NOT_FOUND' || this.#closing.signal.aborted) continue;
        this.#options.onOutcome('failed');
        logger.warn({ err: error, request: name }, 'Cannot answer a request for a certificate; it is tried again');
        // The next one would fare no better.
        if (error.code !== 'INVALID') return;
      }
    }
  }

  async #answer(name: string): Promise<void> {
    const { client } = this.#options;
    const { signal } = this.#closing;
    const object = await client.get(CERTIFICATE_REQUESTS, { name }, signal);
    const asked = askedCertificate(object);
    const authority = this.#options.authority();
    if (asked === undefined || asked.settled || authority === undefined) return;
    const answer = await this.#judge(asked);
    if (answer.denied) await this.#deny(object, asked, answer);
    else await this.#sign(object, asked, answer, authority);
  }

  async #judge(asked: AskedCertificate): Promise<ReturnType<typeof decide>> {
    const { installation } = this.#options;
    const asker = askerOf(asked, installation);
    if (asker.denied) return asker;
    const read = await readRequest(asked.request).catch((thrown: unknown) =>
      asTrustError(thrown, 'INVALID', 'use the request'),
    );
    // Last, so that it is as fresh as can be.
    const pod = await this.#pod(asker.pod);
    return decide(asked, asker, pod, read satisfies ReadRequest | Error, installation);
  }

  async #pod(name: string): Promise<LooseObject | undefined> {
    const { client, installation } = this.#options;
    try {
      return await client.get(PODS, { namespace: installation.namespace, name }, this.#closing.signal);
    } catch (thrown) {
      if (thrown instanceof KubernetesError && thrown.code === 'NOT_FOUND') return undefined;
      throw thrown;
    }
  }

  async #deny(object: LooseObject, asked: AskedCertificate, { reason, message }: Denial): Promise<void> {
    const { client, logger, onOutcome } = this.#options;
    const options = { signal: this.#closing.signal };
    // What somebody has approved cannot be denied any more; it can fail.
    const type = asked.approved ? 'Failed' : 'Denied';
    const denied = this.#withCondition(object, type, reason, message);
    if (asked.approved) await client.updateStatus(CERTIFICATE_REQUESTS, denied, options);
    else await client.updateApproval(CERTIFICATE_REQUESTS, denied, options);
    onOutcome('denied');
    logger.warn({ request: object.metadata.name, reason, message }, 'A request for a certificate is denied');
  }

  async #sign(
    object: LooseObject,
    asked: AskedCertificate,
    { node, publicKey }: { readonly node: string; readonly publicKey: Uint8Array },
    authority: Authority,
  ): Promise<void> {
    const { client, installation, lifetimeMs, now, logger, onOutcome } = this.#options;
    const { domain } = installation;
    const certificate = await signCertificate(authority, { domain, node, publicKey, lifetimeMs, now: now() });
    const options = { signal: this.#closing.signal };
    const said = `the pod that asks is the agent of node ${node}`;
    const approved = asked.approved
      ? object
      : await client.updateApproval(
          CERTIFICATE_REQUESTS,
          this.#withCondition(object, 'Approved', 'AgentOfItsNode', said),
          options,
        );
    const status = { ...(approved.status as object), certificate: Buffer.from(certificate).toString('base64') };
    await client.updateStatus(CERTIFICATE_REQUESTS, { ...approved, status }, options);
    onOutcome('signed');
    logger.info({ request: object.metadata.name, node }, 'An agent has a certificate');
  }

  #withCondition(object: LooseObject, type: string, reason: string, message: string): LooseObject {
    const time = timeOf(this.#options.now());
    const condition = { type, status: 'True', reason, message: message.slice(0, 1_024), lastUpdateTime: time };
    const { conditions } = (object.status ?? {}) as { readonly conditions?: readonly object[] };
    return { ...object, status: { ...(object.status as object), conditions: [...(conditions ?? []), condition] } };
  }
}

/** Names of requests: one of each asker's, then the second of each. */
export function inTurn(waiting: ReadonlyMap<string, Waiting>): string[] {
  const seen = new Map<string, number>();
  const turns = [...waiting].map(([name, { asker }]) => {
    const turn = seen.get(asker) ?? 0;
    seen.set(asker, turn + 1);
    return { name, turn };
  });
  return turns.sort((a, b) => a.turn - b.turn).map(({ name }) => name);
}

function waitingRequest(object: LooseObject): Waiting | undefined {
  const asked = askedCertificate(object);
  if (asked === undefined || asked.settled) return undefined;
  const [pod = ''] = asked.extra['authentication.kubernetes.io/pod-uid'] ?? [];
  return { asker: `${asked.username} ${pod}`.slice(0, 512) };
}
