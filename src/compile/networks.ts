/**
 * CIDR peers with their exceptions as a table in which the longest prefix that contains an address holds the answer
 * for it: a node for each network and each hole, knowing the rules of all networks around it that have no hole there.
 */
import { type Address, type Network, samePrefix } from '../model/address.ts';
import type { NetworkEntry } from './tables.ts';

/** A network some rule names as a peer. */
export interface NetworkPeer {
  /** Index of the rule among those of the set. */
  readonly rule: number;
  readonly network: Network;
  readonly holes: readonly Network[];
}

interface Node {
  readonly key: string;
  readonly address: Address;
  readonly prefix: number;
  /** Peers that begin here, and peers that have a hole here; indices into the list of peers. */
  readonly begins: number[];
  readonly ends: number[];
}

/**
 * @param classOf the class of an address that lies in the networks of these rules, ascending without repetition
 * @returns sorted by address, then by prefix; entries that would repeat the one around them are left out
 */
export function flattenNetworks(
  peers: readonly NetworkPeer[],
  classOf: (rules: readonly number[]) => bigint,
): NetworkEntry[] {
  const entries: NetworkEntry[] = [];
  const around: { node: Node; active: readonly number[]; class: bigint }[] = [];
  const nothing = classOf([]);
  for (const node of sortedNodes(peers)) {
    while (around.length > 0 && !contains(around.at(-1)?.node, node)) around.pop();
    const outer = around.at(-1);
    const active = outer === undefined && node.ends.length === 0 ? node.begins : activeIn(node, outer?.active ?? []);
    const id = classOf(rulesOf(active, peers));
    if (id !== (outer?.class ?? nothing)) entries.push({ address: node.address, prefix: node.prefix, class: id });
    around.push({ node, active, class: id });
  }
  return entries;
}

function activeIn({ begins, ends }: Node, around: readonly number[]): readonly number[] {
  const ended = new Set(ends);
  return [...around, ...begins].filter((peer) => !ended.has(peer));
}

function rulesOf(active: readonly number[], peers: readonly NetworkPeer[]): readonly number[] {
  const rules = active.map((peer) => peers[peer]?.rule ?? 0);
  return rules.length === 1 ? rules : [...new Set(rules)].sort((a, b) => a - b);
}

/** Parents before children, neighbours in the order of their addresses. */
function sortedNodes(peers: readonly NetworkPeer[]): Node[] {
  const nodes = new Map<string, Node>();
  const nodeOf = ({ address, prefix }: Network): Node => {
    // One character a byte, so that the order of keys is that of addresses, then of prefixes.
    const key = String.fromCharCode(...address, prefix);
    let node = nodes.get(key);
    if (node === undefined) {
      node = { key, address, prefix, begins: [], ends: [] };
      nodes.set(key, node);
    }
    return node;
  };
  for (const [i, { network, holes }] of peers.entries()) {
    nodeOf(network).begins.push(i);
    for (const hole of holes) nodeOf(hole).ends.push(i);
  }
  return [...nodes.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

function contains(outer: Node | undefined, inner: Node): boolean {
  return outer !== undefined && outer.prefix <= inner.prefix && samePrefix(outer.address, inner.address, outer.prefix);
}
