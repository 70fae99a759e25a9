import type { Logger } from 'pino';
import { Coalescer } from '../sources/coalescer.ts';
import type { KubernetesClient } from '../sources/kubernetes/client.ts';
import { HARDENING_PROFILES, WORKLOAD_IDENTITIES } from '../sources/kubernetes/resource.ts';
import type { Applier } from './applier.ts';
import type { Cluster } from './cluster.ts';
import type { Events } from './events.ts';
import { type Desired, GeneratedObjects } from './generated.ts';
import { IdentityLedger } from './identities.ts';
import type { ControllerName } from './metrics.ts';
import { digest } from './policies.ts';
import { PolicyStatuses } from './policy-statuses.ts';
import { type ProfileStatus, profileStatus } from './profile-status.ts';
import { ProfileBuilder } from './profiles.ts';
import { type FoundShortfalls, type Lasting, Shortfalls } from './shortfalls.ts';
import { statuses } from './status.ts';
import type { View } from './view.ts';

export interface ControllersOptions {
  readonly client: KubernetesClient;
  readonly cluster: Cluster;
  readonly view: View;
  readonly applier: Applier;
  readonly events: Events;
  readonly graceMs: number;
  readonly logger: Logger;
  readonly onRound: (controller: ControllerName, outcome: 'done' | 'failed') => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds of a clock that never jumps. */
  readonly monotonic: () => number;
}

/** How long changes are gathered, milliseconds. */
const GATHER_MS = 1_000;
/** Everything is looked at again this often: reports grow old, and graces end, with nobody telling. Milliseconds. */
const AGAIN_MS = 10_000;

/** What the leader does: brings generated objects and statuses to what the cluster comes down to. */
export class Controllers {
  readonly #options: ControllersOptions;
  readonly #rounds: readonly Coalescer[];
  readonly #unsubscribe: readonly (() => void)[];
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #ledger: IdentityLedger;
  readonly #profiles = new ProfileBuilder();
  readonly #identityObjects: GeneratedObjects;
  readonly #profileObjects: GeneratedObjects;
  readonly #policyStatuses: PolicyStatuses;
  readonly #shortfalls = new Shortfalls();
  /** Nodes that are short of containers, as of the last look at policies. */
  #short: Lasting = new Map();

  constructor(options: ControllersOptions) {
    this.#options = options;
    const { client, applier, cluster, events, logger, monotonic: now } = options;
    this.#ledger = new IdentityLedger(options.graceMs);
    this.#identityObjects = new GeneratedObjects({ client, applier, resource: WORKLOAD_IDENTITIES, now, logger });
    this.#profileObjects = new GeneratedObjects({ client, applier, resource: HARDENING_PROFILES, now, logger });
    this.#policyStatuses = new PolicyStatuses({ client, applier, events, now });
    const { pods, replicaSets, jobs, namespaces, nodes, reports, policies, profiles, identities } = cluster;
    const workloads = [pods, replicaSets, jobs, namespaces];
    const controllers = [
      ['identities', [...workloads, identities], () => this.#identities()],
      // Before profiles, which are told of nodes that are short of containers.
      ['status', [...workloads, nodes, reports, ...policies], () => this.#status()],
      ['profiles', [...workloads, nodes, reports, ...policies, profiles], () => this.#hardening()],
    ] as const;
    const made = controllers.map(([name, sources, work]) => {
      const round = new Coalescer(
        () => this.#round(name, work, round),
        GATHER_MS,
        (thrown) => this.#failed(name, thrown),
      );
      return { round, ends: sources.map((source) => source.onChange(() => round.request())) };
    });
    this.#rounds = made.map(({ round }) => round);
    this.#unsubscribe = made.flatMap(({ ends }) => ends);
    const again = setInterval(() => this.#all(), AGAIN_MS);
    this.#timers.add(again);
    this.#all();
  }

  /** Resolves when nothing of it runs any more. */
  async close(): Promise<void> {
    for (const end of this.#unsubscribe) end();
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all(this.#rounds.map((round) => round.close()));
  }

  #all(): void {
    for (const round of this.#rounds) round.request();
  }

  async #round(name: ControllerName, work: () => number | undefined, round: Coalescer): Promise<void> {
    // Half of what there is looks as if the rest were gone.
    if (!this.#options.cluster.synced) return;
    const wait = work();
    this.#options.onRound(name, 'done');
    if (wait === undefined || wait >= AGAIN_MS) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      round.request();
    }, wait);
    this.#timers.add(timer);
  }

  #failed(name: ControllerName, thrown: unknown): void {
    this.#options.logger.error({ err: thrown, controller: name }, 'A round has failed');
    this.#options.onRound(name, 'failed');
  }

  #identities(): number | undefined {
    const { cluster, view, now } = this.#options;
    const present = cluster.identities.snapshot();
    this.#ledger.adopt(new Map([...present].map(([key, { spec }]) => [key, spec])), now());
    const namespaces = cluster.namespaces.snapshot();
    const objects = this.#ledger.desired(view.workloads(), now(), (namespace) => namespaces.has(namespace));
    const desired = [...objects].map(([key, { spec, status }]): [string, Desired] => {
      const before = present.get(key)?.status;
      const presentStatus = before === undefined ? undefined : `${before.pods}/${before.nodes}`;
      return [key, { spec, status, statusDigest: `${status.pods}/${status.nodes}`, presentStatus }];
    });
    return this.#identityObjects.reconcile(new Map(desired), present);
  }

  #hardening(): number | undefined {
    const { cluster, view, now } = this.#options;
    const { byNode, byPolicy } = view.reports(now());
    const present = cluster.profiles.snapshot();
    const objects = this.#profiles.desired(view.workloads(), view.policies());
    const desired = [...objects].map(([key, profile]): [string, Desired] => {
      const known = present.get(key);
      const { generation = 0, status: before } = known ?? {};
      const conditions = before?.conditions;
      const told = { reports: byNode, byPolicy, short: this.#short };
      const status = profileStatus(profile, { ...told, generation, before: conditions, now: now() });
      const presentStatus = before === undefined ? undefined : statusDigest(before);
      return [key, { spec: profile.spec, status, statusDigest: statusDigest(status), presentStatus }];
    });
    return this.#profileObjects.reconcile(new Map(desired), present);
  }

  #status(): number | undefined {
    const { view, now, monotonic } = this.#options;
    const policies = view.policies();
    const input = {
      policies,
      index: view.identities(),
      reports: view.reports(now()).byPolicy,
      lasting: (found: ReadonlyMap<string, FoundShortfalls>) => {
        this.#short = this.#shortfalls.look(found, monotonic());
        return this.#short;
      },
      now: now(),
    };
    return this.#policyStatuses.reconcile(policies, statuses(input));
  }
}

/** What tells a profile's statuses apart: all but the times. */
function statusDigest({ observedGeneration, conditions = [], nodes }: ProfileStatus): string {
  const said = conditions.map(({ type, status, reason, message }) => [type, status, reason, message]);
  return digest([observedGeneration, said, nodes?.total, nodes?.enforced, nodes?.failed]);
}
