/** Pods, as much of them as the manager wants: everything else is dropped where it arrives. */
import type { NamedPort } from '../model/endpoint.ts';
import { credentialsOf } from '../sources/kubernetes/pods.ts';
import type { ApiObject } from '../sources/kubernetes/resource.ts';
import { podLabels } from '../sources/naming.ts';
import { type Controller, controllerOf } from './owners.ts';

export interface PodContainer {
  readonly name: string;
  readonly ports: readonly NamedPort[];
}

export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: Controller;
  /** Those that make part of identities. */
  readonly labels: Readonly<Record<string, string>>;
  /** Also those that only begin it, and those for looking into it. */
  readonly containers: readonly PodContainer[];
  /** Of those that stay. */
  readonly running: readonly string[];
  /** Those that run now, as the kubelet says, of any kind; none of a pod that is on its way out. */
  readonly started: readonly string[];
  /** Empty where it has not been placed. */
  readonly node: string;
  /** Placed, not ended, not on its way out. */
  readonly live: boolean;
}

/** Of one pod; the API allows more of neither in practice. */
const MOST_CONTAINERS = 128;
const MOST_PORTS = 64;
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;

interface WrittenContainer {
  readonly name?: unknown;
  readonly ports?: unknown;
}

interface WrittenPod extends ApiObject {
  readonly spec?: {
    readonly nodeName?: string;
    readonly containers?: readonly WrittenContainer[];
    readonly initContainers?: readonly WrittenContainer[];
    readonly ephemeralContainers?: readonly WrittenContainer[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly containerStatuses?: unknown;
    readonly initContainerStatuses?: unknown;
    readonly ephemeralContainerStatuses?: unknown;
  };
}

interface WrittenStatus {
  readonly name?: unknown;
  readonly state?: { readonly running?: unknown } | null;
}

/** What is kept of a pod. */
export function podFacts(object: ApiObject): PodFacts | undefined {
  const { metadata, spec = {}, status = {} } = object as WrittenPod;
  const { namespace, name, uid = '', labels = {} } = metadata;
  if (namespace === undefined) return undefined;
  const stay = containersOf(spec.containers);
  const others = [...containersOf(spec.initContainers), ...containersOf(spec.ephemeralContainers)];
  const controller = controllerOf(object);
  const node = spec.nodeName ?? '';
  const live = node !== '' && status.phase === 'Running' && metadata.deletionTimestamp === undefined;
  return {
    namespace,
    name,
    uid,
    ...(controller === undefined ? {} : { controller }),
    labels: podLabels(labels, credentialsOf(spec)),
    containers: [...stay, ...others],
    running: stay.map((container) => container.name),
    started: node !== '' && metadata.deletionTimestamp === undefined ? startedOf(status) : [],
    node,
    live,
  };
}

function containersOf(list: readonly WrittenContainer[] | undefined): PodContainer[] {
  return (list ?? []).slice(0, MOST_CONTAINERS).flatMap((container) => {
    const { name, ports } = container;
    return typeof name === 'string' ? [{ name, ports: portsOf(ports) }] : [];
  });
}

function startedOf({
  containerStatuses,
  initContainerStatuses,
  ephemeralContainerStatuses,
}: NonNullable<WrittenPod['status']>): string[] {
  const lists = [containerStatuses, initContainerStatuses, ephemeralContainerStatuses];
  const told = lists.flatMap((list) => (Array.isArray(list) ? list.slice(0, MOST_CONTAINERS) : [])) as WrittenStatus[];
  const started = told.filter((one) => typeof one?.state?.running === 'object' && one.state.running !== null);
  return started.flatMap(({ name }) => (typeof name === 'string' ? [name] : []));
}

function portsOf(list: unknown): NamedPort[] {
  if (!Array.isArray(list)) return [];
  return (list as Record<string, unknown>[]).slice(0, MOST_PORTS).flatMap((entry) => {
    const protocol = PROTOCOLS.find((known) => known === (entry.protocol ?? 'TCP'));
    const { name, containerPort: port } = entry;
    if (typeof name !== 'string' || name === '' || typeof port !== 'number' || protocol === undefined) return [];
    return [{ name, protocol, port }];
  });
}
