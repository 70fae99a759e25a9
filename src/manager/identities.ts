/** WorkloadIdentities: who the containers of every workload are, from all pods. Pure. */
import { createHash } from 'node:crypto';
import type { NamedPort } from '../model/endpoint.ts';
import { deriveIdentity, formatIdentity, type Identity } from '../model/identity.ts';
import { WORKLOAD_IDENTITY_LIMITS, type WorkloadIdentityResource } from '../model/schema/workload-identity.ts';
import { formatWorkload, type Workload } from '../model/workload.ts';
import type { Aliases } from '../sources/kubernetes/aliases.ts';
import { HOST_NETWORK_LABEL } from '../sources/naming.ts';
import { objectName } from './names.ts';
import { type Between, workloadOf } from './owners.ts';
import type { PodFacts } from './pods.ts';

/** An identity, and where somebody with it runs. */
export interface PlacedIdentity extends Identity {
  readonly ports: readonly NamedPort[];
  /** Running containers by node. */
  readonly nodes: ReadonlyMap<string, number>;
  /** Pods where one with it runs now, as their kubelets say, by node. */
  readonly started: ReadonlyMap<string, readonly string[]>;
}

export interface WorkloadFacts {
  readonly workload: Workload;
  /** By identity. */
  readonly identities: ReadonlyMap<bigint, PlacedIdentity>;
  readonly pods: number;
  readonly nodes: number;
}

/** Workloads by `namespace/name` of their object. */
export type Workloads = ReadonlyMap<string, WorkloadFacts>;

interface Placing extends PlacedIdentity {
  readonly nodes: Map<string, number>;
  readonly started: Map<string, string[]>;
}

interface Gathered {
  readonly workload: Workload;
  readonly identities: Map<bigint, Placing>;
  readonly nodes: Set<string>;
  pods: number;
}

/** Identities that are remembered from round to round. 500 bytes each, and labels, which all of a pod share. */
const MOST_DERIVED = 100_000;

type Labels = Readonly<Record<string, string>>;

/** For as long as a pod has them. They may have 16 KiB, and its containers be a hundred: all of those share one text. */
const digests = new WeakMap<Labels, string>();
const inOrder = new WeakMap<Labels, Labels>();

function digestOf(labels: Labels): string {
  const known = digests.get(labels) ?? createHash('sha256').update(JSON.stringify(labels)).digest('base64');
  digests.set(labels, known);
  return known;
}

/**
 * What all pods of the cluster come down to.
 * @param derived what was derived before, of the same domain; what is derived now is added
 */
export function workloadsOf(
  pods: Iterable<PodFacts>,
  between: Between,
  domain: string,
  derived: Map<string, Identity> = new Map(),
): Workloads {
  const gathered = new Map<string, Gathered>();
  if (derived.size > MOST_DERIVED) derived.clear();
  for (const pod of pods) {
    const workload = workloadOf(pod.namespace, pod.name, pod.controller, between);
    if (workload === undefined) continue;
    const key = `${workload.namespace}/${objectName(workload)}`;
    const entry = gathered.get(key) ?? { workload, identities: new Map(), nodes: new Set(), pods: 0 };
    gathered.set(key, entry);
    if (pod.live) {
      entry.pods += 1;
      entry.nodes.add(pod.node);
    }
    const labels = digestOf(pod.labels);
    for (const [container, ports] of sharesOf(pod)) {
      const known = `${key}\0${container}\0${labels}`;
      const identity = derived.get(known) ?? deriveIdentity(domain, { workload, container, labels: pod.labels });
      derived.set(known, identity);
      const placed = entry.identities.get(identity.id) ?? { ...identity, ports, nodes: new Map(), started: new Map() };
      entry.identities.set(identity.id, placed);
      if (pod.started.includes(container)) {
        const names = placed.started.get(pod.node) ?? [];
        placed.started.set(pod.node, names);
        names.push(pod.name);
      }
      if (!pod.live || !pod.running.includes(container)) continue;
      placed.nodes.set(pod.node, (placed.nodes.get(pod.node) ?? 0) + 1);
    }
  }
  return new Map([...gathered].map(([key, { nodes, ...rest }]) => [key, { ...rest, nodes: nodes.size }]));
}

/** The same with what else they are called; by nodes too, where they share the network of one. */
export function named(workloads: Workloads, aliases: Aliases): Workloads {
  const nameOne = (identity: PlacedIdentity): PlacedIdentity => {
    const known = aliases.name(identity);
    if (identity.labels[HOST_NETWORK_LABEL] !== 'true') return known;
    const nodes = [...identity.nodes.keys()].map((name): Workload => ({ namespace: '', kind: 'Node', name }));
    return { ...known, aliases: [...nodes, ...(known.aliases ?? [])] };
  };
  return new Map(
    [...workloads].map(([key, facts]) => {
      const identities = new Map([...facts.identities].map(([id, identity]) => [id, nameOne(identity)]));
      return [key, { ...facts, identities }];
    }),
  );
}

/** What several containers share by the network is nobody's of them: it has an identity with an empty name. */
function sharesOf({ containers }: PodFacts): (readonly [string, readonly NamedPort[]])[] {
  const own = containers.map(({ name, ports }) => [name, ports] as const);
  return [['', containers.flatMap(({ ports }) => ports)], ...own];
}

/** One identity as its object says it. */
export type WrittenIdentity = WorkloadIdentityResource['spec']['identities'][number];

/** In the order of containers and labels, so that the same world gives the same text. */
export function writtenIdentities(facts: WorkloadFacts): WrittenIdentity[] {
  const { identities: most, ports: mostPorts } = WORKLOAD_IDENTITY_LIMITS;
  return sorted(
    [...facts.identities.values()].map(({ id, container, labels, ports }) => ({
      ...(container === '' ? {} : { container }),
      labels,
      id: formatIdentity(id),
      ports: uniquePorts(ports).slice(0, mostPorts),
    })),
  ).slice(0, most);
}

function sorted(identities: WrittenIdentity[]): WrittenIdentity[] {
  const keyed = identities.map(
    (one) => [`${one.container ?? ''}\0${JSON.stringify(sortedLabels(one.labels))}`, one] as const,
  );
  return keyed.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => ({ ...one, labels: sortedLabels(one.labels) }));
}

function sortedLabels(labels: Labels): Labels {
  const known = inOrder.get(labels);
  if (known !== undefined) return known;
  const made = Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  inOrder.set(labels, made);
  inOrder.set(made, made);
  return made;
}

function uniquePorts(ports: readonly NamedPort[]): NamedPort[] {
  return [...new Map(ports.map((port) => [`${port.name}/${port.protocol}/${port.port}`, port])).values()];
}

/** An identity an object has, and when a pod last had it. */
interface Remembered {
  readonly written: WrittenIdentity;
  /** About as much memory as it takes. */
  readonly bytes: number;
  seen: number;
}

export interface IdentityObject {
  readonly spec: WorkloadIdentityResource['spec'];
  readonly status: NonNullable<WorkloadIdentityResource['status']>;
}

function remembered(written: WrittenIdentity, seen: number): Remembered {
  const bytes = Object.entries(written.labels).reduce((sum, [key, value]) => sum + key.length + value.length, 500);
  return { written, bytes, seen };
}

/** Memory for identities nobody has any more; beyond it those that are gone longest are forgotten at once. */
const MOST_LINGERING = 64 << 20;

/**
 * Keeps identities for a while after their last pod: pods that are replaced, one by one or all at once, change nothing.
 * What a former leader wrote is taken as seen when it is first met.
 */
export class IdentityLedger {
  readonly #graceMs: number;
  readonly #workloads = new Map<string, { workload: string; identities: Map<string, Remembered> }>();

  constructor(graceMs: number) {
    this.#graceMs = graceMs;
  }

  /** Takes over what stands in the cluster. */
  adopt(written: ReadonlyMap<string, WorkloadIdentityResource['spec']>, now: number): void {
    for (const [key, { workload, identities }] of written) {
      if (this.#workloads.has(key)) continue;
      const adopted = identities.map((one) => [one.id, remembered(one, now)] as const);
      this.#workloads.set(key, { workload, identities: new Map(adopted) });
    }
  }

  /**
   * The objects there should be, by `namespace/name`.
   * @param exists whether a namespace is there; with one its objects go
   */
  desired(workloads: Workloads, now: number, exists: (namespace: string) => boolean): Map<string, IdentityObject> {
    for (const [key, facts] of workloads) {
      const entry = this.#workloads.get(key) ?? { workload: formatWorkload(facts.workload), identities: new Map() };
      this.#workloads.set(key, entry);
      for (const written of writtenIdentities(facts)) entry.identities.set(written.id, remembered(written, now));
      entry.identities = newestOf(entry.identities);
    }
    this.#forget(now);
    const objects = new Map<string, IdentityObject>();
    for (const [key, { workload, identities }] of this.#workloads) {
      for (const [id, { seen }] of identities) if (seen + this.#graceMs <= now) identities.delete(id);
      if (identities.size === 0 || !exists(key.slice(0, key.indexOf('/')))) this.#workloads.delete(key);
      else objects.set(key, objectOf(workload, identities, workloads.get(key)));
    }
    return objects;
  }

  #forget(now: number): void {
    const lingering: { readonly of: Map<string, Remembered>; readonly id: string; readonly one: Remembered }[] = [];
    let bytes = 0;
    for (const { identities } of this.#workloads.values()) {
      for (const [id, one] of identities) {
        if (one.seen >= now) continue;
        lingering.push({ of: identities, id, one });
        bytes += one.bytes;
      }
    }
    if (bytes <= MOST_LINGERING) return;
    for (const { of, id, one } of lingering.sort((a, b) => a.one.seen - b.one.seen)) {
      if (bytes <= MOST_LINGERING) return;
      of.delete(id);
      bytes -= one.bytes;
    }
  }
}

/** As many as an object has room for. */
function newestOf(identities: Map<string, Remembered>): Map<string, Remembered> {
  const { identities: most } = WORKLOAD_IDENTITY_LIMITS;
  if (identities.size <= most) return identities;
  return new Map([...identities].sort(([, a], [, b]) => b.seen - a.seen).slice(0, most));
}

function objectOf(
  workload: string,
  identities: ReadonlyMap<string, Remembered>,
  facts: WorkloadFacts | undefined,
): IdentityObject {
  const newest = [...identities.values()].sort((a, b) => b.seen - a.seen).slice(0, WORKLOAD_IDENTITY_LIMITS.identities);
  return {
    spec: { workload, identities: sorted(newest.map(({ written }) => written)) },
    status: { pods: facts?.pods ?? 0, nodes: facts?.nodes ?? 0 },
  };
}
