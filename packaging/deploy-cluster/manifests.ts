/** The manifests of k8s/, as they suit one cluster: pure. */

import { parseAllDocuments, stringify } from 'yaml';

/** A Kubernetes object, as far as deploying cares. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string> };
  spec?: Record<string, unknown>;
  [field: string]: unknown;
}

interface Container {
  image: string;
  [field: string]: unknown;
}

export interface PodSpec {
  initContainers?: Container[];
  containers: Container[];
  [field: string]: unknown;
}

export interface Circumstances {
  /** Whole, with its tag or digest. */
  readonly image: string;
  /** What the server serves, such as `policy/v1`. */
  readonly apiVersions: ReadonlySet<string>;
  /** More settings of the agents, `key=value`; `$(NODE_NAME)` in them is each node's own. */
  readonly agentSettings?: readonly string[];
}

/** What k8s/base calls its image. */
export const STANDARD_IMAGE = 'sallyport.dev/sallyport:0.1.0';

/** Kinds that a server may know by an older version only (before Kubernetes 1.21). */
const OLDER: Readonly<Record<string, string>> = { 'policy/v1': 'policy/v1beta1' };

export function readManifests(text: string): Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors ?? [];
    if (error !== undefined) throw error;
    const value = document.toJS() as Manifest | null;
    return value === null ? [] : [value];
  });
}

export function writeManifests(manifests: readonly Manifest[]): string {
  return manifests.map((manifest) => stringify(manifest)).join('---\n');
}

/** With this image and these settings, in versions that this server knows. */
export function suit(
  manifests: readonly Manifest[],
  { image, apiVersions, agentSettings = [] }: Circumstances,
): Manifest[] {
  return manifests.map((manifest) => {
    const changed = structuredClone(manifest);
    const older = OLDER[manifest.apiVersion];
    if (!apiVersions.has(manifest.apiVersion) && older !== undefined && apiVersions.has(older)) {
      changed.apiVersion = older;
    }
    const pod = podSpecOf(changed);
    for (const container of [...(pod?.initContainers ?? []), ...(pod?.containers ?? [])]) {
      if (container.image === STANDARD_IMAGE) container.image = image;
    }
    for (const agent of changed.kind === 'DaemonSet' ? (pod?.containers ?? []) : []) {
      agent.args = [...((agent.args as string[] | undefined) ?? []), ...agentSettings.flatMap((one) => ['--set', one])];
    }
    return changed;
  });
}

export function podSpecOf(manifest: Manifest): PodSpec | undefined {
  return (manifest.spec as { template?: { spec?: PodSpec } } | undefined)?.template?.spec;
}

export function isWorkload({ kind }: Manifest): boolean {
  return kind === 'DaemonSet' || kind === 'Deployment';
}
