/**
 * What sources ask of the node they run on: its network namespaces and its cgroups. The agent gives them the real
 * ones; sources import no binding.
 */

/** A network interface. */
export interface Link {
  readonly ifindex: number;
  readonly name: string;
  /** IFLA_INFO_KIND: `veth`, `bridge`, `macvlan` …; empty for hardware and the loopback. */
  readonly kind: string;
  /** IFLA_LINK: the other end of a veth, the lower device of a macvlan, in the namespace `linkNetnsid` names. */
  readonly peerIfindex?: number;
  /** IFLA_LINK_NETNSID, a number of the namespace that was asked; absent where `peerIfindex` is in that one itself. */
  readonly linkNetnsid?: number;
  readonly loopback: boolean;
}

/** An address of an interface. */
export interface LinkAddress {
  readonly ifindex: number;
  readonly address: string;
  readonly prefix: number;
}

/** What one network namespace shows of itself. */
export interface NamespaceView {
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
  /** Next hops of its routes. */
  readonly gateways: readonly string[];
  /**
   * The number by which the node's own namespace knows it (RTM_GETNSID), the one in `linkNetnsid` of the node's
   * links; undefined where it has none, because no link leads there.
   */
  readonly netnsid: number | undefined;
}

/** The node's network namespaces. */
export interface Namespaces {
  /** Inode of the node's own namespace. */
  readonly node: number;
  /** The node's own links. */
  links(): Promise<readonly Link[]>;
  /** The node's own addresses. */
  addresses(): Promise<readonly LinkAddress[]>;
  /** Reads another namespace, named by a path such as `/proc/1234/ns/net`. */
  view(netns: string): Promise<NamespaceView>;
  /** Calls the listener after the node's own links or addresses changed. Returns what ends that. */
  watch(listener: () => void): () => void;
}

/** The cgroup2 tree. */
export interface Cgroups {
  /** Where it is mounted. */
  readonly mount: string;
  /** The id by which the kernel's programs know the cgroup of that path below the mount; undefined when gone. */
  id(path: string): bigint | undefined;
}

export interface Host {
  readonly namespaces: Namespaces;
  /** Undefined where no cgroup2 is mounted. */
  readonly cgroups: Cgroups | undefined;
  /** Where procfs is mounted. */
  readonly proc: string;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** The node's own addresses, each once, as text. */
export async function nodeAddresses({ namespaces }: Host): Promise<readonly string[]> {
  return [...new Set((await namespaces.addresses()).map(({ address }) => address))];
}
