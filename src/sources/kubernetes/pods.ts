import * as z from 'zod';
import type { NamedPort } from '../../model/endpoint.ts';
import { ALIAS_KINDS } from '../../model/workload.ts';
import type { PodCredentials } from '../naming.ts';
import type { LooseObject, ObjectMeta, OwnerReference } from './resource.ts';

/**
 * The name under which the ports that kubelets probe are known; a rule of our own allows them. Nobody can call a port
 * of theirs so.
 */
export const PROBE_PORT = '@probe';

/** Ports of one pod that are kept; the first ones. */
const MOST_PORTS = 512;

/** What is kept of a pod. */
export interface KnownPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** By which the runtime knows a static pod. Anybody may write one: it counts for a pod of this name only. */
  readonly hash?: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Who made it; absent: nobody, or the node itself. */
  readonly controller?: Pick<OwnerReference, 'kind' | 'name' | 'uid' | 'apiVersion'>;
  /** With names, of all its containers; and those its kubelet probes. */
  readonly ports: readonly NamedPort[];
  readonly credentials: PodCredentials;
}

const portNumber = z.int().min(1).max(65_535);
const portReference = z.union([portNumber, z.string()]);
const handlerSchema = z
  .object({
    httpGet: z.object({ port: portReference, host: z.string().optional() }).optional(),
    tcpSocket: z.object({ port: portReference, host: z.string().optional() }).optional(),
    grpc: z.object({ port: portNumber }).optional(),
  })
  .nullish()
  .catch(undefined);
type Handler = z.output<typeof handlerSchema>;

const containerSchema = z.object({
  ports: z
    .array(
      z.object({
        name: z.string().optional(),
        containerPort: portNumber,
        protocol: z.enum(['TCP', 'UDP', 'SCTP']).default('TCP'),
      }),
    )
    .nullish()
    .catch(undefined),
  livenessProbe: handlerSchema,
  readinessProbe: handlerSchema,
  startupProbe: handlerSchema,
  lifecycle: z.object({ postStart: handlerSchema, preStop: handlerSchema }).nullish().catch(undefined),
});
type Container = z.output<typeof containerSchema>;

const containers = z.array(containerSchema).nullish().catch(undefined);
const specSchema = z.object({ containers, initContainers: containers, ephemeralContainers: containers });
const credentialsSchema = z.object({
  serviceAccountName: z.string().default('').catch(''),
  hostNetwork: z.boolean().default(false).catch(false),
});

/** As what, and where, a pod runs. */
export function credentialsOf(spec: unknown): PodCredentials {
  const { serviceAccountName = '', hostNetwork = false } = credentialsSchema.safeParse(spec).data ?? {};
  return { serviceAccount: serviceAccountName, hostNetwork };
}

/**
 * Who made an object. Not the node, which keeps static pods; nor what pods are called by beside their makers: who may
 * write an owner into a pod must not be able to name it after a Service or an account that it has nothing to do with.
 */
export function makerOf({ ownerReferences }: Pick<ObjectMeta, 'ownerReferences'>): OwnerReference | undefined {
  const others: readonly string[] = ALIAS_KINDS;
  return ownerReferences?.find((one) => one.controller === true && !others.includes(one.kind));
}

/** Of a pod, what its containers' names and ports come from. */
export function projectPod({ metadata, spec }: LooseObject): KnownPod {
  const { namespace = 'default', name, uid = '', labels = {}, annotations = {} } = metadata;
  const parsed = specSchema.safeParse(spec).data;
  const all = [
    ...(parsed?.containers ?? []),
    ...(parsed?.initContainers ?? []),
    ...(parsed?.ephemeralContainers ?? []),
  ];
  const controller = makerOf(metadata);
  const hash = annotations['kubernetes.io/config.hash'];
  const pod = {
    namespace,
    name,
    uid,
    // A static pod has no uid of the server's: its runtime knows it by a hash of its file, which its mirror bears.
    ...(hash === undefined ? {} : { hash }),
    labels: { ...labels },
    ports: distinct(all.flatMap(portsOf)).slice(0, MOST_PORTS),
    credentials: credentialsOf(spec),
  };
  if (controller === undefined) return pod;
  const { kind, name: owner, uid: ownerUid, apiVersion } = controller;
  return { ...pod, controller: { kind, name: owner, uid: ownerUid, apiVersion } };
}

function portsOf(container: Container): NamedPort[] {
  const named = (container.ports ?? []).flatMap(({ name, containerPort, protocol }): NamedPort[] =>
    name === undefined || name === '' ? [] : [{ name, protocol, port: containerPort }],
  );
  const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container;
  const handlers = [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop];
  const probed = handlers.flatMap((handler) => probedPorts(handler, named));
  return [...named, ...probed.map((port): NamedPort => ({ name: PROBE_PORT, protocol: 'TCP', port }))];
}

/** Where a handler makes the kubelet connect; one that names a host does not mean the pod. */
function probedPorts(handler: Handler, named: readonly NamedPort[]): number[] {
  const { httpGet, tcpSocket, grpc } = handler ?? {};
  return [httpGet, tcpSocket, grpc === undefined ? undefined : { ...grpc, host: undefined }].flatMap((one) => {
    if (one === undefined || (one.host !== undefined && one.host !== '')) return [];
    if (typeof one.port === 'number') return [one.port];
    const meant = named.find(({ name, protocol }) => name === one.port && protocol === 'TCP');
    return meant === undefined ? [] : [meant.port];
  });
}

function distinct(ports: readonly NamedPort[]): NamedPort[] {
  return [...new Map(ports.map((port) => [`${port.name} ${port.protocol} ${port.port}`, port])).values()];
}
