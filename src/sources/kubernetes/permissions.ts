import type { KubernetesClient } from './client.ts';
import type { LooseObject, ResourceType } from './resource.ts';
import {
  ACCESS_REVIEWS,
  ADMIN_NETWORK_POLICIES,
  BASELINE_ADMIN_NETWORK_POLICIES,
  CERTIFICATE_REQUESTS,
  ENDPOINT_SLICES,
  JOBS,
  NAMESPACES,
  NETWORK_POLICIES,
  NODE_REPORTS,
  NODES,
  PODS,
  POLICY_RESOURCES,
  REPLICA_SETS,
  SERVICES,
  WORKLOAD_IDENTITIES,
} from './resource.ts';

/** What may be done with a kind. */
export interface Permission {
  readonly resource: ResourceType;
  readonly subresource?: 'status';
  readonly verbs: readonly ('get' | 'list' | 'watch' | 'create' | 'patch')[];
}

const FOLLOW = ['list', 'watch'] as const;

/** All an agent asks of the API server; its ClusterRole grants this and nothing else. */
export const AGENT_PERMISSIONS: readonly Permission[] = [
  { resource: PODS, verbs: FOLLOW },
  { resource: NAMESPACES, verbs: FOLLOW },
  { resource: NODES, verbs: FOLLOW },
  { resource: SERVICES, verbs: FOLLOW },
  { resource: ENDPOINT_SLICES, verbs: FOLLOW },
  { resource: REPLICA_SETS, verbs: ['get'] },
  { resource: JOBS, verbs: ['get'] },
  ...[NETWORK_POLICIES, ADMIN_NETWORK_POLICIES, BASELINE_ADMIN_NETWORK_POLICIES].map((resource) => ({
    resource,
    verbs: FOLLOW,
  })),
  ...POLICY_RESOURCES.map((resource) => ({ resource, verbs: FOLLOW })),
  { resource: WORKLOAD_IDENTITIES, verbs: FOLLOW },
  { resource: NODE_REPORTS, verbs: ['create', 'patch'] },
  { resource: NODE_REPORTS, subresource: 'status', verbs: ['patch'] },
];

/** Of an agent whose certificate the manager signs. */
export const CERTIFICATE_PERMISSIONS: readonly Permission[] = [
  { resource: CERTIFICATE_REQUESTS, verbs: ['create', 'get'] },
];

/** `list pods`, `patch nodereports.sallyport.dev/status`. */
export function describePermission({ resource, subresource }: Permission, verb: string): string {
  const group = resource.group === '' ? '' : `.${resource.group}`;
  return `${verb} ${resource.plural}${group}${subresource === undefined ? '' : `/${subresource}`}`;
}

/**
 * Of these permissions, those whoever asks does not have. Changes nothing.
 * @throws KubernetesError where the server cannot be asked
 */
export async function missingPermissions(
  client: Pick<KubernetesClient, 'create'>,
  permissions: readonly Permission[],
  signal?: AbortSignal,
): Promise<string[]> {
  const asked = permissions.flatMap((permission) =>
    permission.verbs.map(async (verb) => {
      const { resource, subresource } = permission;
      const { group, plural } = resource;
      const resourceAttributes = {
        group,
        resource: plural,
        verb,
        ...(subresource === undefined ? {} : { subresource }),
      };
      const review = { metadata: { name: '' }, spec: { resourceAttributes } } satisfies LooseObject;
      const { status } = await client.create(ACCESS_REVIEWS, review as LooseObject, { signal });
      const allowed = (status as { allowed?: unknown } | undefined)?.allowed === true;
      return allowed ? [] : [describePermission(permission, verb)];
    }),
  );
  return (await Promise.all(asked)).flat();
}
