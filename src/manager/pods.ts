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
  readonly controller?: Controller;
  /** Those that make part of identities. */
  readonly labels: Readonly<Record<string, string>>;
  /** Also those that only begin it, and those for looking into it. */
  readonly containers: readonly PodContainer[];
  /** Of those that stay. */
  readonly running: readonly string[];
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
  readonly status?: { readonly phase?: string };
}

/** What is kept of a pod. */
export function podFacts(object: ApiObject): PodFacts | undefined {
  const { metadata, spec = {}, status = {} } = object as WrittenPod;
  const { namespace, name, labels = {} } = metadata;
  if (namespace === undefined) return undefined;
  const stay = containersOf(spec.containers);
  const others = [...containersOf(spec.initContainers), ...containersOf(spec.ephemeralContainers)];
  const controller = controllerOf(object);
  const node = spec.nodeName ?? '';
  const live = node !== '' && status.phase === 'Running' && metadata.deletionTimestamp === undefined;
  return {
    namespace,
    name,
    ...(controller === undefined ? {} : { controller }),
    labels: podLabels(labels, credentialsOf(spec)),
    containers: [...stay, ...others],
    running: stay.map((container) => container.name),
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

function portsOf(list: unknown): NamedPort[] {
  if (!Array.isArray(list)) return [];
  return (list as Record<string, unknown>[]).slice(0, MOST_PORTS).flatMap((entry) => {
    const protocol = PROTOCOLS.find((known) => known === (entry.protocol ?? 'TCP'));
    const { name, containerPort: port } = entry;
    if (typeof name !== 'string' || name === '' || typeof port !== 'number' || protocol === undefined) return [];
    return [{ name, protocol, port }];
  });
}
