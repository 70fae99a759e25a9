import type { Neighbours } from './between/domains.ts';

export interface NeighbourhoodParts {
  readonly configured: Neighbours;
  /** As the cluster names them: the same object while they do not change; {@link NOBODY} where there is no cluster. */
  readonly found: () => Neighbours;
  /** @throws HandshakeError SETTINGS */
  readonly tell: (neighbours: Neighbours) => void;
  /** What the cluster names cannot be taken over; it is tried again when it names others. */
  readonly onFault: (error: unknown) => void;
}

export const NOBODY: Neighbours = { prefixes: [], agents: [] };

/** The other nodes, as the configuration and the cluster name them together. */
export class Neighbourhood {
  readonly #parts: NeighbourhoodParts;
  #configured: Neighbours;
  #found = NOBODY;

  constructor(parts: NeighbourhoodParts) {
    this.#parts = parts;
    this.#configured = parts.configured;
  }

  /** The configuration names others. @throws HandshakeError SETTINGS, and nothing has changed */
  configure(configured: Neighbours): void {
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
function together(configured: Neighbours, found: Neighbours): Neighbours {
  const names = new Set(configured.agents.map(({ name }) => name));
  const taken = new Set(configured.agents.flatMap(({ cidrs }) => cidrs));
  const others = found.agents
    .filter(({ name }) => !names.has(name))
    .map((agent) => ({ ...agent, cidrs: agent.cidrs.filter((cidr) => !taken.has(cidr)) }));
  return {
    prefixes: [...new Set([...configured.prefixes, ...found.prefixes])],
    agents: [...configured.agents, ...others],
  };
}
