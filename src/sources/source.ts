import type { Endpoint, Frontend } from '../model/endpoint.ts';
import type { SourceError } from './error.ts';

/** How a source is doing. Unhealthy sources keep their last snapshot: nobody loses protection because they are away. */
export interface SourceStatus {
  readonly healthy: boolean;
  /** When `healthy` last changed, milliseconds since the epoch. */
  readonly since: number;
  /** The last failure; kept until it works again. */
  readonly error?: SourceError;
  /** Times it had to begin anew since it was started. */
  readonly restarts: number;
}

/**
 * Something that knows a part of the world and says when it changes. Snapshots are whole: a later one replaces the
 * earlier. `onChange` is not called before the source is synced, and a snapshot taken before that is empty.
 */
export interface Source<T> {
  readonly name: string;
  /** The first snapshot is complete. Never becomes false again. */
  readonly synced: boolean;
  /**
   * Begins to work, once; resolves when synced (which may take as long as the other side is away) or closed. The
   * signal closes it.
   */
  start(signal: AbortSignal): Promise<void>;
  snapshot(): T;
  /** Calls the listener after the snapshot changed, at most every few milliseconds. Returns what ends that. */
  onChange(listener: () => void): () => void;
  status(): SourceStatus;
  /** Idempotent; resolves when nothing of it runs any more. */
  close(): Promise<void>;
}

/** What the kernel saw happen to a cgroup: a reason to look sooner than at the next poll. */
export interface CgroupHint {
  /** `waiting`: a container cannot begin before somebody has told of it. */
  readonly operation: 'created' | 'entered' | 'removed' | 'waiting';
  readonly cgroup: bigint;
  readonly pid: number;
  /** The cgroup's own, where it waits. */
  readonly name?: string;
}

/** A source of endpoints. */
export interface EndpointSource extends Source<Sightings> {
  hint(hint: CgroupHint): void;
}

/** An address seen in a namespace or assigned by a runtime; not yet believed. */
export interface SeenAddress {
  /** Canonical text. */
  readonly address: string;
  /** Length of its network's prefix, in bits of its family. */
  readonly prefix: number;
  /** Name of the interface inside, where it was seen on one: its owner's to choose. */
  readonly device?: string;
  /** Index of this node's interface that leads to that one, where one does. */
  readonly via?: number;
  /** The runtime says it assigned this address, so that it is no claim of the container's. */
  readonly declared: boolean;
}

/** One network sandbox as one source saw it. `merge` decides which of the addresses are the endpoint's. */
export interface Sighting {
  /** `addresses` is empty; `netns` is the node's where it has none of its own. */
  readonly endpoint: Endpoint;
  readonly seen: readonly SeenAddress[];
  /** Next hops of its routes. */
  readonly gateways: readonly string[];
  /** Another one for another namespace, also where the inode number was used again. */
  readonly instance: string;
  /** Of its oldest container, milliseconds since the epoch. */
  readonly startedAt: number;
}

/** Something a person should know that is no failure of a source. */
export interface Warning {
  readonly code:
    | 'ADDRESS_TAKEN' // another endpoint, the host or a gateway has it
    | 'ADDRESS_OUTSIDE' // not in a network the endpoint had from the start
    | 'ADDRESSES_TOO_MANY'
    | 'INTERFACE_TAKEN' // two namespaces claim one interface of this node
    | 'PROCESS_UNVERIFIED' // the process is not in its container's cgroup
    | 'NAMESPACE_UNREADABLE'
    | 'PARTLY_JUDGED'; // an interface that passes this node's own by
  /** Whom it is about: an endpoint's or a container's id. */
  readonly subject: string;
  readonly message: string;
}

/** Everything a source of endpoints knows at one moment. */
export interface Sightings {
  readonly endpoints: readonly Sighting[];
  readonly frontends: readonly Frontend[];
  readonly warnings: readonly Warning[];
}

export const NO_SIGHTINGS: Sightings = { endpoints: [], frontends: [], warnings: [] };
