/** Nodes, and Services that select no pods, as peers of our own policies: from names to addresses. Pure. */
import { globMatch } from '../../model/glob.ts';
import { keepLast } from '../../model/keep-last.ts';
import { isOwnKind, type Peer, type Policy, type Rule } from '../../model/policy.ts';
import { networkOf } from './network-policies-peers.ts';
import { ServicePlaces } from './service-places.ts';

/** A node of the cluster, by what it is reached at. */
export interface Reachable {
  /** Canonical text. */
  readonly addresses: readonly string[];
}

/**
 * The nodes of one moment as peers. A peer `Node/name` is, of this node, the host itself and whoever shares its network;
 * of another one, whoever has one of its addresses. A node that is not there is nobody. So it is with Services that lead
 * to addresses somebody has written, pods' or not.
 */
export class NodePeers {
  readonly #nodes: ReadonlyMap<string, Reachable>;
  readonly #own: string;
  readonly #services: ServicePlaces;
  readonly #made = new WeakMap<Policy, Policy>();

  /** @param own name of this node */
  constructor(nodes: ReadonlyMap<string, Reachable>, own: string, services = new ServicePlaces([], [])) {
    this.#nodes = nodes;
    this.#own = own;
    this.#services = services;
  }

  /** Policies as they are meant now; each that names no place is the same object. */
  readonly resolve = keepLast((policies: readonly Policy[]): readonly Policy[] =>
    policies.map((policy) => {
      const made = this.#made.get(policy) ?? this.#resolve(policy);
      this.#made.set(policy, made);
      return made;
    }),
  );

  /** This node is called so; `addresses` of another one. Undefined: there is no such node. */
  find(name: string): { readonly own: boolean; readonly addresses: readonly string[] } | undefined {
    const node = this.#nodes.get(name);
    return name === this.#own || node !== undefined
      ? { own: name === this.#own, addresses: node?.addresses ?? [] }
      : undefined;
  }

  #resolve(policy: Policy): Policy {
    const { ingress, egress } = policy;
    if (!isOwnKind(policy.kind) || ![ingress, egress].some((part) => part?.rules.some(namesPlace))) return policy;
    const meant = <T extends { readonly rules: readonly Rule[] }>(part: T): T => {
      const rules = part.rules.map((rule) => (namesPlace(rule) ? this.#meant(rule) : rule));
      return rules.every((rule, i) => rule === part.rules[i]) ? part : { ...part, rules };
    };
    const same = (ingress && meant(ingress)) === ingress && (egress && meant(egress)) === egress;
    if (same) return policy;
    return {
      ...policy,
      ...(ingress === undefined ? {} : { ingress: meant(ingress) }),
      ...(egress === undefined ? {} : { egress: meant(egress) }),
    };
  }

  /**
   * The peer itself stays: it means those who share this node's network, or whom a Service selects, and where nobody else is
   * meant, nobody.
   */
  #meant(rule: Rule): Rule {
    const peers = rule.peers?.flatMap((peer) => {
      if (!isPlace(peer)) return [peer];
      const { selector } = peer;
      const isNode = selector.workload.kind === 'Node';
      return [peer, ...(isNode ? this.#places(peer) : networksOf(this.#services.addressesOf(selector)))];
    });
    return peers === undefined || peers.length === rule.peers?.length ? rule : { ...rule, peers };
  }

  #places({ selector }: NamedPeer): Peer[] {
    const means = (name: string): boolean => globMatch(selector.workload.name, name);
    const addresses = [...this.#nodes]
      .filter(([name]) => name !== this.#own && means(name))
      .flatMap(([, node]) => node.addresses);
    const others = networksOf([...new Set(addresses)].sort());
    return [...(means(this.#own) ? [{ type: 'entity', entity: 'host' } as const] : []), ...others];
  }
}

type NamedPeer = Extract<Peer, { type: 'workload' }>;

function isPlace(peer: Peer): peer is NamedPeer {
  return peer.type === 'workload' && ['Node', 'Service'].includes(peer.selector.workload.kind);
}

function namesPlace({ peers }: Rule): boolean {
  return peers?.some(isPlace) ?? false;
}

function networksOf(addresses: readonly string[]): Peer[] {
  return addresses.flatMap((address) => networkOf(address) ?? []);
}
