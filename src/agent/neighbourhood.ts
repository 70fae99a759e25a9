import type { Neighbours } from './between/between-nodes.ts';

export interface NeighbourhoodParts {
  readonly configured: Neighbours;
  /** Of the cluster's nodes; none where there is no cluster. */
  readonly podNetworks: () => readonly string[];
  /** @throws HandshakeError SETTINGS */
  readonly tell: (neighbours: Neighbours) => void;
  /** What the cluster names cannot be taken over; it is tried again when it names others. */
  readonly onFault: (error: unknown) => void;
}

/** The other nodes, as the configuration and the cluster name them together. */
export class Neighbourhood {
  readonly #parts: NeighbourhoodParts;
  #configured: Neighbours;
  #podNetworks: readonly string[] = [];

  constructor(parts: NeighbourhoodParts) {
    this.#parts = parts;
    this.#configured = parts.configured;
  }

  /** The configuration names others. @throws HandshakeError SETTINGS, and nothing has changed */
  configure(configured: Neighbours): void {
    this.#tell(configured, this.#podNetworks);
    this.#configured = configured;
  }

  /** The cluster may name others. */
  look(): void {
    const found = this.#parts.podNetworks();
    if (found.length === this.#podNetworks.length && found.every((cidr, i) => cidr === this.#podNetworks[i])) return;
    try {
      this.#tell(this.#configured, found);
      this.#podNetworks = found;
    } catch (error) {
      this.#parts.onFault(error);
    }
  }

  #tell({ prefixes, agents }: Neighbours, podNetworks: readonly string[]): void {
    this.#parts.tell({ prefixes: [...new Set([...prefixes, ...podNetworks])], agents });
  }
}
