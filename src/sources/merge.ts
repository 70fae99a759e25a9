import { formatAddress, parseAddress } from '../model/address.ts';
import type { Container, Endpoint, Facts, Frontend } from '../model/endpoint.ts';
import { deriveIdentity } from '../model/identity.ts';
import type { Claims } from './claims.ts';
import { admitAddresses } from './claims.ts';
import type { Sighting, Sightings, Warning } from './source.ts';

export interface MergeContext {
  readonly domain: string;
  /** Inode of the node's own network namespace. */
  readonly nodeNetns: number;
  readonly nodeAddresses: readonly string[];
  /** What the last merge returned; empty for the first. */
  readonly claims: Claims;
}

export interface Merged {
  readonly facts: Facts;
  readonly claims: Claims;
  readonly warnings: readonly Warning[];
}

/**
 * Makes one world of what several sources saw, the most trusted first: a container two of them know is the first
 * one's, containers in one network namespace are one endpoint, an interface is one endpoint's, and so is an address.
 * Pure: the same sightings and claims give the same world.
 */
export function merge(sources: readonly Sightings[], context: MergeContext): Merged {
  const { joined, renamed } = joinNamespaces(dropKnown(sources), context);
  const warnings = sources.flatMap((source) => source.warnings);
  const sightings = separateInterfaces(joined, warnings);
  const admission = admitAddresses(
    sightings.map(({ endpoint, ...rest }) => ({ ...rest, id: endpoint.id })),
    context.claims,
    context.nodeAddresses,
  );
  const endpoints = sightings
    .map(({ endpoint, instance }) => ({
      ...endpoint,
      addresses: [...(admission.claims.get(instance)?.addresses ?? [])].sort(),
    }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const frontends = mergeFrontends(sources, renamed);
  return { facts: { endpoints, frontends }, claims: admission.claims, warnings: [...warnings, ...admission.warnings] };
}

/** All sightings, the first source's first, without containers that an earlier source has, or that are part of one. */
function dropKnown(sources: readonly Sightings[]): Sighting[] {
  const ids = new Set<string>();
  const cgroups = new Set<bigint>();
  const paths: string[] = [];
  return sources.flatMap((source) => {
    const sightings = source.endpoints.flatMap((sighting): Sighting[] => {
      const { containers } = sighting.endpoint;
      const own = containers.filter(
        ({ id, cgroup }) =>
          !ids.has(id) && !cgroups.has(cgroup.id) && !paths.some((path) => cgroup.path.startsWith(`${path}/`)),
      );
      if (own.length === containers.length) return [sighting];
      // Without any container of its own it is still there as a sandbox, to be joined with the earlier source's.
      return [{ ...sighting, endpoint: { ...sighting.endpoint, containers: own } }];
    });
    for (const { endpoint } of source.endpoints) {
      ids.add(endpoint.id);
      for (const { id, cgroup } of endpoint.containers) {
        ids.add(id);
        if (cgroup.id === 0n) continue;
        cgroups.add(cgroup.id);
        paths.push(cgroup.path);
      }
    }
    return sightings;
  });
}

/** Joins what is in one network namespace; `renamed` says which endpoint stands for each that was seen. */
function joinNamespaces(
  sightings: readonly Sighting[],
  { domain, nodeNetns }: MergeContext,
): { joined: Sighting[]; renamed: Map<string, string> } {
  const joined = new Map<string, Sighting>();
  const renamed = new Map<string, string>();
  for (const sighting of sightings) {
    const { endpoint } = sighting;
    const key = endpoint.netns === nodeNetns ? `endpoint ${endpoint.id}` : `netns ${endpoint.netns}`;
    const first = joined.get(key);
    // On the node's network a process group all of whose containers an earlier source has is nothing of its own.
    if (first === undefined && endpoint.netns === nodeNetns && endpoint.containers.length === 0) continue;
    joined.set(key, first === undefined ? sighting : join(first, sighting, domain));
    renamed.set(endpoint.id, first?.endpoint.id ?? endpoint.id);
  }
  return { joined: [...joined.values()], renamed };
}

function join(first: Sighting, second: Sighting, domain: string): Sighting {
  const containers = [...first.endpoint.containers, ...second.endpoint.containers];
  const { workload, labels } = first.endpoint.identity;
  const only: Container | undefined = containers.length === 1 ? containers[0] : undefined;
  const identity = only?.identity ?? deriveIdentity(domain, { workload, labels, container: '' });
  const ports = [...first.endpoint.ports, ...second.endpoint.ports];
  const endpoint: Endpoint = { ...first.endpoint, identity, containers, ports };
  return {
    ...first,
    endpoint,
    seen: [...first.seen, ...second.seen],
    gateways: [...first.gateways, ...second.gateways],
    startedAt: Math.min(first.startedAt, second.startedAt),
  };
}

/** An interface seen in two namespaces went from the older to the younger; one of the sources has not noticed yet. */
function separateInterfaces(sightings: readonly Sighting[], warnings: Warning[]): Sighting[] {
  const owners = new Map<number, Sighting>();
  for (const sighting of [...sightings].sort((a, b) => b.startedAt - a.startedAt)) {
    for (const { ifindex } of sighting.endpoint.interfaces) {
      if (!owners.has(ifindex)) owners.set(ifindex, sighting);
    }
  }
  return sightings.map((sighting) => {
    const { endpoint } = sighting;
    const lost = endpoint.interfaces.filter(({ ifindex }) => owners.get(ifindex) !== sighting);
    if (lost.length === 0) return sighting;
    for (const { ifindex, name } of lost) {
      const message = `interface ${name} of endpoint ${endpoint.id} is now endpoint ${owners.get(ifindex)?.endpoint.id}’s`;
      warnings.push({ code: 'INTERFACE_TAKEN', subject: endpoint.id, message });
    }
    const interfaces = endpoint.interfaces.filter((one) => !lost.includes(one));
    return { ...sighting, endpoint: { ...endpoint, interfaces } };
  });
}

/** One endpoint for each published address and port: the first source's. */
function mergeFrontends(sources: readonly Sightings[], renamed: ReadonlyMap<string, string>): Frontend[] {
  const frontends = new Map<string, Frontend>();
  for (const frontend of sources.flatMap((source) => source.frontends)) {
    const endpoint = renamed.get(frontend.endpoint);
    const parsed = parseAddress(frontend.address);
    if (endpoint === undefined || parsed === undefined) continue;
    const address = formatAddress(parsed);
    const key = `${frontend.protocol} ${address} ${frontend.port}`;
    if (!frontends.has(key)) frontends.set(key, { ...frontend, address, endpoint });
  }
  return [...frontends.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, frontend]) => frontend);
}
