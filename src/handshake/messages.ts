/** What agents say to each other, as protocol.proto has it, with exact types. `encode` and `decode` are the ways in and out. */
import type { Conversation } from '../model/conversation.ts';
import type { NamedPort } from '../model/endpoint.ts';
import type { IdentityAttributes } from '../model/identity.ts';

/** Why something is refused. `other`: a reason of a later version. */
export type Reason = 'policy' | 'not-here' | 'not-yours' | 'busy' | 'timeout' | 'gone' | 'other';

/** In the order of the numbers on the wire, from 1. */
export const REASONS: readonly Reason[] = ['policy', 'not-here', 'not-yours', 'busy', 'timeout', 'gone'];

/** The attributes an identity is made from, and its ports. */
export interface AnnouncedWorkload extends IdentityAttributes {
  readonly ports: readonly NamedPort[];
}

export interface Hello {
  readonly kind: 'hello';
  readonly versionLeast: number;
  readonly versionMost: number;
  readonly domain: string;
  readonly node: string;
  /** Another one after each start. */
  readonly instance: bigint;
  /** Wall clock, milliseconds. */
  readonly time: number;
}

export interface Announce {
  readonly kind: 'announce';
  readonly complete: boolean;
  readonly more: boolean;
  readonly revision: number;
  readonly workloads: readonly AnnouncedWorkload[];
  readonly withdrawn: readonly bigint[];
}

export interface Request {
  readonly kind: 'request';
  readonly id: bigint;
  readonly source: bigint;
  readonly conversation: Conversation;
  readonly shared: boolean;
  readonly direct: boolean;
}

export interface Accept {
  readonly kind: 'accept';
  readonly id: bigint;
  /** 0: told by Arrived. */
  readonly destination: bigint;
  /** 16 bytes; undefined: none is needed. */
  readonly token: Uint8Array | undefined;
  /** Milliseconds; 0 with a token. */
  readonly lifetime: number;
  readonly direct: boolean;
}

export interface Arrived {
  readonly kind: 'arrived';
  readonly id: bigint;
  readonly destination: bigint;
  readonly direct: boolean;
  readonly lifetime: number;
}

export interface Confirm {
  readonly kind: 'confirm';
  readonly id: bigint;
}

export interface Refuse {
  readonly kind: 'refuse';
  /** 0: a connection refused in the kernel; only then are source and conversation there. */
  readonly id: bigint;
  readonly reason: Reason;
  /** 0: not told. */
  readonly destination: bigint;
  readonly rule: string;
  readonly source: bigint;
  readonly conversation: Conversation | undefined;
  /** The id is of the receiver's choice. */
  readonly yours: boolean;
}

export interface Renew {
  readonly kind: 'renew';
  readonly id: bigint;
}

export interface Renewed {
  readonly kind: 'renewed';
  readonly id: bigint;
  readonly lifetime: number;
}

export interface Revoke {
  readonly kind: 'revoke';
  readonly id: bigint;
  readonly reason: Reason;
  /** The id is of the receiver's choice. */
  readonly yours: boolean;
}

export interface Query {
  readonly kind: 'query';
  readonly identity: bigint;
}

export interface Ping {
  readonly kind: 'ping';
  readonly nonce: bigint;
}

export interface Pong {
  readonly kind: 'pong';
  readonly nonce: bigint;
}

export type Message =
  | Hello
  | Announce
  | Request
  | Accept
  | Arrived
  | Confirm
  | Refuse
  | Renew
  | Renewed
  | Revoke
  | Query
  | Ping
  | Pong;

export type MessageKind = Message['kind'];

/** What a field may hold; beyond it a message is refused. */
export const BOUNDS = {
  name: 253,
  namespace: 63,
  /** Key (prefix and name, as Kubernetes has them) and value of a label, each. */
  label: 317,
  rule: 512,
  /** Of a workload: as many as an identity has, with ours. */
  labels: 260,
  ports: 64,
  portName: 63,
  /** Of one Announce. */
  workloads: 16_384,
  withdrawn: 65_536,
  /** Milliseconds: a day. */
  lifetime: 86_400_000,
} as const;

/** Bytes of a token. */
export const TOKEN_BYTES = 16;

/** A Refuse about a handshake. `yours`: the receiver of it began it. */
export function refusal(id: bigint, reason: Reason, yours: boolean, rule = '', destination = 0n): Refuse {
  return { kind: 'refuse', id, reason, yours, rule, destination, source: 0n, conversation: undefined };
}
