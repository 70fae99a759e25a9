/** Nodes as peers of our own policies: from names to addresses. Pure. */
import { globMatch } from '../../model/glob.ts';
import { isOwnKind, type Peer, type Policy, type Rule } from '../../model/policy.ts';
import { networkOf } from './network-policies-peers.ts';

/** A node of the cluster, by what it is reached at. */
export interface Reachable {
  /** Canonical text. */
  readonly addresses: readonly string[];
}

/**
 * The nodes of one moment as peers. A peer `Node/name` is, of this node, the host itself and whoever shares its network;
 * of another one, whoever has one of its addresses. A node that is not there is nobody.
 */
export class NodePeers {
  readonly #nodes: ReadonlyMap<string, Reachable>;
  readonly #own: string;
  readonly #made = new WeakMap<Policy, Policy>();

  /** @param own name of this node */
  constructor(nodes: ReadonlyMap<string, Reachable>, own: string) {
    this.#nodes = nodes;
    this.#own = own;
  }

  /** Policies as they are meant now; each that names no node is the same object. */
  resolve(policies: readonly Policy[]): readonly Policy[] {
    return policies.map((policy) => {
      const made = this.#made.get(policy) ?? this.#resolve(policy);
      this.#made.set(policy, made);
      return made;
    });
  }

  /** This node is called so; `addresses` of another one. Undefined: there is no such node. */
  find(name: string): { readonly own: boolean; readonly addresses: readonly string[] } | undefined {
    const node = this.#nodes.get(name);
    return name === this.#own || node !== undefined
      ? { own: name === this.#own, addresses: node?.addresses ?? [] }
      : undefined;
  }

  #resolve(policy: Policy): Policy {
    const { ingress, egress } = policy;
    if (!isOwnKind(policy.kind) || ![ingress, egress].some((part) => part?.rules.some(namesNode))) return policy;
    const meant = <T extends { readonly rules: readonly Rule[] }>(part: T): T => ({
      ...part,
      rules: part.rules.map((rule) => (namesNode(rule) ? this.#meant(rule) : rule)),
    });
    return {
      ...policy,
      ...(ingress === undefined ? {} : { ingress: meant(ingress) }),
      ...(egress === undefined ? {} : { egress: meant(egress) }),
    };
  }

  /** The peer itself stays: it means those who share this node's network, and where nobody else is meant, nobody. */
  #meant(rule: Rule): Rule {
    const peers = rule.peers?.flatMap((peer) => (isNode(peer) ? [peer, ...this.#places(peer)] : [peer]));
    return peers === undefined ? rule : { ...rule, peers };
  }

  #places({ selector }: NodePeer): Peer[] {
    const means = (name: string): boolean => globMatch(selector.workload.name, name);
    const addresses = [...this.#nodes]
      .filter(([name]) => name !== this.#own && means(name))
      .flatMap(([, node]) => node.addresses);
    const others = [...new Set(addresses)].sort().flatMap((address) => networkOf(address) ?? []);
    return [...(means(this.#own) ? [{ type: 'entity', entity: 'host' } as const] : []), ...others];
  }
}

type NodePeer = Extract<Peer, { type: 'workload' }>;

function isNode(peer: Peer): peer is NodePeer {
  return peer.type === 'workload' && peer.selector.workload.kind === 'Node';
}

function namesNode({ peers }: Rule): boolean {
  return peers?.some(isNode) ?? false;
}
