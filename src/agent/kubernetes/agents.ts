import type { AgentSettings } from '../../handshake/index.ts';
import { formatAddress, parseAddress } from '../../model/address.ts';
import { isNodeName } from '../../trust/certificate.ts';
import type { KnownNode } from './nodes.ts';

/** Nodes whose agents shake hands: each has a connection to each, of which an agent has room for 1,024. */
export const AGENTS_MOST = 1_000;
/** Up to so many nodes both agents of a pair dial, so that either finds the other at once when it begins. */
const BOTH_DIAL_MOST = 400;

/** The agents of the cluster's other nodes. */
export interface FoundAgents {
  readonly agents: readonly AgentSettings[];
  /** Networks that more than one node claims: no agent is believed to speak for them. */
  readonly disputed: readonly string[];
  /** Nodes that are too many. */
  readonly beyond: number;
}

/**
 * Nodes as agents to shake hands with: where each is reached, and the networks of its pods, which are all it speaks for.
 * Every node comes to the same answer about who belongs to it. Pure.
 * @param own this node's name. @param port where every agent listens
 */
export function agentsOf(nodes: ReadonlyMap<string, Partial<KnownNode>>, own: string, port: number): FoundAgents {
  const names = [...nodes.keys()].filter(isNodeName).sort();
  const members = new Set(names.slice(0, AGENTS_MOST));
  const beyond = names.length - members.size;
  const claims = new Map<string, number>();
  for (const name of names) {
    for (const network of new Set(nodes.get(name)?.podNetworks)) claims.set(network, (claims.get(network) ?? 0) + 1);
  }
  const disputed = [...claims].flatMap(([network, count]) => (count > 1 ? [network] : [])).sort();
  // Who is not one of them is not answered by any of them.
  if (!members.has(own)) return { agents: [], disputed, beyond };
  const agents = [...members].flatMap((name): AgentSettings[] => {
    if (name === own) return [];
    const { podNetworks = [], internalAddress } = nodes.get(name) ?? {};
    const dials = members.size <= BOTH_DIAL_MOST || own < name;
    const address = internalAddress === undefined || !dials ? '' : hostPort(internalAddress, port);
    const cidrs = podNetworks.filter((network) => claims.get(network) === 1);
    return [{ name, address, cidrs, workloads: ['*/*/*'], direct: false }];
  });
  return { agents, disputed, beyond };
}

function hostPort(address: string, port: number): string {
  const parsed = parseAddress(address);
  const host = parsed === undefined ? address : formatAddress(parsed);
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
