import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { KubernetesClient } from '../sources/kubernetes/client.ts';
import type { Connection } from '../sources/kubernetes/connection.ts';
import { KubernetesError } from '../sources/kubernetes/error.ts';
import {
  CUSTOM_RESOURCES,
  NODE_REPORTS,
  POLICY_RESOURCES,
  VALIDATING_WEBHOOKS,
} from '../sources/kubernetes/resource.ts';
import { Applier } from './applier.ts';
import { AuthorityKeeper } from './certificates/keeper.ts';
import { CertificateSigner } from './certificates/signer.ts';
import { Cluster } from './cluster.ts';
import type { ManagerConfig } from './config.ts';
import { Controllers } from './controllers.ts';
import { Elector } from './elector.ts';
import { Events } from './events.ts';
import { type HttpServer, splitAddress, startHttp } from './http.ts';
import { type ControllerName, ManagerMetrics } from './metrics.ts';
import { SecretKeeper } from './secrets.ts';
import { readShipped } from './shipped.ts';
import { TagKeys } from './tag-keys.ts';
import { View } from './view.ts';
import { sameConfiguration, webhookConfiguration } from './webhook/configuration.ts';
import { WebhookIdentity } from './webhook/identity.ts';
import type { Agents } from './webhook/reporters.ts';
import { WebhookServer } from './webhook/server.ts';

export interface ManagerOptions {
  readonly config: ManagerConfig;
  readonly connection: Connection;
  /** Of the installation. */
  readonly namespace: string;
  /** Of this replica, without what makes it unique among its restarts. */
  readonly replica: string;
  readonly version: string;
  readonly logger: Logger;
}

/** Between looks at secrets and at the webhook's configuration, milliseconds. */
const LOOK_MS = 10_000;
/** A process whose timers come this late has something wrong that a restart may mend. Milliseconds. */
const STUCK_MS = 120_000;

/**
 * One replica of the manager. Every replica follows the cluster and answers the API server; the one that leads writes.
 * It keeps nothing: a replica that starts knows all it needs when it has listed the cluster.
 */
export class Manager {
  readonly #options: ManagerOptions;
  readonly #client: KubernetesClient;
  readonly #cluster: Cluster;
  readonly #view: View;
  readonly #elector: Elector;
  readonly #identity: WebhookIdentity;
  readonly #webhook: WebhookServer;
  readonly #tagKeys: TagKeys;
  readonly #authority: AuthorityKeeper;
  readonly #metrics: ManagerMetrics;
  readonly #closing = new AbortController();
  #applier: Applier;
  #events: Events;
  #controllers: Controllers | undefined;
  #signer: CertificateSigner | undefined;
  /** Beginning and ending of leading, one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #http: HttpServer | undefined;
  #looks: Promise<void> | undefined;
  #lookedAt = performance.now();
  #wake: () => void = () => {};
  readonly #failures = new Map<ControllerName, string>();

  constructor(options: ManagerOptions) {
    this.#options = options;
    const { config, connection, namespace, replica, logger } = options;
    const { webhook, election, tagKeys, certificates } = config;
    this.#client = new KubernetesClient(connection);
    this.#cluster = new Cluster(connection, Date.now);
    this.#view = new View(this.#cluster, config.domain);
    this.#elector = new Elector({
      client: this.#client,
      namespace,
      name: election.lease,
      identity: `${replica}_${randomBytes(4).toString('hex')}`,
      logger,
      leaseMs: election.leaseSeconds * 1_000,
      renewMs: election.renewSeconds * 1_000,
      retryMs: election.retrySeconds * 1_000,
    });
    [this.#applier, this.#events] = this.#hands();
    this.#webhook = new WebhookServer({
      ...splitAddress(webhook.listen),
      present: () => ({
        policies: this.#cluster.policyObjects(),
        identities: this.#cluster.synced ? this.#view.identities() : undefined,
        hasService: this.#cluster.synced ? (...of) => this.#cluster.services.snapshot().has(of.join('/')) : undefined,
        agents: this.#cluster.pods.synced ? this.#agents() : undefined,
      }),
      onAnswer: (answer, milliseconds) => this.#metrics.answered(answer, milliseconds),
      onRefused: (why) => this.#metrics.refused(why),
      onFault: (err) => logger.error({ err }, 'Cannot answer the API server'),
    });
    this.#identity = new WebhookIdentity({
      secret: new SecretKeeper(this.#client, namespace, webhook.secret),
      plan: { days: webhook.certificateDays, ...namesOf(webhook, namespace) },
      logger,
      now: Date.now,
      onCertificate: (certificate, key) => this.#webhook.show(certificate, key),
    });
    this.#tagKeys = new TagKeys({
      secret: new SecretKeeper(this.#client, namespace, tagKeys.secret),
      plan: { rotateMs: tagKeys.rotateHours * 3_600_000, activateInMs: tagKeys.activateMinutes * 60_000 },
      logger,
      now: Date.now,
    });
    this.#authority = new AuthorityKeeper({
      client: this.#client,
      secret: new SecretKeeper(this.#client, namespace, certificates.secret),
      bundle: { namespace, name: certificates.bundle },
      plan: { domain: config.domain, lifetimeMs: certificates.hours * 3_600_000 },
      logger,
      now: Date.now,
    });
    this.#metrics = this.#makeMetrics();
  }

  get leading(): boolean {
    return this.#elector.leading;
  }

  /** Where metrics and readiness are served; 0 before it has started. */
  get metricsPort(): number {
    return this.#http?.port ?? 0;
  }

  /** What is still missing before it can answer; undefined: nothing. */
  notReady(): string | undefined {
    const missing = this.#cluster.all.filter(({ synced }) => !synced).map(({ name }) => name);
    if (missing.length > 0) return `not listed yet: ${missing.join(', ')}`;
    return this.#identity.ready ? undefined : 'the webhook has no certificate yet';
  }

  /** Resolves when it follows the cluster, or is closed. Throws where it cannot listen. */
  async start(): Promise<void> {
    const { config, logger } = this.#options;
    this.#http = await startHttp({
      ...splitAddress(config.metrics.address),
      metrics: () => this.#metrics.text(),
      notReady: () => this.notReady(),
      notHealthy: () =>
        performance.now() - this.#lookedAt > STUCK_MS ? 'it has not looked around for long' : undefined,
      onFault: (err) => logger.error({ err }, 'Cannot answer a scrape'),
    });
    await this.#webhook.listen();
    this.#elector.onChange((leading) => this.#lead(leading));
    this.#looks = this.#look(this.#closing.signal);
    await this.#cluster.start(this.#closing.signal);
    if (this.#closing.signal.aborted) return;
    logger.info({ reflectors: this.#cluster.all.length }, 'The cluster is followed');
    // Who knows nothing yet does not ask to lead.
    this.#elector.start();
  }

  /** Gives up leading, answers what was asked, ends. Idempotent. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake();
    // Nothing may be under way when another one begins.
    this.#lead(false);
    await this.#turn;
    await this.#elector.close();
    await this.#looks;
    await Promise.all([this.#cluster.close(), this.#webhook.close(), this.#http?.close()]);
    await this.#options.connection.close();
  }

  /** Whose reports are held against where they run. */
  #agents(): Agents {
    const { config, namespace } = this.#options;
    const pods = this.#cluster.pods.snapshot();
    return { namespace, account: config.certificates.account, pod: (name) => pods.get(`${namespace}/${name}`) };
  }

  #lead(leading: boolean): void {
    this.#turn = this.#turn.then(async () => {
      await Promise.all([this.#controllers?.close(), this.#signer?.close()]);
      await this.#applier.close();
      this.#controllers = this.#signer = undefined;
      this.#authority.reset();
      if (!leading || this.#closing.signal.aborted) return;
      [this.#applier, this.#events] = this.#hands();
      this.#controllers = new Controllers({
        client: this.#client,
        cluster: this.#cluster,
        view: this.#view,
        applier: this.#applier,
        events: this.#events,
        graceMs: this.#options.config.identities.graceMinutes * 60_000,
        logger: this.#options.logger,
        onRound: (controller, outcome) => this.#metrics.round(controller, outcome),
        now: Date.now,
        monotonic: () => performance.now(),
      });
      this.#signer = this.#openSigner();
      this.#wake();
    });
  }

  #openSigner(): CertificateSigner {
    const { config, connection, namespace, logger } = this.#options;
    const { signer, account, hours } = config.certificates;
    return new CertificateSigner({
      client: this.#client,
      connection,
      installation: { domain: config.domain, namespace, account },
      signer,
      lifetimeMs: hours * 3_600_000,
      authority: () => (this.leading ? this.#authority.signing : undefined),
      logger,
      onOutcome: (outcome) => this.#metrics.certificate(outcome),
      now: Date.now,
    });
  }

  /** What a leader writes with. */
  #hands(): [Applier, Events] {
    const { logger, replica } = this.#options;
    const applier = new Applier({ logger, mayWrite: () => this.#elector.leading });
    return [applier, new Events({ client: this.#client, applier, instance: replica, now: Date.now })];
  }

  /** Looks after secrets and the webhook's configuration, now and then. */
  async #look(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#try('certificate', () => this.#identity.round(this.leading, signal));
      if (this.leading) {
        await this.#try('webhook', () => this.#configure(signal));
        await this.#try('tag-keys', () => this.#tagKeys.round(signal));
        await this.#try('authority', () => this.#authority.round(signal));
        this.#signer?.look();
      }
      this.#lookedAt = performance.now();
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, this.#identity.ready ? LOOK_MS : 1_000);
      this.#wake = resolve;
      if (!signal.aborted) await promise;
      clearTimeout(timer);
    }
  }

  /** What fails is told when it begins to, and tried again at the next look. */
  async #try(name: ControllerName, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#failures.delete(name);
      this.#metrics.round(name, 'done');
    } catch (thrown) {
      if (this.#closing.signal.aborted) return;
      this.#metrics.round(name, 'failed');
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      if (this.#failures.get(name) !== reason) {
        this.#options.logger.warn({ err: thrown, controller: name }, 'A round has failed; it is tried again');
      }
      this.#failures.set(name, reason);
    }
  }

  async #configure(signal: AbortSignal): Promise<void> {
    const { config, namespace } = this.#options;
    const { configuration: name, url, service } = config.webhook;
    const bundle = this.#identity.bundle;
    if (bundle === undefined) return;
    const wanted = webhookConfiguration({
      way: url === 'off' ? { service: { namespace, name: service } } : { url },
      bundle,
      namespace,
      known: await this.#knownKinds(signal),
    });
    const present = await readShipped(this.#client, VALIDATING_WEBHOOKS, { name }, signal);
    const same = sameConfiguration(wanted, present);
    if (!same) await this.#client.update(VALIDATING_WEBHOOKS, { ...present, ...wanted }, { signal });
    this.#identity.told(bundle, !same);
  }

  /** Of what the webhook is asked about, the kinds that are installed: a rule for others would be for nothing. */
  async #knownKinds(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const found = await Promise.all(
      [...POLICY_RESOURCES, NODE_REPORTS].map(async ({ plural, group }) => {
        const object = await orNone(this.#client.getMetadata(CUSTOM_RESOURCES, { name: `${plural}.${group}` }, signal));
        return object === undefined ? [] : [plural];
      }),
    );
    return new Set(found.flat());
  }

  #makeMetrics(): ManagerMetrics {
    return new ManagerMetrics({
      version: this.#options.version,
      leading: () => this.leading,
      applier: () => this.#applier.statistics,
      eventsDropped: () => this.#events.dropped,
      reflectors: () =>
        this.#cluster.statistics().map(({ resource, status, statistics }) => ({
          resource,
          healthy: status.healthy,
          restarts: status.restarts,
          ...statistics,
        })),
      workloads: () => this.#view.workloads().size,
      policies: () => {
        const refused = this.#view.policies().filter(({ errors }) => errors.length > 0).length;
        return { refused, accepted: this.#view.policies().length - refused };
      },
      freshReports: () => this.#view.reports(Date.now()).byNode.size,
      certificateEnds: () => this.#identity.ends,
    });
  }
}

/** What the webhook's certificate is for. */
function namesOf(
  { url, service }: ManagerConfig['webhook'],
  namespace: string,
): { readonly names: readonly string[]; readonly addresses: readonly string[] } {
  const names = [`${service}.${namespace}.svc`, `${service}.${namespace}.svc.cluster.local`];
  if (url === 'off') return { names, addresses: [] };
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  const isAddress = /^[\d.]+$|:/.test(host);
  return isAddress ? { names, addresses: [host] } : { names: [...names, host], addresses: [] };
}

async function orNone<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (thrown) {
    if (thrown instanceof KubernetesError && thrown.code === 'NOT_FOUND') return undefined;
    throw thrown;
  }
}
