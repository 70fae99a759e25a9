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
];

/** Bounds of what one container may put into its identity, 36 KiB together; what is beyond is left out. */
const MOST_LABELS = 64;
const LONGEST_KEY = 317; // a Kubernetes label with its prefix
const LONGEST_VALUE = 253;

/**
 * The labels that make part of an identity: those no pattern in `noise` matches, the first 64 by name, without
 * overlong ones.
 */
export function identityLabels(
  labels: Readonly<Record<string, string>>,
  noise: readonly string[] = NOISE,
): Record<string, string> {
  const kept = Object.entries(labels)
    .filter(([key, value]) => key.length <= LONGEST_KEY && value.length <= LONGEST_VALUE)
    .filter(([key]) => !noise.some((pattern) => globMatch(pattern, key)))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(kept.slice(0, MOST_LABELS));
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
