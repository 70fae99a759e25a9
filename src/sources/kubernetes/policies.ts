import { SourceError } from '../error.ts';
import type { PolicyFile } from '../policies.ts';
import { LONGEST_FILE, MOST_BYTES, MOST_FILES } from '../policies.ts';
import type { Source, SourceStatus } from '../source.ts';
import { takePolicies } from './policy-room.ts';
import type { ReflectorOptions } from './reflector.ts';
import { Reflector } from './reflector.ts';
import type { LooseObject, ResourceType } from './resource.ts';
import { apiVersionOf, POLICY_RESOURCES } from './resource.ts';

/** Begins the names of policies that are kept in the cluster; no file of a directory has a slash in its name. */
const PREFIX = 'kubernetes/';

/** `kubectl apply` keeps the whole object in there once more. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

interface Made {
  readonly from: readonly ReadonlyMap<string, ClusterPolicy>[];
  readonly files: readonly PolicyFile[];
  /** Why these are former ones. */
  readonly problem?: string;
}

/** One policy of the cluster. */
export interface ClusterPolicy {
  readonly file: PolicyFile;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
}

export type KubernetesPoliciesOptions = Omit<
  ReflectorOptions<ClusterPolicy>,
  'resource' | 'project' | 'optional' | 'remembers'
>;

/**
 * The policies of our kinds that are kept in the cluster, as files: what is read from a directory and what is read from
 * here are the same objects.
 */
export class KubernetesPolicies implements Source<readonly PolicyFile[]> {
  readonly name = 'kubernetes/policies';
  readonly reflectors: readonly Reflector<ClusterPolicy, LooseObject>[];
  /** Until somebody knows better, a server without our kinds is taken for one that has just begun. */
  #expected = true;
  #made: Made = { from: [], files: [] };

  constructor(options: KubernetesPoliciesOptions) {
    const remembers = (): boolean => this.#expected;
    this.reflectors = POLICY_RESOURCES.map((resource) => {
      const project = (object: LooseObject): ClusterPolicy => projectPolicy(resource, object);
      return new Reflector({ ...options, resource, project, optional: true, remembers });
    });
  }

  /** What was in force before. */
  expect(files: readonly PolicyFile[]): void {
    this.#expected = files.length > 0;
    this.#made = { from: [], files };
  }

  get synced(): boolean {
    return this.reflectors.every(({ synced }) => synced);
  }

  snapshot(): readonly PolicyFile[] {
    const from = this.reflectors.map((reflector) => reflector.snapshot());
    if (from.every((one, i) => one === this.#made.from[i])) return this.#made.files;
    const present = from.flatMap((policies) => Array.from(policies.values(), ({ file }) => file));
    const { files, over } = takePolicies(present, this.#made.files, { files: MOST_FILES, bytes: MOST_BYTES });
    const sorted = files.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    this.#made = { from, files: sorted, ...(over.length === 0 ? {} : { problem: problemOf(present.length, over) }) };
    return sorted;
  }

  /** Why its policies are not what the cluster has. */
  get problem(): string | undefined {
    return this.#made.problem;
  }

  /** With what the cluster says of them beside their content. */
  *policies(): Generator<ClusterPolicy> {
    for (const reflector of this.reflectors) yield* reflector.snapshot().values();
  }

  onChange(listener: () => void): () => void {
    const ends = this.reflectors.map((reflector) => reflector.onChange(listener));
    return () => {
      for (const end of ends) end();
    };
  }

  /** The first kind that does not work. */
  status(): SourceStatus {
    const all = this.reflectors.map((reflector) => reflector.status());
    const [worst = { healthy: true, since: 0, restarts: 0 }] = all.toSorted(
      (a, b) => Number(a.healthy) - Number(b.healthy),
    );
    return { ...worst, restarts: all.reduce((sum, { restarts }) => sum + restarts, 0) };
  }

  async start(signal: AbortSignal): Promise<void> {
    await Promise.all(this.reflectors.map((reflector) => reflector.start(signal)));
  }

  async close(): Promise<void> {
    await Promise.all(this.reflectors.map((reflector) => reflector.close()));
  }
}

/** Namespaces that are named; of the others it is told how many. */
const NAMED = 3;

function problemOf(policies: number, over: readonly string[]): string {
  const named = over.slice(0, NAMED).map((namespace) => namespace || 'cluster-wide ones');
  const more = over.length > NAMED ? [`${over.length - NAMED} more`] : [];
  const most = `at most ${MOST_FILES} with ${MOST_BYTES} bytes are taken, of namespaces with few first`;
  return `the cluster has ${policies} policies, ${most}: no changes are taken of ${[...named, ...more].join(', ')}`;
}

/** Whether a policy's file is an object of the cluster. */
export function isClusterFile(name: string): boolean {
  return name.startsWith(PREFIX);
}

/** The object as a policy file. Its name: `kubernetes/WorkloadNetworkPolicy/shop/web.json`. */
export function projectPolicy(resource: ResourceType, { metadata, spec }: LooseObject): ClusterPolicy {
  const { namespace = '', name, generation = 0, labels = {}, annotations = {} } = metadata;
  const path = [resource.kind, ...(resource.namespaced ? [namespace] : []), name].join('/');
  const kept = Object.fromEntries(Object.entries(annotations).filter(([key]) => key !== LAST_APPLIED));
  const bytes = Buffer.from(
    sortedJson({
      apiVersion: apiVersionOf(resource),
      kind: resource.kind,
      metadata: {
        name,
        ...(resource.namespaced ? { namespace } : {}),
        ...(Object.keys(labels).length === 0 ? {} : { labels }),
        ...(Object.keys(kept).length === 0 ? {} : { annotations: kept }),
      },
      ...(spec === undefined ? {} : { spec }),
    }),
  );
  const message = `Cannot read ${path}: it has ${bytes.length} bytes, at most ${LONGEST_FILE} are read`;
  const content: PolicyFile['content'] =
    bytes.length <= LONGEST_FILE ? { ok: true, bytes } : { ok: false, error: new SourceError('TOO_LARGE', message) };
  const file = { name: `${PREFIX}${path}.json`, content };
  return { file, kind: resource.kind, namespace: resource.namespaced ? namespace : '', name, generation };
}

/** The same text for the same content, in whichever order the server tells it. */
function sortedJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
