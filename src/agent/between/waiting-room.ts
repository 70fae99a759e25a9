import { openHold } from '../../hold/index.ts';
import type { HeldFlow, Hold, HoldOptions, TakenPackets } from '../../hold/port.ts';
import { Conntrack, installQueueRule, PacketQueue, PacketSender } from '../../netfilter/index.ts';
import type { RuleBackend } from '../../netfilter/port.ts';
import type { Config } from '../config.ts';

export interface WaitingRoomOptions extends Pick<HoldOptions, 'now' | 'endpointOf' | 'onFlow' | 'onDropped'> {
  readonly settings: Config['hold'];
  readonly taken: TakenPackets;
  /** The queue has failed: nothing can be held any more. */
  readonly onFault: (error: Error) => void;
}

/** The queue packets wait in, and the rule that leads them there. */
export interface WaitingRoom {
  readonly hold: Hold;
  /** What made the rule. */
  readonly backend: RuleBackend;
  /** Makes the rule anew where somebody has removed it. Meanwhile what is marked does not leave the node. */
  keepRule(): Promise<void>;
  /** Takes the rule away and drops what waits; idempotent. */
  close(): Promise<void>;
}

/** @throws NetfilterError where the kernel has no queue, or nothing that leads into it */
export async function openWaitingRoom(options: WaitingRoomOptions): Promise<WaitingRoom> {
  const { settings, taken, onFault } = options;
  const { queue, mark, open, backend, limits, deadline } = settings;
  const onFlow = (flow: HeldFlow): void => {
    // Rewritten to somebody of this node, and the queue has not told from what: both ends are judged where it arrives.
    const here = options.endpointOf(flow.conversation.destination.address) !== undefined;
    if (here && flow.addressed === undefined) hold.release(flow.id);
    else options.onFlow(flow);
  };
  const hold: Hold = openHold(
    { ...options, queue, mark, limits, deadline, onFlow },
    {
      queue: (asked) => PacketQueue.open({ ...asked, failOpen: open }),
      sender: PacketSender.open(),
      taken,
      conntrack: () => Conntrack.open(),
      onError: onFault,
    },
  );
  try {
    // Last: from here on packets come.
    let rule = await installQueueRule({ mark, queue, bypass: open }, backend);
    let closed = false;
    let keeping: Promise<void> | undefined;
    const keep = async (): Promise<void> => {
      try {
        if (await rule.verify()) return;
        onFault(new Error('the rule that leads packets into the queue was gone; it is made anew'));
        if (!closed) rule = await installQueueRule({ mark, queue, bypass: open }, backend);
      } catch (error) {
        onFault(error instanceof Error ? error : new Error(String(error)));
      }
    };
    return {
      hold,
      backend: rule.backend,
      keepRule: () => {
        keeping ??= keep().finally(() => {
          keeping = undefined;
        });
        return keeping;
      },
      close: async () => {
        if (closed) return;
        closed = true;
        await keeping;
        await rule.remove();
        hold.close();
      },
    };
  } catch (error) {
    hold.close();
    throw error;
  }
}
