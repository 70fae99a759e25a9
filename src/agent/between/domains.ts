import type { DomainNetwork } from '../../datapath/peer-port.ts';
import type { AgentSettings } from '../../handshake/index.ts';

/** The other nodes of the domain. */
export interface Neighbours {
  /** CIDRs toward which TCP is tagged. */
  readonly prefixes: readonly string[];
  readonly agents: readonly AgentSettings[];
}

/**
 * What the kernel is told of them.
 * @param hold what opens toward an unknown peer of an agent is held: somebody can, or nothing may pass without
 */
export function domainsOf({ prefixes, agents }: Neighbours, hold: boolean): DomainNetwork[] {
  return [
    ...prefixes.map((cidr) => ({ cidr, hold: false })),
    ...agents.flatMap(({ cidrs }) => cidrs.map((cidr) => ({ cidr, hold }))),
  ];
}
