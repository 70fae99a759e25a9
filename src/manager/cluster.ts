import type { HardeningProfileResource } from '../model/schema/hardening-profile.ts';
import { type WorkloadIdentityResource, workloadIdentitySchema } from '../model/schema/workload-identity.ts';
import type { Connection } from '../sources/kubernetes/connection.ts';
import { isOfNamespace } from '../sources/kubernetes/identities.ts';
import { Reflector, type ReflectorStatistics } from '../sources/kubernetes/reflector.ts';
import {
  HARDENING_PROFILES,
  JOBS,
  type LooseObject,
  NAMESPACES,
  NODE_REPORTS,
  NODES,
  PODS,
  POLICY_RESOURCES,
  REPLICA_SETS,
  type ResourceType,
  SERVICES,
  WORKLOAD_IDENTITIES,
} from '../sources/kubernetes/resource.ts';
import { type KnownService, projectService } from '../sources/kubernetes/services.ts';
import type { SourceStatus } from '../sources/source.ts';
import { MANAGED_SELECTOR } from './names.ts';
import { type Middle, middleOf } from './owners.ts';
import { type PodFacts, podFacts } from './pods.ts';
import { digest, type PolicyObject, policyObject } from './policies.ts';
import { type Report, reportOf } from './reports.ts';

/** A generated object, as much of it as tells whether it is what it should be. */
export interface GeneratedObject {
  readonly uid: string;
  readonly generation: number;
  /** Of its spec. */
  readonly digest: string;
}

export interface IdentityFacts extends GeneratedObject {
  readonly spec: WorkloadIdentityResource['spec'];
  readonly status: WorkloadIdentityResource['status'];
}

export interface ProfileFacts extends GeneratedObject {
  readonly status: HardeningProfileResource['status'];
}

type Any = Reflector<unknown, LooseObject>;

/** All of the cluster that the manager follows, projected to what it needs. */
export class Cluster {
  readonly pods: Reflector<PodFacts, LooseObject>;
  readonly replicaSets: Reflector<Middle, LooseObject>;
  readonly jobs: Reflector<Middle, LooseObject>;
  /** Those where something can be made: not on their way out. */
  readonly namespaces: Reflector<true, LooseObject>;
  readonly nodes: Reflector<true, LooseObject>;
  readonly services: Reflector<KnownService, LooseObject>;
  readonly reports: Reflector<Report, LooseObject>;
  readonly policies: readonly Reflector<PolicyObject, LooseObject>[];
  readonly profiles: Reflector<ProfileFacts, LooseObject>;
  readonly identities: Reflector<IdentityFacts, LooseObject>;

  constructor(connection: Connection, now: () => number) {
    const follow = <T>(
      resource: ResourceType<LooseObject>,
      project: (object: LooseObject) => T | undefined,
      labelSelector?: string,
    ): Reflector<T, LooseObject> =>
      new Reflector({
        connection,
        resource,
        project,
        now,
        ...(labelSelector === undefined ? {} : { labelSelector }),
      });
    this.pods = follow(PODS, podFacts);
    this.replicaSets = follow(REPLICA_SETS, middleOf);
    this.jobs = follow(JOBS, middleOf);
    this.namespaces = follow(NAMESPACES, ({ metadata }) =>
      metadata.deletionTimestamp === undefined ? true : undefined,
    );
    this.nodes = follow(NODES, () => true as const);
    this.services = follow(SERVICES, projectService);
    this.reports = follow(NODE_REPORTS, reportOf);
    this.policies = POLICY_RESOURCES.map((resource) => follow(resource, (object) => policyObject(resource, object)));
    this.profiles = follow(HARDENING_PROFILES, profileFacts, MANAGED_SELECTOR);
    this.identities = follow(WORKLOAD_IDENTITIES, identityFacts, MANAGED_SELECTOR);
  }

  get all(): readonly Any[] {
    const { pods, replicaSets, jobs, namespaces, nodes, services, reports, policies, profiles, identities } = this;
    const known = [pods, replicaSets, jobs, namespaces, nodes, services, reports];
    return [...known, ...policies, profiles, identities] as readonly Any[];
  }

  get synced(): boolean {
    return this.all.every(({ synced }) => synced);
  }

  /** Every policy object of the four kinds. */
  *policyObjects(): Generator<PolicyObject> {
    for (const reflector of this.policies) yield* reflector.snapshot().values();
  }

  /** What each reflector does, by what it follows. */
  statistics(): {
    readonly resource: string;
    readonly status: SourceStatus;
    readonly statistics: ReflectorStatistics;
  }[] {
    return this.all.map((one) => ({
      resource: one.name.replace('kubernetes/', ''),
      status: one.status(),
      statistics: one.statistics(),
    }));
  }

  async start(signal: AbortSignal): Promise<void> {
    await Promise.all(this.all.map((reflector) => reflector.start(signal)));
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((reflector) => reflector.close()));
  }
}

function generated({ metadata, spec }: LooseObject): GeneratedObject {
  return { uid: metadata.uid ?? '', generation: metadata.generation ?? 0, digest: digest(spec) };
}

/** Of a WorkloadIdentity that is there. */
export function identityFacts(object: LooseObject): IdentityFacts {
  const parsed = workloadIdentitySchema.safeParse(object).data;
  const own = parsed !== undefined && isOfNamespace(parsed.spec.workload, object.metadata.namespace);
  // What is not as we write it is written anew; nothing of it is taken over.
  const { spec, status } = own ? parsed : { spec: { workload: '', identities: [] }, status: undefined };
  return { ...generated(object), spec, status };
}

function profileFacts(object: LooseObject): ProfileFacts {
  return { ...generated(object), status: object.status as HardeningProfileResource['status'] };
}
