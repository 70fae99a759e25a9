/** What waits, for those who decide whether it goes on. `openHold` (./index.ts) returns the real one. */
import type { Conversation, Side } from '../model/conversation.ts';

/** Packets of one conversation that wait. One hold, however many packets: bursts on a tuple are asked for once. */
export interface HeldFlow {
  /** Never used twice. */
  readonly id: number;
  /** As the container sent it but for the destination, which is after any rewriting of it. */
  readonly conversation: Conversation;
  /** Where the container sent it, where that was rewritten: a Service's address. */
  readonly addressed?: Side;
  /** Nobody can tell yet whether it was rewritten, and from what: not every kernel does. */
  readonly untold?: true;
  /** Whose it is, by the kernel: that of a container on the host's network, whose address tells nothing. */
  readonly endpoint?: string;
  /**
   * True while each packet of it is a SYN with a tag and without payload: it may go on when nobody can be asked. To be read
   * when that is so: another packet may have come since the flow began.
   */
  readonly tagged: boolean;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

export type DropReason =
  | 'refused'
  | 'expired'
  | 'unreachable'
  | 'endpoint-full'
  | 'peer-full'
  | 'node-full'
  | 'malformed'
  | 'closed';

export interface HoldLimits {
  readonly packets: number;
  readonly bytes: number;
}

export interface HoldOptions {
  readonly queue: number;
  /** The bit of skb->mark that says "hold". */
  readonly mark: number;
  /** Waiting at one time. `perPeer`: one endpoint and one remote address. */
  readonly limits: { readonly node: HoldLimits; readonly perEndpoint: HoldLimits; readonly perPeer: HoldLimits };
  /** Milliseconds from the first packet of a flow; then all of it is dropped with `expired`. */
  readonly deadline: number;
  readonly now: () => number;
  /** Whose the sender's address is; undefined: nobody's, the packet is dropped as malformed. */
  readonly endpointOf: (address: string) => string | undefined;
  readonly onFlow: (flow: HeldFlow) => void;
  /**
   * All packets of the flow are gone, none of them sent. With a reason that ends in `-full`: packets that found no room,
   * told at most once a second for each conversation; the flow is one of its own then, of which `onFlow` has not told.
   */
  readonly onDropped: (flow: HeldFlow, reason: DropReason, packets: number, bytes: number) => void;
}

/** A packet that was taken from its sender, who is on the host's network: nobody but the hold has it. */
export interface TakenPacket {
  /** The sender's id. */
  readonly endpoint: string;
  /** From its IP header on; checksums may not be complete. Valid until the listener returns. */
  readonly packet: Buffer;
  /** Bytes of payload of each packet it was to become; 0: it is one. */
  readonly segment: number;
}

/** Where they come from: structurally the type of `src/datapath/port.ts`. */
export interface TakenPackets {
  onPackets(listener: (packets: readonly TakenPacket[]) => void): void;
  /** Delivers now what has been taken so far. Does nothing while packets are being delivered. */
  drain(): void;
}

export interface HoldStatistics {
  readonly flows: number;
  readonly packets: number;
  readonly bytes: number;
  /** Milliseconds the oldest has waited; 0: none. */
  readonly oldest: number;
  readonly received: bigint;
  readonly released: bigint;
  readonly dropped: ReadonlyMap<DropReason, bigint>;
}

export interface Hold {
  /**
   * Sends the token along the flow's own way: the first time as the payload of the first packet that waits, so that
   * connection tracking and every NAT on the way make the mapping the flow will keep; later times as a packet of its own.
   * The original is kept. False: the flow is gone, or its protocol has no place for a token.
   */
  sendToken(flow: number, token: Uint8Array): boolean;
  /** Everything goes on, in order. False: the flow is gone. */
  release(flow: number): boolean;
  drop(flow: number, reason: DropReason): boolean;
  held(): readonly HeldFlow[];
  statistics(): HoldStatistics;
  /** What waits is dropped with `closed`; idempotent. */
  close(): void;
}
