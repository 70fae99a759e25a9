import { formatAddress, parseAddress } from '../../model/address.ts';
import type { Frontend } from '../../model/endpoint.ts';
import type { IdentityAttributes } from '../../model/identity.ts';
import type { Candidate, PublishedPort } from '../candidate.ts';
import { identityLabels, makeWorkload } from '../naming.ts';
import type { SeenAddress } from '../source.ts';
import type { Inspected } from './messages.ts';

/** Names a container: by its compose or swarm service, else by its own name. */
export function nameContainer(
  name: string,
  id: string,
  labels: Readonly<Record<string, string>>,
): Omit<IdentityAttributes, 'labels'> {
  const service = swarmService(labels) ?? composeService(labels);
  if (service !== undefined) return { workload: service, container: service.name };
  const own = makeWorkload('docker', 'Container', name);
  if (own !== undefined) return { workload: own, container: name };
  const short = id.slice(0, 12);
  return { workload: { namespace: 'docker', kind: 'Container', name: short }, container: short };
}

function composeService(labels: Readonly<Record<string, string>>) {
  const project = labels['com.docker.compose.project'];
  const service = labels['com.docker.compose.service'];
  return project === undefined || service === undefined ? undefined : makeWorkload(project, 'Service', service);
}

function swarmService(labels: Readonly<Record<string, string>>) {
  const service = labels['com.docker.swarm.service.name'];
  const stack = labels['com.docker.stack.namespace'];
  if (service === undefined) return undefined;
  // A stack's services are called STACK_SERVICE.
  const name = stack !== undefined && service.startsWith(`${stack}_`) ? service.slice(stack.length + 1) : service;
  return makeWorkload(stack ?? 'swarm', 'Service', name);
}

/** What the engine says of a running container; undefined of one that does not run. */
export function toCandidate(inspected: Inspected, noise?: readonly string[]): Candidate | undefined {
  const { Id: id, State: state, Config: config, NetworkSettings: settings } = inspected;
  if (!state.Running || state.Pid <= 0) return undefined;
  const name = inspected.Name.replace(/^\//, '');
  const labels = config?.Labels ?? {};
  const joined = /^container:([0-9a-f]{12,64})$/.exec(inspected.HostConfig?.NetworkMode ?? '')?.[1];
  const started = Date.parse(state.StartedAt);
  const candidate: Candidate = {
    id,
    name,
    runtime: 'docker',
    attributes: { ...nameContainer(name, id, labels), labels: identityLabels(labels, noise) },
    pid: state.Pid,
    startedAt: Number.isNaN(started) ? 0 : started,
    sandbox: id,
    role: joined === undefined ? 'owner' : 'member',
    declared: declaredAddresses(settings),
    published: publishedPorts(settings),
    ports: [],
  };
  return config?.Image ? { ...candidate, image: config.Image } : candidate;
}

function declaredAddresses(settings: Inspected['NetworkSettings']): SeenAddress[] {
  return Object.values(settings?.Networks ?? {}).flatMap((network) => [
    ...declared(network?.IPAddress, network?.IPPrefixLen, 32),
    ...declared(network?.GlobalIPv6Address, network?.GlobalIPv6PrefixLen, 128),
  ]);
}

function declared(text: string | null | undefined, length: number | null | undefined, bits: number): SeenAddress[] {
  const address = parseAddress(text ?? '');
  if (address === undefined) return [];
  return [{ address: formatAddress(address), prefix: length || bits, declared: true }];
}

const PROTOCOLS: Readonly<Record<string, Frontend['protocol']>> = { tcp: 'TCP', udp: 'UDP', sctp: 'SCTP' };

function publishedPorts(settings: Inspected['NetworkSettings']): PublishedPort[] {
  return Object.entries(settings?.Ports ?? {}).flatMap(([target, bindings]) => {
    const [port, protocol] = target.split('/');
    const known = PROTOCOLS[protocol ?? ''];
    const targetPort = parsePort(port);
    if (known === undefined || targetPort === undefined) return [];
    return (bindings ?? []).flatMap((binding): PublishedPort[] => {
      const address = parseAddress(binding.HostIp || '0.0.0.0');
      const bound = parsePort(binding.HostPort);
      if (address === undefined || bound === undefined) return [];
      return [{ address: formatAddress(address), protocol: known, port: bound, targetPort }];
    });
  });
}

function parsePort(text: string | undefined): number | undefined {
  const port = /^\d{1,5}$/.test(text ?? '') ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}
