import type { Identity } from './identity.ts';

/** How an endpoint's packets are judged: at its veth's host side, at its cgroup (host network), or not at all. */
export type EndpointMode = 'interface' | 'cgroup' | 'unprotected';

/** A network interface of this node that leads to an endpoint. */
export interface EndpointInterface {
  readonly ifindex: number;
  readonly name: string;
}

/** One running container. */
export interface Container {
  /** The runtime's id, or the cgroup path for plain cgroups. */
  readonly id: string;
  readonly name: string;
  readonly runtime: 'docker' | 'cri' | 'cgroup';
  readonly identity: Identity;
  readonly cgroup: { readonly id: bigint; readonly path: string; readonly level: number };
  readonly pid: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly image?: string;
}

/**
 * One network sandbox of this node with the containers in it: a plain container, a pod, a process group on the
 * host's network. Values only; what the kernel calls it (slot, endpoint number) is the datapath's business.
 */
export interface Endpoint {
  /** Stable while it runs: the sandbox's or the only container's runtime id. */
  readonly id: string;
  readonly mode: EndpointMode;
  /** Why it is not judged at an interface of its own: always there when mode is `unprotected`. */
  readonly reason?: string;
  /** Of the sandbox: the only container's, or the workload's with an empty container name. */
  readonly identity: Identity;
  readonly containers: readonly Container[];
  /** Inode of the network namespace. */
  readonly netns: number;
  readonly interfaces: readonly EndpointInterface[];
  /** Canonical text, IPv4 or IPv6, without prefix length. */
  readonly addresses: readonly string[];
  /** Names a container gives its ports. */
  readonly ports: readonly NamedPort[];
}

/** A port with a name, as containers declare them. */
export interface NamedPort {
  readonly name: string;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly port: number;
}

/** An address and port that stand for a workload's: a published port. */
export interface Frontend {
  readonly address: string;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly port: number;
  readonly endpoint: string;
  readonly targetPort: number;
}

/** The same of a Service: who is behind it is chosen for each conversation, and may ask for another port: 0. */
export interface ServiceAddress extends Omit<Frontend, 'endpoint'> {
  /** Somebody behind it may be particular about who sends him datagrams. */
  readonly guarded?: boolean;
}

/** Everything a source knows at one moment; a later snapshot of the same source replaces it whole. */
export interface Facts {
  readonly endpoints: readonly Endpoint[];
  readonly frontends: readonly Frontend[];
}
