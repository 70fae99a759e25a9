import type { KnownIdentity } from '../../compile/input.ts';
import type { Endpoint, ServiceAddress } from '../../model/endpoint.ts';
import { Aliases, nameEndpoint } from '../../sources/kubernetes/aliases.ts';
import { NodePeers } from '../../sources/kubernetes/node-peers.ts';
import { type KnownService, serviceAddresses } from '../../sources/kubernetes/services.ts';
import type { Wanted } from '../enforcement.ts';
import type { KnownNode } from './nodes.ts';

export interface NamingOptions {
  readonly services: () => ReadonlyMap<string, KnownService>;
  readonly nodes: () => ReadonlyMap<string, KnownNode>;
  /** As the cluster calls this node. */
  readonly node: string;
}

/**
 * Gives pods their other names, and nodes their meaning as peers, as the cluster is now. While nothing changes the same
 * objects come of the same ones.
 */
export class Naming {
  readonly #options: NamingOptions;
  #aliases: { readonly from: unknown; readonly aliases: Aliases } | undefined;
  #peers: { readonly from: unknown; readonly peers: NodePeers } | undefined;
  #named:
    | { readonly from: readonly Endpoint[]; readonly by: Aliases; readonly endpoints: readonly Endpoint[] }
    | undefined;

  #services:
    | { readonly from: unknown; readonly own: string; readonly addresses: readonly ServiceAddress[] }
    | undefined;

  constructor(options: NamingOptions) {
    this.#options = options;
  }

  /** What is wanted, with all names. */
  named(wanted: Wanted): Wanted {
    const aliases = this.#aliasesNow();
    return {
      ...wanted,
      endpoints: this.#endpoints(wanted.endpoints, aliases),
      elsewhere: wanted.elsewhere.map((identity): KnownIdentity => aliases.name(identity)),
      nodes: this.#peersNow(),
      services: this.#servicesNow(),
    };
  }

  #endpoints(from: readonly Endpoint[], by: Aliases): readonly Endpoint[] {
    if (this.#named?.from === from && this.#named.by === by) return this.#named.endpoints;
    const { node } = this.#options;
    this.#named = { from, by, endpoints: from.map((endpoint) => nameEndpoint(endpoint, by, node)) };
    return this.#named.endpoints;
  }

  #aliasesNow(): Aliases {
    const from = this.#options.services();
    if (this.#aliases?.from !== from) this.#aliases = { from, aliases: new Aliases(from.values()) };
    return this.#aliases.aliases;
  }

  /** Its node ports are at this node's addresses; those of others are of the world. */
  #servicesNow(): readonly ServiceAddress[] {
    const from = this.#options.services();
    const addresses = this.#options.nodes().get(this.#options.node)?.addresses ?? [];
    const key = addresses.join();
    if (this.#services?.from !== from || this.#services.own !== key) {
      this.#services = { from, own: key, addresses: serviceAddresses(from.values(), addresses) };
    }
    return this.#services.addresses;
  }

  #peersNow(): NodePeers {
    const from = this.#options.nodes();
    if (this.#peers?.from !== from) this.#peers = { from, peers: new NodePeers(from, this.#options.node) };
    return this.#peers.peers;
  }
}
