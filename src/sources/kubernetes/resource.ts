/** Who made an object, and for whom it exists. */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
}

/** What every object of the API has. */
export interface ApiObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

/** A kind of objects, and where the API server keeps them. `T` is what they look like; nobody has checked that. */
export interface ResourceType<T extends ApiObject = ApiObject> {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Carries the type; there is no value. */
  readonly like?: T;
}

/** An object whose content nobody has looked at yet. */
export interface LooseObject extends ApiObject {
  readonly spec?: unknown;
  readonly status?: unknown;
}

const namespaced = (group: string, version: string, plural: string, kind: string): ResourceType<LooseObject> => ({
  group,
  version,
  plural,
  kind,
  namespaced: true,
});
const clusterWide = (group: string, version: string, plural: string, kind: string): ResourceType<LooseObject> => ({
  ...namespaced(group, version, plural, kind),
  namespaced: false,
});

export const PODS = namespaced('', 'v1', 'pods', 'Pod');
export const SECRETS = namespaced('', 'v1', 'secrets', 'Secret');
export const SERVICES = namespaced('', 'v1', 'services', 'Service');
export const EVENTS = namespaced('', 'v1', 'events', 'Event');
export const NAMESPACES = clusterWide('', 'v1', 'namespaces', 'Namespace');
export const NODES = clusterWide('', 'v1', 'nodes', 'Node');

export const REPLICA_SETS = namespaced('apps', 'v1', 'replicasets', 'ReplicaSet');
export const DEPLOYMENTS = namespaced('apps', 'v1', 'deployments', 'Deployment');
export const STATEFUL_SETS = namespaced('apps', 'v1', 'statefulsets', 'StatefulSet');
export const DAEMON_SETS = namespaced('apps', 'v1', 'daemonsets', 'DaemonSet');
export const JOBS = namespaced('batch', 'v1', 'jobs', 'Job');
/** batch/v1 from 1.21. */
export const CRON_JOBS = namespaced('batch', 'v1', 'cronjobs', 'CronJob');
const DISCOVERY_GROUP = 'discovery.k8s.io';
/** discovery.k8s.io/v1 from 1.21; what we read of it is the same before. */
export const ENDPOINT_SLICES = namespaced(DISCOVERY_GROUP, 'v1', 'endpointslices', 'EndpointSlice');
export const OLDER_ENDPOINT_SLICES = namespaced(DISCOVERY_GROUP, 'v1beta1', 'endpointslices', 'EndpointSlice');
export const LEASES = namespaced('coordination.k8s.io', 'v1', 'leases', 'Lease');

export const NETWORK_POLICIES = namespaced('networking.k8s.io', 'v1', 'networkpolicies', 'NetworkPolicy');
const POLICY_GROUP = 'policy.networking.k8s.io';
export const ADMIN_NETWORK_POLICIES = clusterWide(
  POLICY_GROUP,
  'v1alpha1',
  'adminnetworkpolicies',
  'AdminNetworkPolicy',
);
export const BASELINE_ADMIN_NETWORK_POLICIES = clusterWide(
  POLICY_GROUP,
  'v1alpha1',
  'baselineadminnetworkpolicies',
  'BaselineAdminNetworkPolicy',
);

export const VALIDATING_WEBHOOKS = clusterWide(
  'admissionregistration.k8s.io',
  'v1',
  'validatingwebhookconfigurations',
  'ValidatingWebhookConfiguration',
);
export const CUSTOM_RESOURCES = clusterWide(
  'apiextensions.k8s.io',
  'v1',
  'customresourcedefinitions',
  'CustomResourceDefinition',
);
export const CONFIG_MAPS = namespaced('', 'v1', 'configmaps', 'ConfigMap');
export const CERTIFICATE_REQUESTS = clusterWide(
  'certificates.k8s.io',
  'v1',
  'certificatesigningrequests',
  'CertificateSigningRequest',
);
export const ACCESS_REVIEWS = clusterWide(
  'authorization.k8s.io',
  'v1',
  'selfsubjectaccessreviews',
  'SelfSubjectAccessReview',
);

export const GROUP = 'sallyport.dev';
export const VERSION = 'v1alpha1';

export const WORKLOAD_NETWORK_POLICIES = namespaced(GROUP, VERSION, 'workloadnetworkpolicies', 'WorkloadNetworkPolicy');
export const CLUSTER_WORKLOAD_NETWORK_POLICIES = clusterWide(
  GROUP,
  VERSION,
  'clusterworkloadnetworkpolicies',
  'ClusterWorkloadNetworkPolicy',
);
export const HARDENING_POLICIES = namespaced(GROUP, VERSION, 'hardeningpolicies', 'HardeningPolicy');
export const CLUSTER_HARDENING_POLICIES = clusterWide(
  GROUP,
  VERSION,
  'clusterhardeningpolicies',
  'ClusterHardeningPolicy',
);
export const HARDENING_PROFILES = namespaced(GROUP, VERSION, 'hardeningprofiles', 'HardeningProfile');
export const WORKLOAD_IDENTITIES = namespaced(GROUP, VERSION, 'workloadidentities', 'WorkloadIdentity');
export const NODE_REPORTS = clusterWide(GROUP, VERSION, 'nodereports', 'NodeReport');

/** The kinds a user writes policies in. */
export const POLICY_RESOURCES = [
  WORKLOAD_NETWORK_POLICIES,
  CLUSTER_WORKLOAD_NETWORK_POLICIES,
  HARDENING_POLICIES,
  CLUSTER_HARDENING_POLICIES,
] as const;

/** `apps/v1`; `v1` for the core group. */
export function apiVersionOf({ group, version }: ResourceType): string {
  return group === '' ? version : `${group}/${version}`;
}

/** Path of a collection, of one namespace or all, or of one object in it. */
export function pathOf(resource: ResourceType, namespace?: string, name?: string, subresource?: string): string {
  const parts = [resource.group === '' ? 'api' : 'apis', apiVersionOf(resource)];
  if (resource.namespaced && namespace !== undefined) parts.push('namespaces', segment(namespace));
  parts.push(resource.plural);
  if (name !== undefined) parts.push(segment(name));
  if (subresource !== undefined) parts.push(subresource);
  return `/${parts.join('/')}`;
}

/** A name as one step of a path, whatever it is: no object is called `..`. */
function segment(name: string): string {
  return encodeURIComponent(name).replace(/^\.{1,2}$/, (dots) => dots.replaceAll('.', '%2E'));
}

/** `namespace/name`, or the name alone of what belongs to no namespace. */
export function keyOf({ namespace, name }: Pick<ObjectMeta, 'namespace' | 'name'>): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

/** Whether an answer is an object at all: a name of its own is all that is asked. */
export function isApiObject(value: unknown): value is ApiObject {
  if (typeof value !== 'object' || value === null || !('metadata' in value)) return false;
  const { metadata } = value;
  if (typeof metadata !== 'object' || metadata === null || !('name' in metadata)) return false;
  const { name } = metadata;
  const { namespace, resourceVersion } = metadata as { namespace?: unknown; resourceVersion?: unknown };
  const texts = [namespace, resourceVersion].every((one) => one === undefined || typeof one === 'string');
  return typeof name === 'string' && name !== '' && texts;
}
