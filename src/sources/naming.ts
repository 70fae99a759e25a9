import { LABELS_CUT, LABELS_LABEL } from '../model/cut-labels.ts';
import { globMatch } from '../model/glob.ts';
import type { Workload } from '../model/workload.ts';
import { WORKLOAD_LIMITS } from '../model/workload.ts';

/** Labels of tools and of single instances: they tell no workloads apart. */
export const NOISE: readonly string[] = [
  'com.docker.*',
  'desktop.docker.io/*',
  'desktop.*',
  'org.opencontainers.*',
  'org.label-schema.*',
  'io.buildah.*',
  'maintainer',
  'io.kubernetes.*',
  'annotation.io.kubernetes.*',
  'pod-template-hash',
  'pod-template-generation',
  'controller-revision-hash',
  'controller-uid',
  'job-name',
  'batch.kubernetes.io/*',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  // Ours say what no pod may say of itself.
  'sallyport.dev/*',
];

/** What an identity has as labels of ours, of pods that the API server has told of, and only of those. */
export const SERVICE_ACCOUNT_LABEL = 'sallyport.dev/service-account';
export const HOST_NETWORK_LABEL = 'sallyport.dev/host-network';

/** Of a pod, what makes part of its identity beside names and labels: the same for all pods of one template. */
export interface PodCredentials {
  /** Whose token it has; empty where it has none. */
  readonly serviceAccount: string;
  readonly hostNetwork: boolean;
}

/** Bounds of what one container may put into its identity; whoever has more is closed. */
const MOST_LABELS = 256;
const MOST_BYTES = 16 << 10;
/** Whatever is longer no policy can ask for, and is left out. */
const LONGEST_KEY = 317; // a Kubernetes label with its prefix
const LONGEST_VALUE = 253;

/**
 * The labels that make part of an identity: those no pattern in `noise` matches, without overlong ones. Of more than
 * there may be the first by name, and one of ours that says so.
 */
export function identityLabels(
  labels: Readonly<Record<string, string>>,
  noise: readonly string[] = NOISE,
): Record<string, string> {
  const kept = Object.entries(labels)
    .filter(([key, value]) => key.length <= LONGEST_KEY && value.length <= LONGEST_VALUE)
    .filter(([key]) => !noise.some((pattern) => globMatch(pattern, key)))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const known = kept.slice(0, fitting(kept));
  if (known.length < kept.length) known.push([LABELS_LABEL, LABELS_CUT]);
  return Object.fromEntries(known);
}

/** How many of them, from the first on, are within the bounds. */
function fitting(labels: readonly (readonly [key: string, value: string])[]): number {
  let bytes = 0;
  const beyond = labels.findIndex(([key, value], i) => {
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
    return i === MOST_LABELS || bytes > MOST_BYTES;
  });
  return beyond < 0 ? labels.length : beyond;
}

/** The labels that make part of a pod's identity. */
export function podLabels(
  labels: Readonly<Record<string, string>>,
  credentials: PodCredentials | undefined,
  noise?: readonly string[],
): Record<string, string> {
  const own = identityLabels(labels, noise);
  for (const key of [SERVICE_ACCOUNT_LABEL, HOST_NETWORK_LABEL]) delete own[key];
  if (credentials === undefined) return own;
  own[SERVICE_ACCOUNT_LABEL] = credentials.serviceAccount;
  if (credentials.hostNetwork) own[HOST_NETWORK_LABEL] = 'true';
  return own;
}

const PART = /^[A-Za-z0-9._:@-]+$/;

/** A workload of names from outside; undefined where policies could not write one of them. */
export function makeWorkload(namespace: string, kind: string, name: string): Workload | undefined {
  const parts = { namespace, kind, name };
  for (const key of ['namespace', 'kind', 'name'] as const) {
    if (!PART.test(parts[key]) || parts[key].length > WORKLOAD_LIMITS[key]) return undefined;
  }
  return parts;
}
