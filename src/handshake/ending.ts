import type { Context } from './context.ts';
import { type Reason, refusal } from './messages.ts';
import { type HeldFlow, type LocalEnd, type Result, type Step, WORLD } from './port.ts';
import { questionOf } from './verified.ts';

/** What is asked for a held flow. */
export interface Asked {
  /** 0: nobody has been asked. */
  readonly id: bigint;
  readonly flow: HeldFlow;
  readonly local: LocalEnd | undefined;
  readonly agent: string | undefined;
  /** 0: not told yet. */
  destination: bigint;
}

/** What a handshake under way looks like from outside. */
export interface UnderWay {
  readonly id: bigint;
  readonly end: 'source' | 'destination';
  readonly agent: string;
  readonly state: string;
  readonly since: number;
  readonly conversation: HeldFlow['conversation'];
  readonly source: bigint;
  readonly destination: bigint;
}

/** What becomes of the packets that wait. */
type Fate = 'refused' | 'expired' | 'unreachable';

/** How a handshake ends for its source without a verified peer. */
export interface Ending {
  readonly result: Result;
  readonly step: Step;
  readonly reason: string;
  readonly rule?: string;
  readonly fate: Fate;
  /** The other end is told so. */
  readonly tell?: Reason;
  /** Nothing of the conversation passes for a while. */
  readonly refusedEntry?: boolean;
  /** A SYN with a tag goes on: the tag of its answer will decide. */
  readonly tagGoesOn?: boolean;
}

/** The conversation as its container sees it: with whom it wrote to, whatever became of that on the way. */
export function asSeen({ conversation, addressed }: HeldFlow): HeldFlow['conversation'] {
  return addressed === undefined ? conversation : { ...conversation, destination: addressed };
}

/** Tells the other end, the kernel, the hold and the records, in this order. */
export function finish(context: Context, asked: Asked, ending: Ending): void {
  const { outcomes, held, post, timing } = context;
  const { id, agent, flow, local, destination } = asked;
  if (ending.refusedEntry === true && local !== undefined) {
    const pair = { endpoint: local.endpoint, local: local.identity, conversation: asSeen(flow) };
    outcomes.write(pair, 'refused', timing.refused);
  }
  if (ending.tell !== undefined && agent !== undefined) {
    post.send(agent, refusal(id, ending.tell, false, ending.rule, destination));
  }
  if (ending.tagGoesOn === true && flow.tagged) held.release(flow.id);
  else held.drop(flow.id, ending.fate);
  tell(context, asked, ending);
}

/**
 * Nobody of the domain is there, or can be asked: the address decides, which is asked before anything goes on.
 * @param why `unreachable`: it is believed for as short as a refusal, and then looked for again
 */
export function goToWorld(
  context: Context,
  asked: Asked & { readonly local: LocalEnd },
  step: Step,
  why: 'not-here' | 'unreachable' | 'no-way' = 'not-here',
): void {
  const { policy, outcomes, held, timing } = context;
  const { flow, local } = asked;
  const pair = { endpoint: local.endpoint, local: local.identity, conversation: asSeen(flow) };
  const { conversation, addressed } = flow;
  const question = { ...pair, conversation, end: 'source', peer: WORLD, direct: false } as const;
  const answer = policy.decide(questionOf(question, conversation.destination.port, addressed));
  const allowed = answer?.allowed ?? false;
  const kind = allowed ? 'world' : 'refused';
  // A Service, for which each conversation waits, may lead elsewhere the next time; else nobody waits whom no agent speaks for.
  const brief = why !== 'not-here' || addressed !== undefined || asked.agent === undefined;
  const written = outcomes.write(pair, kind, timing[brief ? 'refused' : kind]);
  if (allowed && written) held.release(flow.id);
  else held.drop(flow.id, 'refused');
  const result = allowed && !written ? 'limited' : kind;
  tell(context, asked, { result, step, reason: why, rule: answer?.rule ?? '' });
}

/** Leaves a record. */
export function tell(
  context: Context,
  asked: Asked,
  ending: Pick<Ending, 'result' | 'step' | 'reason' | 'rule'>,
): void {
  const { id, agent, flow, local, destination } = asked;
  const { conversation, since } = flow;
  const { result, step, reason, rule = '' } = ending;
  const source = local?.identity ?? 0n;
  context.record({ id, end: 'source', agent, result, step, reason, rule, source, destination, conversation, since });
}
