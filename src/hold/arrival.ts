/** Packets as they come to be held: from the queue, or taken from their senders. */
import { hasPorts } from '../model/protocol.ts';
import type { OriginalTuple, QueuedPacket } from '../netfilter/port.ts';
import type { Queued } from './book.ts';
import { type IpPacket, parsePacket, sourceAddress } from './packet.ts';
import type { TakenPacket } from './port.ts';
import { type Destination, segments } from './rewrite.ts';

/** One that is not read yet. */
export interface Arrival {
  readonly packet: Buffer;
  /** False: the end of it is missing. */
  readonly whole: boolean;
  /** Undefined: it was taken from its sender. */
  readonly queued: Queued | undefined;
  /** Undefined: its address tells. */
  readonly endpoint: string | undefined;
  /** Where the queue tells it. */
  readonly original: OriginalTuple | undefined;
}

export function fromQueue({ id, mark, packet, length, original }: QueuedPacket): Arrival {
  return { packet, whole: length <= packet.length, queued: { id, mark }, endpoint: undefined, original };
}

/** More than one where its sender has left it to the kernel to cut it. */
export function fromSender({ packet, segment, endpoint }: TakenPacket): Arrival[] {
  const read = segment === 0 ? undefined : parsePacket(packet);
  const pieces = read === undefined || 'malformed' in read ? [packet] : segments(read, segment);
  return pieces.map((piece) => ({ packet: piece, whole: true, queued: undefined, endpoint, original: undefined }));
}

/**
 * Where the container sent it: what goes out from here meets the same rewriting again. What connection tracking tells is
 * of the connection's first packet, so it counts only for packets in the direction of that one.
 */
export function originalOf(original: OriginalTuple | undefined, packet: IpPacket): Destination | undefined {
  if (original === undefined || original.protocol !== packet.protocol) return undefined;
  if (hasPorts(packet.protocol) && original.sourcePort !== packet.sourcePort) return undefined;
  if (original.source !== sourceAddress(packet)) return undefined;
  return { address: original.destination, port: original.destinationPort };
}
