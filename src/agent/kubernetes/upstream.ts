import type { Policy } from '../../model/policy.ts';
import { translateNetworkPolicies } from '../../sources/kubernetes/network-policies.ts';
import {
  ADMIN_NETWORK_POLICIES,
  BASELINE_ADMIN_NETWORK_POLICIES,
  type LooseObject,
  NAMESPACES,
  NETWORK_POLICIES,
} from '../../sources/kubernetes/resource.ts';
import { Followed, type FollowedOptions } from './followed.ts';
import type { KnownNode } from './nodes.ts';

export interface UpstreamOptions extends Omit<FollowedOptions<LooseObject>, 'resource' | 'project'> {
  /** Followed by somebody else. */
  readonly nodes: Followed<KnownNode>;
}

/** Of one kind. Policies of nothing but addresses take twenty times as much when translated, and a second. */
const MOST_BYTES = 16 << 20;

/** Kubernetes' own network policies, and those of administrators, in our words. */
export class UpstreamPolicies {
  readonly #policies: Followed<LooseObject>;
  readonly #admin: Followed<LooseObject>;
  readonly #baseline: Followed<LooseObject>;
  readonly #namespaces: Followed<Readonly<Record<string, string>>>;
  readonly #nodes: Followed<KnownNode>;
  readonly #all: readonly Followed<unknown>[];
  #made:
    | { readonly from: readonly unknown[]; readonly result: ReturnType<typeof translateNetworkPolicies> }
    | undefined;

  constructor({ nodes, ...options }: UpstreamOptions) {
    const follow = (resource: FollowedOptions<LooseObject>['resource']) =>
      new Followed<LooseObject>({ ...options, resource, project: projectPolicy, mostBytes: MOST_BYTES });
    this.#policies = follow(NETWORK_POLICIES);
    this.#admin = follow(ADMIN_NETWORK_POLICIES);
    this.#baseline = follow(BASELINE_ADMIN_NETWORK_POLICIES);
    this.#namespaces = new Followed({
      ...options,
      resource: NAMESPACES,
      project: ({ metadata }) => ({ ...metadata.labels }),
    });
    this.#nodes = nodes;
    this.#all = [this.#policies, this.#admin, this.#baseline, this.#namespaces];
  }

  get reflectors() {
    return this.#all.map(({ reflector }) => reflector);
  }

  /** The same array while nothing changes. */
  policies(): readonly Policy[] {
    return this.#translate().policies;
  }

  problems(): readonly string[] {
    return this.#translate().problems.map(({ message }) => message);
  }

  onChange(listener: () => void): void {
    for (const { reflector } of this.#all) reflector.onChange(listener);
  }

  async load(): Promise<void> {
    await Promise.all(this.#all.map((one) => one.load()));
  }

  async start(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#all.map((one) => one.start(signal)));
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((one) => one.close()));
  }

  #translate(): ReturnType<typeof translateNetworkPolicies> {
    const from = [...this.#all, this.#nodes].map((one) => one.snapshot());
    if (this.#made === undefined || this.#made.from.some((one, i) => one !== from[i])) {
      const objects = {
        networkPolicies: [...this.#policies.snapshot().values()],
        adminNetworkPolicies: [...this.#admin.snapshot().values()],
        baselineAdminNetworkPolicies: [...this.#baseline.snapshot().values()],
      };
      this.#made = {
        from,
        result: translateNetworkPolicies(objects, this.#namespaces.snapshot(), { nodes: this.#nodes.snapshot() }),
      };
    }
    return this.#made.result;
  }
}

/** What a policy says, and whose it is. */
function projectPolicy({ apiVersion, kind, metadata, spec }: LooseObject): LooseObject {
  const { name, namespace } = metadata;
  return {
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(kind === undefined ? {} : { kind }),
    metadata: namespace === undefined ? { name } : { namespace, name },
    spec,
  };
}
