import type { DomainNetwork } from '../../datapath/peer-port.ts';
import type { AgentSettings } from '../../handshake/index.ts';

/** The other nodes of the domain. */
export interface Neighbours {
  /** CIDRs toward which TCP is tagged. */
  readonly prefixes: readonly string[];
  /** The nodes themselves, as CIDRs: toward them it is, too. Containers on their network are told by it from the rest. */
  readonly nodes: readonly string[];
  readonly agents: readonly AgentSettings[];
}

/**
 * What the kernel is told of them.
 * @param hold what opens toward an unknown peer of an agent is held: somebody can, or nothing may pass without
 */
export function domainsOf({ prefixes, nodes, agents }: Neighbours, hold: boolean): DomainNetwork[] {
  return [
    ...prefixes.map((cidr) => ({ cidr, hold: false })),
    ...agents.flatMap(({ cidrs }) => cidrs.map((cidr) => ({ cidr, hold }))),
    ...nodes.map((cidr): DomainNetwork => ({ cidr, hold: false, node: true })),
  ];
}
