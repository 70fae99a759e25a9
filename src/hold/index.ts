/** Packets that wait in the kernel until both ends agree: in order, bounded, with a deadline. */
import type { Conntrack, PacketQueue, PacketQueueOptions, PacketSender } from '../netfilter/port.ts';
import { Discipline } from './discipline.ts';
import type { Hold, HoldOptions, TakenPackets } from './port.ts';

export type {
  DropReason,
  HeldFlow,
  Hold,
  HoldLimits,
  HoldOptions,
  HoldStatistics,
  TakenPacket,
  TakenPackets,
} from './port.ts';

/** The kernel's queue is longer than the hold by this much, so that what is too much is refused, and counted, here. */
const QUEUE_SLACK = 1024;

/** The hold's ways into the kernel. It closes all, the sender also where the queue cannot be opened. */
export interface HoldEdges {
  /** Opens the queue: `PacketQueue.open`, with what the caller adds (`failOpen`). */
  readonly queue: (options: PacketQueueOptions) => PacketQueue;
  readonly sender: PacketSender;
  /** Packets that wait without a queue, of who is on the host's network. */
  readonly taken?: TakenPackets;
  /** Opens a way to connection tracking: for those, and for a queue that does not tell what was rewritten. */
  readonly conntrack: () => Conntrack;
  /**
   * The queue does not work any more: nothing is held, and what waits is dropped when its deadline passes. Or the host's
   * own firewall refuses what is let go.
   */
  readonly onError: (error: Error) => void;
  /** Milliseconds, never going back. Default: `performance.now`. */
  readonly monotonic?: () => number;
}

/**
 * Opens the queue and holds what comes. The callbacks of `options` may call the hold, and must not throw.
 *
 * @throws RangeError where `mark` is not one bit; what `edges.queue` and `edges.conntrack` throw
 */
export function openHold(options: HoldOptions, edges: HoldEdges): Hold {
  const { mark, limits } = options;
  if (!Number.isInteger(mark) || mark <= 0 || mark > 0x80000000 || (mark & (mark - 1)) !== 0) {
    throw new RangeError(`The hold's mark must be one bit of 32, not ${mark}`);
  }
  let discipline: Discipline | undefined;
  let queue: PacketQueue;
  try {
    queue = edges.queue({
      number: options.queue,
      maxPackets: limits.node.packets + QUEUE_SLACK,
      onPackets: (packets) => discipline?.take(packets),
      onError: edges.onError,
    });
  } catch (error) {
    edges.sender.close();
    throw error;
  }
  let conntrack: Conntrack | undefined;
  try {
    conntrack = queue.conntrack && edges.taken === undefined ? undefined : edges.conntrack();
  } catch (error) {
    queue.close();
    edges.sender.close();
    throw error;
  }
  discipline = new Discipline(options, {
    queue,
    sender: edges.sender,
    ...(edges.taken === undefined ? {} : { taken: edges.taken }),
    ...(conntrack === undefined ? {} : { conntrack }),
    monotonic: edges.monotonic ?? (() => performance.now()),
    onError: edges.onError,
  });
  edges.taken?.onPackets((packets) => discipline.takeOver(packets));
  return discipline;
}
