/**
 * What the handshake writes into the kernel. Structurally the types of `src/datapath/peer-port.ts`, which implements
 * it: neither folder imports the other.
 */
import type { Conversation } from '../model/conversation.ts';

export interface VerifiedPeer {
  readonly endpoint: string;
  readonly local?: bigint;
  readonly remote: string;
  readonly conversation?: { readonly protocol: number; readonly remotePort: number; readonly localPort: number };
  readonly identity: bigint;
  readonly kind: 'verified' | 'refused' | 'world';
  readonly expiresAt: number;
  readonly usedAt: number;
}

export interface Claim {
  readonly token: Uint8Array;
  readonly identity: bigint;
  readonly endpoint?: string;
  readonly protocol: number;
  readonly expiresAt: number;
}

export interface ArrivedToken {
  readonly token: Uint8Array;
  readonly identity: bigint;
  readonly endpoint: string;
  readonly conversation: Conversation;
}
