import * as z from 'zod';
import { formatAddress, parseAddress } from '../../model/address.ts';
import type { ServiceAddress } from '../../model/endpoint.ts';
import type { LooseObject } from './resource.ts';

/** A port under which a Service can be reached, and what it leads to. */
export interface ServicePort {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly port: number;
  /** Of the pods: a number, or what they call it. */
  readonly target: number | string;
  /** At every address of every node. */
  readonly nodePort?: number;
}

/** A Service, as far as names and packets are concerned. Plain data. */
export interface KnownService {
  readonly namespace: string;
  readonly name: string;
  /** Labels of the pods it selects, all of them wanted; absent: it selects none by itself. */
  readonly selector?: Readonly<Record<string, string>>;
  /** Canonical text: of the cluster, of a load balancer, and external ones. */
  readonly addresses: readonly string[];
  readonly ports: readonly ServicePort[];
}

/** Bounds of one Service; what is beyond is left out. */
const MOST_ADDRESSES = 64;
const MOST_PORTS = 1_024;

const portNumber = z.int().min(1).max(65_535);
const specSchema = z.object({
  type: z.string().optional(),
  selector: z.record(z.string(), z.string()).nullish().catch(undefined),
  clusterIP: z.string().optional(),
  clusterIPs: z.array(z.string()).optional(),
  externalIPs: z.array(z.string()).optional(),
  ports: z
    .array(
      z.object({
        protocol: z.enum(['TCP', 'UDP', 'SCTP']).default('TCP'),
        port: portNumber,
        targetPort: z.union([portNumber, z.string()]).optional().catch(undefined),
        nodePort: portNumber.optional().catch(undefined),
      }),
    )
    .nullish()
    .catch(undefined),
});
const statusSchema = z.object({
  loadBalancer: z.object({ ingress: z.array(z.object({ ip: z.string().optional() })).default([]) }),
});

/** Of a Service, whom it selects and where it is reached. A name of somewhere else (`ExternalName`) is neither. */
export function projectService({ metadata, spec, status }: LooseObject): KnownService {
  const { namespace = 'default', name } = metadata;
  const parsed = specSchema.safeParse(spec).data;
  if (parsed === undefined || parsed.type === 'ExternalName') return { namespace, name, addresses: [], ports: [] };
  const { selector, clusterIP, clusterIPs, externalIPs, ports } = parsed;
  const given = statusSchema.safeParse(status).data?.loadBalancer.ingress.flatMap(({ ip }) => ip ?? []) ?? [];
  const written = [clusterIP ?? '', ...(clusterIPs ?? []), ...(externalIPs ?? []), ...given];
  // "None" is no address.
  const addresses = written.flatMap((text) => parseAddress(text) ?? []).map(formatAddress);
  const selects = selector !== undefined && selector !== null && Object.keys(selector).length > 0;
  return {
    namespace,
    name,
    ...(selects ? { selector: { ...selector } } : {}),
    addresses: [...new Set(addresses)].slice(0, MOST_ADDRESSES),
    ports: (ports ?? []).slice(0, MOST_PORTS).map(({ protocol, port, targetPort, nodePort }) => ({
      protocol,
      port,
      target: targetPort ?? port,
      ...(nodePort === undefined ? {} : { nodePort }),
    })),
  };
}

/**
 * Where Services are reached: at their own addresses, and by their node ports at those of a node. A port that pods know
 * by name is not the same for all.
 * @param isGuarded whether somebody in a namespace (undefined: in any) may be particular about who sends him datagrams
 */
export function serviceAddresses(
  services: Iterable<KnownService>,
  own: readonly string[],
  isGuarded: (namespace: string | undefined) => boolean = () => false,
): ServiceAddress[] {
  const found: ServiceAddress[] = [];
  for (const { namespace, selector, addresses, ports } of services) {
    // One without a selector leads to whom its endpoints name, wherever that is.
    const guarded = isGuarded(selector === undefined ? undefined : namespace);
    for (const { protocol, port, target, nodePort } of ports) {
      const targetPort = typeof target === 'number' ? target : 0;
      const what = { protocol, targetPort, ...(guarded && protocol === 'UDP' ? { guarded } : {}) };
      for (const address of addresses) found.push({ address, port, ...what });
      if (nodePort === undefined) continue;
      for (const address of own) found.push({ address, port: nodePort, ...what });
    }
  }
  return found;
}
