import { type Network, networkCovers, parseNetwork } from '../model/address.ts';
import type { Neighbours } from './between/domains.ts';

/** What a configuration may name. */
export type Configured = Omit<Neighbours, 'nodes'>;

export interface NeighbourhoodParts {
  readonly configured: Configured;
  /** As the cluster names them: the same object while they do not change; {@link NOBODY} where there is no cluster. */
  readonly found: () => Neighbours;
  /** @throws HandshakeError SETTINGS */
  readonly tell: (neighbours: Neighbours) => void;
  /** What the cluster names cannot be taken over; it is tried again when it names others. */
  readonly onFault: (error: unknown) => void;
}

export const NOBODY: Neighbours = { prefixes: [], nodes: [], agents: [] };

/** The other nodes, as the configuration and the cluster name them together. */
export class Neighbourhood {
  readonly #parts: NeighbourhoodParts;
  #configured: Configured;
  #found = NOBODY;

  constructor(parts: NeighbourhoodParts) {
    this.#parts = parts;
    this.#configured = parts.configured;
  }

  /** The configuration names others. @throws HandshakeError SETTINGS, and nothing has changed */
  configure(configured: Configured): void {
    this.#parts.tell(together(configured, this.#found));
    this.#configured = configured;
  }

  /** The cluster may name others. */
  look(): void {
    const found = this.#parts.found();
    if (found === this.#found) return;
    try {
      this.#parts.tell(together(this.#configured, found));
      this.#found = found;
    } catch (error) {
      this.#parts.onFault(error);
    }
  }
}

/** Who is configured is as configured, and speaks for what is configured, whatever the cluster says. */
function together(configured: Configured, found: Neighbours): Neighbours {
  const names = new Set(configured.agents.map(({ name }) => name));
  const taken = new Set(configured.agents.flatMap(({ cidrs }) => cidrs));
  const others = found.agents
    .filter(({ name }) => !names.has(name))
    .map((agent) => ({ ...agent, cidrs: agent.cidrs.filter((cidr) => !taken.has(cidr)) }));
  const agents = [...configured.agents, ...others];
  // A node says itself where it is, and must not take an address out of what another's agent speaks for.
  const spokenFor = agents.flatMap(({ cidrs }) => cidrs).flatMap(networkOf);
  return {
    prefixes: [...new Set([...configured.prefixes, ...found.prefixes])],
    nodes: found.nodes.filter((cidr) => {
      const [node] = networkOf(cidr);
      return node !== undefined && !spokenFor.some((network) => networkCovers(network, node));
    }),
    agents,
  };
}

function networkOf(cidr: string): [Network] | [] {
  const network = parseNetwork(cidr);
  return 'reason' in network ? [] : [network];
}
