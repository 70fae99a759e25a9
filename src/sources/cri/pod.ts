import { formatAddress, parseAddress } from '../../model/address.ts';
import type { NamedPort } from '../../model/endpoint.ts';
import type { Workload } from '../../model/workload.ts';
import type { Candidate } from '../candidate.ts';
import { makeWorkload, type PodCredentials, podLabels } from '../naming.ts';
import type { SeenAddress } from '../source.ts';
import type { ContainerStatus, PodContainer, PodSandbox, SandboxStatus } from './runtime.ts';

/** A pod as its runtime knows it. */
export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** What Kubernetes knows of a pod and its runtime does not. */
export interface PodOwner {
  /** The top owner: a deployment, not its replica set. */
  readonly workload: Workload;
  readonly ports: readonly NamedPort[];
  /** The pod's labels as they are now; its runtime knows those it began with. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Absent: nobody has told. */
  readonly credentials?: PodCredentials;
}

/** Undefined where there is none; `not yet` where the pod should not be told of before that is known. */
export type ResolveOwner = (pod: Pod) => PodOwner | 'not yet' | undefined;

/** The pod of a sandbox: by its labels, which the kubelet sets, else by the sandbox's metadata. */
export function podOf({ id, labels, metadata }: PodSandbox): Pod {
  return {
    namespace: labels['io.kubernetes.pod.namespace'] || metadata?.namespace || 'default',
    name: labels['io.kubernetes.pod.name'] || metadata?.name || id.slice(0, 12),
    uid: labels['io.kubernetes.pod.uid'] || metadata?.uid || '',
    labels,
  };
}

/** Candidates of one sandbox: itself, and the containers that run in it. */
export interface PodFacts {
  readonly sandbox: PodSandbox;
  readonly status: SandboxStatus;
  readonly containers: readonly { readonly container: PodContainer; readonly status: ContainerStatus }[];
}

export function toCandidates(facts: PodFacts, resolve: ResolveOwner, noise?: readonly string[]): Candidate[] {
  const { sandbox, status, containers } = facts;
  const pod = podOf(sandbox);
  const owner = resolve(pod);
  if (owner === 'not yet') return [];
  const own = makeWorkload(pod.namespace, 'Pod', pod.name) ?? {
    namespace: 'cri',
    kind: 'Pod',
    name: sandbox.id.slice(0, 12),
  };
  const labels = podLabels(owner?.labels ?? pod.labels, owner?.credentials, noise);
  const attributes = { workload: owner?.workload ?? own, labels };
  const common = { runtime: 'cri', sandbox: sandbox.id, published: [] } as const;
  const itself: Candidate = {
    ...common,
    id: sandbox.id,
    name: pod.name,
    attributes: { ...attributes, container: '' },
    pid: status.pid,
    startedAt: Math.floor(sandbox.createdAt / 1e6),
    role: 'sandbox',
    declared: status.addresses.flatMap(declared),
    ports: owner?.ports ?? [],
  };
  return [itself, ...containers.map((one) => toCandidate(one, { ...common, attributes }))];
}

function toCandidate(
  { container, status }: PodFacts['containers'][number],
  common: Pick<Candidate, 'runtime' | 'sandbox' | 'published'> & {
    attributes: Omit<Candidate['attributes'], 'container'>;
  },
): Candidate {
  const name = container.metadata?.name ?? container.id.slice(0, 12);
  const image = status.image || container.image?.image;
  return {
    ...common,
    id: container.id,
    name,
    attributes: { ...common.attributes, container: name },
    pid: status.pid,
    startedAt: status.startedAt,
    role: 'member',
    declared: [],
    ports: [],
    ...(image ? { image } : {}),
  };
}

/** The runtime tells no prefix length: only the address itself is sure. */
function declared(text: string): SeenAddress[] {
  const address = parseAddress(text);
  if (address === undefined) return [];
  return [{ address: formatAddress(address), prefix: text.includes(':') ? 128 : 32, declared: true }];
}
