/** What the followed objects mean, worked out again only where one of them changed. */
import type { Identity } from '../model/identity.ts';
import { Aliases } from '../sources/kubernetes/aliases.ts';
import type { Cluster } from './cluster.ts';
import { named, type Workloads, workloadsOf } from './identities.ts';
import { type JudgedPolicy, judgePolicies } from './policies.ts';
import { byPolicy, freshReports, type PolicyReports, type Report } from './reports.ts';
import { type IdentityIndex, indexOf } from './status.ts';

export class View {
  readonly #cluster: Cluster;
  readonly #domain: string;
  readonly #derived = new Map<string, Identity>();
  readonly #workloads = memo<Workloads>();
  readonly #named = memo<Workloads>();
  readonly #index = memo<IdentityIndex>();
  readonly #policies = memo<readonly JudgedPolicy[]>();

  constructor(cluster: Cluster, domain: string) {
    this.#cluster = cluster;
    this.#domain = domain;
  }

  /** With all that their pods are called. */
  workloads(): Workloads {
    const services = this.#cluster.services.snapshot();
    const workloads = this.#unnamed();
    return this.#named([workloads, services], () => named(workloads, new Aliases(services.values())));
  }

  #unnamed(): Workloads {
    const { pods, replicaSets, jobs, namespaces } = this.#cluster;
    const from = [pods.snapshot(), replicaSets.snapshot(), jobs.snapshot(), namespaces.snapshot()] as const;
    return this.#workloads(from, () => {
      const [all, sets, allJobs, known] = from;
      const present = [...all.values()].filter(({ namespace }) => known.has(namespace));
      return workloadsOf(present, { replicaSets: sets, jobs: allJobs }, this.#domain, this.#derived);
    });
  }

  identities(): IdentityIndex {
    const workloads = this.workloads();
    return this.#index([workloads], () => indexOf(workloads));
  }

  policies(): readonly JudgedPolicy[] {
    const from = this.#cluster.policies.map((reflector) => reflector.snapshot());
    return this.#policies(from, () => judgePolicies(this.#cluster.policyObjects()));
  }

  /** Reports that count now. */
  reports(now: number): { readonly byNode: ReadonlyMap<string, Report>; readonly byPolicy: PolicyReports } {
    const nodes = new Set(this.#cluster.nodes.snapshot().keys());
    const byNode = freshReports(this.#cluster.reports.snapshot().values(), nodes, now);
    return { byNode, byPolicy: byPolicy(byNode) };
  }
}

/** The last answer, for as long as it is made from the same values. */
function memo<T>(): (from: readonly unknown[], make: () => T) => T {
  let last: { readonly from: readonly unknown[]; readonly value: T } | undefined;
  return (from, make) => {
    const same = last?.from.length === from.length && last.from.every((one, i) => one === from[i]);
    if (last === undefined || !same) last = { from, value: make() };
    return last.value;
  };
}
