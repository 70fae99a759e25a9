/** Who is behind an address that was rewritten on this node, as a Service's is: at the end that opens. */
import type { Context } from './context.ts';
import { asSeen, finish } from './ending.ts';
import type { HeldFlow, LocalEnd } from './port.ts';
import { questionOf, type VerifiedTable } from './verified.ts';

/**
 * Decides where it is known who is there: somebody of this node, or of another one and verified already. Then nobody has to
 * be asked. Not every kernel tells what was rewritten; but nothing waits that was sent to this node's own, or to somebody verified.
 * False: it is not known.
 */
export function decideBehind(context: Context, verified: VerifiedTable, flow: HeldFlow, local: LocalEnd): boolean {
  const { node, policy, held, now, timing } = context;
  const { conversation } = flow;
  const here = node.receiverAt(conversation.destination, conversation.protocol);
  const asks = here === undefined && (flow.addressed !== undefined || flow.untold === true);
  const there = asks ? verified.reaching(local.endpoint, local.identity, conversation) : undefined;
  const destination = here?.identity ?? there?.peer;
  if (destination === undefined) return false;
  const pair = { end: 'source', endpoint: local.endpoint, local: local.identity, conversation, direct: false } as const;
  const port = here?.port ?? conversation.destination.port;
  const answer = policy.decide(questionOf({ ...pair, peer: destination }, port, flow.addressed));
  if (answer === undefined) return false;
  const asked = { id: 0n, flow, local, agent: there?.agent, destination };
  if (!answer.allowed) {
    const ending = { result: 'refused', step: 'connect', reason: 'policy', fate: 'refused' } as const;
    finish(context, asked, { ...ending, rule: answer.rule, refusedEntry: true });
  } else if (
    noteBehind(context, flow, local, destination, there === undefined ? timing.refused : there.expiresAt - now())
  ) {
    held.release(flow.id);
  } else {
    finish(context, asked, { result: 'limited', step: 'connect', reason: 'kernel', fate: 'unreachable' });
  }
  return true;
}

/**
 * Tells the kernel who it is, for this conversation. Not for long: a Service may lead elsewhere the next time, and what is
 * verified may be revoked. Where nobody tells what was rewritten the kernel finds it by itself, once the first packet has gone
 * on. False: it cannot be written.
 */
export function noteBehind(
  { outcomes, timing }: Context,
  flow: HeldFlow,
  { endpoint, identity }: LocalEnd,
  peer: bigint,
  lifetime: number,
): boolean {
  if (flow.addressed === undefined) return true;
  const opened = { endpoint, local: identity, conversation: asSeen(flow) };
  return outcomes.write(opened, 'verified', Math.min(timing.refused, lifetime), peer);
}
