/** What the handshake needs of the node it runs on, and what it tells. `openHandshake` (./index.ts) is the way in. */

import type { Conversation, Side } from '../model/conversation.ts';
import type { NamedPort } from '../model/endpoint.ts';
import type { Identity } from '../model/identity.ts';
import type { Claim, VerifiedPeer } from './kernel.ts';

/** An identity and the names its ports have. */
export interface AnnouncedIdentity extends Identity {
  readonly ports: readonly NamedPort[];
}

/** Somebody of this node. */
export interface LocalEnd {
  /** The endpoint's id. */
  readonly endpoint: string;
  readonly identity: bigint;
  /** Several containers have the address. */
  readonly shared: boolean;
}

/** This node, as it stands now. */
export interface LocalNode {
  /** Who sends from there: the container, where several share the address, and the kernel knows. */
  senderAt(side: Side, protocol: number): LocalEnd | undefined;
  /** Who is reached there: an endpoint's own address, a published port, or one of the host's. The port is the container's own. */
  receiverAt(side: Side, protocol: number): (LocalEnd & { readonly port: number }) | undefined;
  /** Whether the address is rewritten to one of this node's endpoints on its way: only the way will tell to which. */
  mayLeadHere(address: string): boolean;
  /** By id; undefined once it has ended. */
  endpoint(id: string): LocalEnd | undefined;
  /** Everything that runs here. */
  identities(): readonly AnnouncedIdentity[];
}

export interface PolicyAnswer {
  readonly allowed: boolean;
  /** `shop/web.egress[0]`; empty: no policy selects the subject. */
  readonly rule: string;
}

export interface PolicyQuestion {
  readonly subject: bigint;
  readonly direction: 'egress' | 'ingress';
  /** {@link WORLD}: whoever is at the address. */
  readonly peer: bigint;
  readonly address: string;
  /** Where the subject wrote to, if that was rewritten: rules for addresses mean either, of all that match the first decides. */
  readonly written?: string;
  readonly protocol: number;
  readonly port: number;
}

/** The peer of a question that is judged by its address alone. No identity is 0. */
export const WORLD = 0n;

/** This node's policy, by the tables that are in the kernel. */
export interface PolicyOracle {
  /** Undefined while the subject or the peer has no slot. */
  decide(question: PolicyQuestion): PolicyAnswer | undefined;
  /** Whether a policy says whom the subject may open to; true where that is not known. */
  restricts(subject: bigint): boolean;
}

/** Of `PeerTables` of the datapath. */
export interface KernelPeers {
  verify(peers: readonly VerifiedPeer[]): void;
  forget(peers: readonly VerifiedPeer[]): void;
  usedAt(peers: readonly VerifiedPeer[]): readonly number[];
  claim(claims: readonly Claim[]): void;
  unclaim(tokens: readonly Uint8Array[]): void;
}

/** Packets of one conversation that wait: structurally the type of `src/hold/port.ts`. */
export interface HeldFlow {
  /** Never used twice. */
  readonly id: number;
  /** As the container sent it but for the destination, which is after any rewriting of it. */
  readonly conversation: Conversation;
  /** Where the container sent it, where that was rewritten: a Service's address. */
  readonly addressed?: Side;
  /** Nobody can tell yet whether it was, and from what. */
  readonly untold?: true;
  /** Whose it is, by the kernel: that of a container on the host's network, whose address tells nothing. */
  readonly endpoint?: string;
  /** It opens a TCP connection and bears a tag: it may go on when nobody can be asked. */
  readonly tagged: boolean;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

/** Of the hold. */
export interface HeldFlows {
  sendToken(flow: number, token: Uint8Array): boolean;
  release(flow: number): boolean;
  drop(flow: number, reason: 'refused' | 'expired' | 'unreachable'): boolean;
}

export type Step = 'connect' | 'request' | 'accept' | 'token' | 'arrived' | 'confirm' | 'renew' | 'tag';

export type Result = 'verified' | 'refused' | 'timeout' | 'unreachable' | 'world' | 'revoked' | 'limited';

/** One end of a handshake, as far as it is known. */
export interface RecordEnd {
  readonly node?: string;
  readonly identity?: bigint;
  /** `shop/Deployment/web`. */
  readonly workload?: string;
}

/** How a handshake ended, or that one of the kernel's own checks refused a connection between two identities. */
export interface HandshakeRecord {
  /** 16 hexadecimal digits; the same at both ends. Empty: no handshake. */
  readonly handshake: string;
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** The end this agent is. */
  readonly end: 'source' | 'destination';
  readonly result: Result;
  readonly step: Step;
  /** A word of a closed list, as metrics have it: `policy`, `not-here`, `not-yours`, `busy`, `timeout`, `gone`, … */
  readonly reason: string;
  readonly rule: string;
  readonly source: RecordEnd;
  readonly destination: RecordEnd;
  readonly conversation: Conversation;
  /** Milliseconds since the first packet was held; 0 where none was. */
  readonly duration: number;
}
