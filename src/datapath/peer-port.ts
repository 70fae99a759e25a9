/** What the rest of the program may ask of the kernel about peers of other nodes: `Datapath.peers`. */
import type { Conversation, Side } from '../model/conversation.ts';

/** Addresses of the domain. The longest prefix counts. */
export interface DomainNetwork {
  /** `10.1.0.0/16`. */
  readonly cidr: string;
  /** An agent speaks for it: what opens toward an unknown peer there is held and asked for. Tags are always written. */
  readonly hold: boolean;
  /** A node itself, where nothing else is said of exactly this network: who is refused there is told so at once. */
  readonly node?: true;
}

export interface TagKey {
  readonly epoch: number;
  /** 16 bytes. */
  readonly key: Uint8Array;
}

export interface TagKeys {
  /** Accepted; at most 4, no two with the same epoch modulo 4. */
  readonly keys: readonly TagKey[];
  /** The epoch that signs; one of `keys`. Undefined: no tags are written. */
  readonly signing?: number;
  /** Seconds. */
  readonly window: number;
}

/** The remote end of verified conversations: `struct verified_key` and `struct verified`. */
export interface VerifiedPeer {
  /** The local endpoint's id. */
  readonly endpoint: string;
  /** Identity of the sending container where the endpoint opens; undefined where it is reached. */
  readonly local?: bigint;
  readonly remote: string;
  /** This one conversation; undefined: everything between the endpoint and the address. */
  readonly conversation?: { readonly protocol: number; readonly remotePort: number; readonly localPort: number };
  /** Whose the remote end is. */
  readonly identity: bigint;
  /** `refused`: nothing passes until it expires; `world`: nobody of the domain is there. */
  readonly kind: 'verified' | 'refused' | 'world';
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** When it last decided a packet; 0: never. Ignored when written. */
  readonly usedAt: number;
}

/** What a claim token will tell, written before the token is given away. */
export interface Claim {
  /** 16 bytes. */
  readonly token: Uint8Array;
  /** Who comes with it. */
  readonly identity: bigint;
  /** Id of the endpoint it leads to; undefined: whoever its way leads to. */
  readonly endpoint?: string;
  readonly protocol: number;
  readonly expiresAt: number;
}

/** A token has come in, at this endpoint, along this conversation as it is seen there. */
export interface ClaimRecord {
  readonly kind: 'claim';
  readonly time: number;
  readonly token: Uint8Array;
  readonly identity: bigint;
  readonly endpoint: string;
  readonly conversation: Conversation;
}

/** A good tag of an identity this node has no slot for; the packet was dropped and will be sent again. */
export interface StrangerRecord {
  readonly kind: 'stranger';
  readonly time: number;
  readonly identity: bigint;
  readonly endpoint: string;
  readonly conversation: Conversation;
}

export interface PeerTables {
  /** Replaces all. */
  setDomains(networks: readonly DomainNetwork[]): void;
  /** Replaces all; connections under a key that goes away live on. */
  setTagKeys(keys: TagKeys): void;
  /** Tells the kernel the wall clock; to be called at least once a minute. */
  setClock(): void;
  /** Writes or extends entries. Those of endpoints that are gone are left out. */
  verify(peers: readonly VerifiedPeer[]): void;
  /** Deletes entries, and makes every flow be decided anew. */
  forget(peers: readonly VerifiedPeer[]): void;
  /** When each last decided a packet, milliseconds since the epoch; 0: never, or another stands in its place. */
  usedAt(peers: readonly VerifiedPeer[]): readonly number[];
  /** What the kernel holds, also of an earlier agent. Entries that have expired are left out. */
  verified(): readonly VerifiedPeer[];
  /** Deletes expired entries and claims; returns how many. To be called now and then. */
  sweep(): number;
  claim(claims: readonly Claim[]): void;
  unclaim(tokens: readonly Uint8Array[]): void;
  /** The container that last sent from there, where several share an endpoint's or the host's address. */
  senderOf(side: Side, protocol: number): Party | undefined;
  /** The container that listens there, where the address is the host's own: UDP or TCP, to anybody. */
  listenerAt(side: Side, protocol: number): Party | undefined;
}

/** Somebody of this node. */
export interface Party {
  /** The endpoint's id. */
  readonly endpoint: string;
  readonly identity: bigint;
}
