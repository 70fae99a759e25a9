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
  /** `networkKey` of the network, made once for as long as the rule lives. */
  readonly key: string;
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

/** Text that differs for any two networks: one character a byte, so that it orders by address, then by prefix. */
export function networkKey({ address, prefix }: Network): string {
  return String.fromCharCode(...address, prefix);
}

/** The table, and the classes its entries name. */
export interface FlatNetworks<C> {
  /** Sorted by address, then by prefix; entries that would repeat the one around them are left out. */
  readonly entries: readonly NetworkEntry[];
  readonly classes: ReadonlySet<C>;
}

/** @param classOf the class of an address that lies in the networks of these rules, ascending without repetition */
export function flattenNetworks<C extends { readonly id: bigint }>(
  peers: readonly NetworkPeer[],
  classOf: (rules: readonly number[]) => C,
): FlatNetworks<C> {
  const entries: NetworkEntry[] = [];
  const classes = new Set<C>();
  const around: { node: Node; active: readonly number[]; class: C }[] = [];
  const nothing = classOf([]);
  for (const node of sortedNodes(peers)) {
    while (around.length > 0 && !contains(around.at(-1)?.node, node)) around.pop();
    const outer = around.at(-1);
    const active = outer === undefined && node.ends.length === 0 ? node.begins : activeIn(node, outer?.active ?? []);
    const found = classOf(rulesOf(active, peers));
    if (found.id !== (outer?.class ?? nothing).id) {
      entries.push({ address: node.address, prefix: node.prefix, class: found.id });
      classes.add(found);
    }
    around.push({ node, active, class: found });
  }
  return { entries, classes };
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
  const nodeOf = (key: string, { address, prefix }: Network): Node => {
    let node = nodes.get(key);
    if (node === undefined) {
      node = { key, address, prefix, begins: [], ends: [] };
      nodes.set(key, node);
    }
    return node;
  };
  for (const [i, { key, network, holes }] of peers.entries()) {
    nodeOf(key, network).begins.push(i);
    for (const hole of holes) nodeOf(networkKey(hole), hole).ends.push(i);
  }
  return [...nodes.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

function contains(outer: Node | undefined, inner: Node): boolean {
  return outer !== undefined && outer.prefix <= inner.prefix && samePrefix(outer.address, inner.address, outer.prefix);
}
