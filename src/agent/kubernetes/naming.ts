import type { KnownIdentity } from '../../compile/input.ts';
import type { Endpoint, ServiceAddress } from '../../model/endpoint.ts';
import type { Policy } from '../../model/policy.ts';
import { Aliases, nameEndpoint } from '../../sources/kubernetes/aliases.ts';
import type { KnownSlice } from '../../sources/kubernetes/endpoint-slices.ts';
import { NodePeers } from '../../sources/kubernetes/node-peers.ts';
import { ServicePlaces } from '../../sources/kubernetes/service-places.ts';
import { type KnownService, serviceAddresses } from '../../sources/kubernetes/services.ts';
import type { Wanted } from '../enforcement.ts';
import { Guards } from './guards.ts';
import type { KnownNode } from './nodes.ts';

export interface NamingOptions {
  readonly services: () => ReadonlyMap<string, KnownService>;
  /** Where those lead that select nobody. */
  readonly slices: () => ReadonlyMap<string, KnownSlice>;
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
  #peers: { readonly from: readonly unknown[]; readonly peers: NodePeers } | undefined;
  #named:
    | { readonly from: readonly Endpoint[]; readonly by: Aliases; readonly endpoints: readonly Endpoint[] }
    | undefined;

  #services:
    | { readonly from: unknown; readonly key: string; readonly addresses: readonly ServiceAddress[] }
    | undefined;

  #guards: { readonly from: readonly Policy[]; readonly guards: Guards } | undefined;

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
      services: this.#servicesNow(this.#guardsOf(wanted.policies)),
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
  #servicesNow(guards: Guards): readonly ServiceAddress[] {
    const from = this.#options.services();
    const own = this.#options.nodes().get(this.#options.node)?.addresses ?? [];
    const key = `${own.join()} ${guards.key}`;
    if (this.#services?.from !== from || this.#services.key !== key) {
      const addresses = serviceAddresses(from.values(), own, (namespace) => guards.covers(namespace));
      this.#services = { from, key, addresses };
    }
    return this.#services.addresses;
  }

  #guardsOf(from: readonly Policy[]): Guards {
    if (this.#guards?.from !== from) this.#guards = { from, guards: new Guards(from) };
    return this.#guards.guards;
  }

  #peersNow(): NodePeers {
    const { node } = this.#options;
    const [nodes, services, slices] = [this.#options.nodes(), this.#options.services(), this.#options.slices()];
    const from = [nodes, services, slices];
    if (this.#peers === undefined || from.some((one, i) => one !== this.#peers?.from[i])) {
      const places = new ServicePlaces(services.values(), slices.values());
      this.#peers = { from, peers: new NodePeers(nodes, node, places) };
    }
    return this.#peers.peers;
  }
}
