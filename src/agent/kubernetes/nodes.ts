import * as z from 'zod';
import {
  type Address,
  addressFamily,
  formatAddress,
  formatNetwork,
  parseAddress,
  parseNetwork,
} from '../../model/address.ts';
import type { NodeFacts } from '../../sources/kubernetes/network-policies-selectors.ts';
import type { LooseObject } from '../../sources/kubernetes/resource.ts';

/** Networks of all nodes together that count: the kernel's table has room for those of the configuration, too. */
export const NETWORKS_MOST = 3_072;

/** A node of the cluster, as far as packets are concerned. */
export interface KnownNode extends NodeFacts {
  /** Canonical CIDRs its pods have addresses of; none where the network plug-in gives out others. */
  readonly podNetworks: readonly string[];
  /** Its own internal addresses, as canonical CIDRs of one address each. */
  readonly ownNetworks: readonly string[];
  /** Where its agent is reached: the first InternalIP. */
  readonly internalAddress?: string;
}

const statusSchema = z.object({
  addresses: z.array(z.object({ address: z.string(), type: z.string().default('') })).default([]),
});
const specSchema = z.object({ podCIDR: z.string().optional(), podCIDRs: z.array(z.string()).optional() });

/** Labels of a node, and its addresses; names are left out. */
export function projectNode({ metadata, spec, status }: LooseObject): KnownNode {
  const { addresses = [] } = statusSchema.safeParse(status).data ?? {};
  const parsed = addresses.flatMap(({ address }) => parseAddress(address) ?? []);
  const internal = addresses.filter(
    ({ address, type }) => type === 'InternalIP' && parseAddress(address) !== undefined,
  );
  const { podCIDR, podCIDRs } = specSchema.safeParse(spec).data ?? {};
  const told = podCIDRs ?? (podCIDR === undefined ? [] : [podCIDR]);
  const networks = told.flatMap((text) => {
    const network = parseNetwork(text);
    const written = 'family' in network ? formatNetwork(network) : undefined;
    return written === undefined || isTooWide(written) ? [] : written;
  });
  return {
    labels: { ...metadata.labels },
    addresses: [...new Set(parsed.map(formatAddress))],
    podNetworks: [...new Set(networks)],
    ownNetworks: [...new Set(internal.flatMap(({ address }) => parseAddress(address) ?? []).map(networkOfOne))],
    ...(internal[0] === undefined ? {} : { internalAddress: internal[0].address }),
  };
}

function networkOfOne(address: Address): string {
  return formatNetwork({ family: addressFamily(address), address, prefix: 128 });
}

/** No node has half the world behind it: whoever says so wants our tags sent there. */
function isTooWide(network: string): boolean {
  return Number(network.slice(network.indexOf('/') + 1)) < (network.includes(':') ? 16 : 8);
}

/**
 * The networks of all nodes' pods, and of the nodes themselves but `own`: sorted, however many. What an earlier version has
 * remembered of a node has none.
 */
export function networksOf(
  nodes: Iterable<readonly [name: string, node: Partial<KnownNode>]>,
  own: string,
): { readonly pods: readonly string[]; readonly nodes: readonly string[] } {
  const [ofPods, ofNodes] = [new Set<string>(), new Set<string>()];
  for (const [name, { podNetworks = [], ownNetworks = [] }] of nodes) {
    for (const network of podNetworks) ofPods.add(network);
    for (const network of name === own ? [] : ownNetworks) ofNodes.add(network);
  }
  return { pods: [...ofPods].sort(), nodes: [...ofNodes].sort() };
}
