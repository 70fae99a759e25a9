import { decideBehind, noteBehind } from './behind.ts';
import type { Context } from './context.ts';
import { type Asked, type Ending, finish, goToWorld, tell, type UnderWay } from './ending.ts';
import type { Pair } from './entries.ts';
import { type Accept, type Arrived, type Reason, type Refuse, refusal } from './messages.ts';
import type { HeldFlow, LocalEnd, PolicyAnswer, Step } from './port.ts';
import { questionOf, type VerifiedTable } from './verified.ts';

/**
 * `waiting`: there is no connection to the agent. `asked`: Request sent. `offered`: Accept came. In each of the last two
 * an answer may wait until the policy can be asked about it.
 */
type State = 'waiting' | 'asked' | 'offered';

interface Asking extends Asked {
  readonly local: LocalEnd;
  readonly agent: string;
  state: State;
  /** The policy has no answer yet; both ends learn of new identities while a handshake is under way. */
  undecided: Accept | Arrived | undefined;
  stopDeadline: () => void;
  stopRepeat: () => void;
}

/** The source's half of handshakes: one for each held flow. */
export class SourceMachine {
  readonly #context: Context;
  readonly #verified: VerifiedTable;
  readonly #byId = new Map<bigint, Asking>();
  readonly #byFlow = new Map<number, Asking>();

  constructor(context: Context, verified: VerifiedTable) {
    this.#context = context;
    this.#verified = verified;
  }

  get size(): number {
    return this.#byId.size;
  }

  get empty(): boolean {
    return this.#byId.size === 0 && this.#byFlow.size === 0;
  }

  list(): UnderWay[] {
    return [...this.#byId.values()].map(({ id, agent, state, flow, local, destination }) => {
      const { conversation, since } = flow;
      return { id, end: 'source', agent, state, since, conversation, source: local.identity, destination };
    });
  }

  /** A flow waits. */
  held(flow: HeldFlow): void {
    if (this.#byFlow.has(flow.id)) return;
    const { node, agents, limits, timing, timer, counters, post } = this.#context;
    const { source, destination, protocol } = flow.conversation;
    const sender = node.senderAt(source, protocol);
    // Where another has sent from that port meanwhile, what this one sent must not be asked for in his name.
    const local = flow.endpoint === undefined || flow.endpoint === sender?.endpoint ? sender : undefined;
    const agent = agents.agentAt(destination.address);
    const asked = { id: 0n, flow, local, agent, destination: 0n };
    if (local === undefined) {
      finish(this.#context, asked, { result: 'refused', step: 'connect', reason: 'gone', fate: 'refused' });
      return;
    }
    if (decideBehind(this.#context, this.#verified, flow, local)) return;
    if (agent === undefined) {
      goToWorld(this.#context, { ...asked, local }, 'connect');
      return;
    }
    if (post.absent(agent) && this.#mayGoUnasked(flow, local)) {
      goToWorld(this.#context, { ...asked, local }, 'connect', 'unreachable');
      return;
    }
    if (this.#byId.size >= limits.asSource) {
      counters.limit('source');
      const ending = { result: 'limited', step: 'connect', reason: 'busy', fate: 'unreachable' } as const;
      finish(this.#context, asked, { ...ending, tagGoesOn: true });
      return;
    }
    const asking: Asking = {
      ...asked,
      local,
      agent,
      id: this.#newId(agent),
      state: 'waiting',
      undecided: undefined,
      stopDeadline: () => {},
      stopRepeat: () => {},
    };
    this.#byId.set(asking.id, asking);
    this.#byFlow.set(flow.id, asking);
    asking.stopDeadline = timer(timing.deadline, () => this.#late(asking));
    this.#ask(asking);
  }

  /** The hold has dropped the flow by itself. */
  dropped(flow: number): void {
    const asking = this.#byFlow.get(flow);
    if (asking !== undefined) this.#late(asking, 'dropped');
  }

  accept(agent: string, message: Accept): void {
    const asking = this.#of(agent, message.id);
    if (asking === undefined) return;
    if (asking.state !== 'asked' || asking.undecided !== undefined) {
      this.#context.counters.ignore('duplicate');
      return;
    }
    this.#offer(asking, message);
  }

  arrived(agent: string, message: Arrived): void {
    const asking = this.#of(agent, message.id);
    if (asking === undefined) return;
    // Nothing can have arrived before the token was sent.
    if (asking.state !== 'offered' || asking.undecided !== undefined) {
      this.#context.counters.ignore(asking.state === 'offered' ? 'duplicate' : 'unsolicited');
      return;
    }
    asking.stopRepeat();
    this.#agree(asking, message, 'arrived');
  }

  /** The destination says no. False: no such handshake is under way. */
  refused(agent: string, message: Refuse): boolean {
    const asking = this.#byId.get(message.id);
    if (asking === undefined || asking.agent !== agent) return false;
    if (asking.state === 'waiting') {
      this.#context.counters.ignore('unsolicited');
      return true;
    }
    const { reason, rule, destination } = message;
    if (this.#context.agents.speaksFor(agent, destination)) asking.destination = destination;
    const step = stepOf(asking);
    if (reason === 'not-here') {
      // Only before a token was offered: whoever has one to give is there.
      if (asking.state !== 'asked') this.#end(asking, { result: 'refused', step, reason: 'gone', fate: 'refused' });
      else {
        this.#forget(asking);
        goToWorld(this.#context, asking, step);
      }
    } else if (reason === 'policy' || reason === 'not-yours') {
      this.#end(asking, { result: 'refused', step, reason, rule, fate: 'refused', refusedEntry: true });
    } else if (reason === 'busy') {
      this.#end(asking, { result: 'limited', step, reason, fate: 'unreachable', tagGoesOn: true });
    } else if (reason === 'timeout') {
      this.#end(asking, { result: 'timeout', step, reason, fate: 'expired', tagGoesOn: true });
    } else {
      this.#end(asking, { result: 'refused', step, reason, fate: 'refused' });
    }
    return true;
  }

  /** There is a new way to the agent; what was under way on the former one may be lost. */
  connected(agent: string): void {
    for (const asking of [...this.#byId.values()]) {
      if (asking.agent === agent && asking.state !== 'offered' && asking.undecided === undefined) this.#ask(asking);
    }
  }

  /** What could not be decided, perhaps can be now. */
  policyChanged(): void {
    for (const asking of [...this.#byId.values()]) {
      const { undecided } = asking;
      if (undecided === undefined) continue;
      asking.undecided = undefined;
      if (undecided.kind === 'accept') this.#offer(asking, undecided);
      else this.#agree(asking, undecided, 'arrived');
    }
  }

  endpointsChanged(): void {
    const { node } = this.#context;
    for (const asking of [...this.#byId.values()]) {
      const { source } = asking.flow.conversation;
      const now = node.senderAt(source, asking.flow.conversation.protocol);
      if (now?.endpoint === asking.local.endpoint && now.identity === asking.local.identity) continue;
      this.#end(asking, { result: 'refused', step: stepOf(asking), reason: 'gone', fate: 'refused', tell: 'gone' });
    }
  }

  /** Everything under way is given up; what waits is the hold's to drop. */
  close(): void {
    for (const asking of [...this.#byId.values()]) this.#forget(asking);
  }

  #ask(asking: Asking): void {
    const { post, agents } = this.#context;
    if (!post.connected(asking.agent)) return;
    post.announce(asking.local.identity);
    const sent = post.send(asking.agent, {
      kind: 'request',
      id: asking.id,
      source: asking.local.identity,
      conversation: asking.flow.conversation,
      shared: asking.local.shared,
      direct: agents.direct(asking.agent),
    });
    if (sent) asking.state = 'asked';
  }

  #offer(asking: Asking, message: Accept): void {
    const { agents, held, timing, timer, post } = this.#context;
    if (message.token === undefined) {
      if (agents.direct(asking.agent)) this.#agree(asking, message, 'accept');
      // Whoever cannot be reached along the flow's way would have a place in our tables all the same.
      else this.#deny(asking, 'accept', 'no-token', '', 'other');
      return;
    }
    if (message.destination !== 0n && this.#allowed(asking, message, 'accept') === undefined) return;
    asking.state = 'offered';
    asking.destination = message.destination;
    const { token } = message;
    if (!held.sendToken(asking.flow.id, token)) {
      if (this.#goUnasked(asking, 'token', 'no-way')) {
        post.send(asking.agent, refusal(asking.id, 'timeout', false, undefined, asking.destination));
        return;
      }
      const end = { result: 'timeout', step: 'token', reason: 'no-way', fate: 'expired', tagGoesOn: true } as const;
      this.#end(asking, { ...end, tell: 'timeout' });
      return;
    }
    const repeat = (wait: number): void => {
      // The hold may have let the flow go meanwhile.
      if (this.#byId.get(asking.id) !== asking) return;
      asking.stopRepeat = timer(wait, () => {
        held.sendToken(asking.flow.id, token);
        repeat(wait * 2);
      });
    };
    repeat(timing.repeat);
  }

  /** The destination has verified the flow. If this end's policy agrees, so has this one. */
  #agree(asking: Asking, message: Accept | Arrived, step: 'accept' | 'arrived'): void {
    const answer = this.#allowed(asking, message, step);
    if (answer === undefined) return;
    const { timing, now, post, held } = this.#context;
    const { id, agent, flow, local } = asking;
    const lifetime = Math.min(message.lifetime, timing.lifetime);
    this.#forget(asking);
    const added = this.#verified.add({
      ...this.#pair(asking, message.destination, message.direct && !local.shared),
      id,
      agent,
      port: flow.conversation.destination.port,
      ...(flow.addressed === undefined ? {} : { addressed: flow.addressed }),
      since: flow.since,
      rule: answer.rule,
      lifetime,
      renewedAt: now(),
      expiresAt: now() + lifetime,
      confirmed: true,
      renewing: false,
    });
    if (!added) {
      const ending = { result: 'limited', step, reason: 'kernel', fate: 'unreachable', tell: 'busy' } as const;
      finish(this.#context, asking, ending);
      return;
    }
    post.send(agent, { kind: 'confirm', id });
    noteBehind(this.#context, flow, local, message.destination, lifetime);
    held.release(flow.id);
    tell(this.#context, asking, { result: 'verified', step: 'confirm', reason: '', rule: answer.rule });
  }

  /**
   * This node's policy for who answers, where the agent may speak for it and it is allowed. Else the handshake has ended, or
   * waits until it can be decided.
   */
  #allowed(asking: Asking, message: Accept | Arrived, step: 'accept' | 'arrived'): PolicyAnswer | undefined {
    const { destination } = message;
    if (!this.#context.agents.speaksFor(asking.agent, destination)) {
      this.#deny(asking, step, 'not-yours', '', 'not-yours');
      return undefined;
    }
    asking.destination = destination;
    const { addressed, conversation } = asking.flow;
    const { port } = conversation.destination;
    const answer = this.#context.policy.decide(questionOf(this.#pair(asking, destination, false), port, addressed));
    if (answer === undefined) asking.undecided = message;
    if (answer?.allowed === false) this.#deny(asking, step, 'policy', answer.rule, 'policy');
    return answer?.allowed === true ? answer : undefined;
  }

  #deny(asking: Asking, step: Step, reason: string, rule: string, tell: Reason): void {
    this.#end(asking, { result: 'refused', step, reason, rule, fate: 'refused', tell, refusedEntry: true });
  }

  /** The deadline has passed, or the hold has let the flow go. */
  #late(asking: Asking, why: 'deadline' | 'dropped' = 'deadline'): void {
    if (asking.state === 'waiting') {
      if (this.#goUnasked(asking, 'connect', 'unreachable')) return;
      const end = { result: 'unreachable', step: 'connect', reason: 'unreachable', fate: 'unreachable' } as const;
      this.#end(asking, { ...end, tagGoesOn: true });
      return;
    }
    const reason = why === 'dropped' ? 'dropped' : asking.undecided === undefined ? 'timeout' : 'undecided';
    const end = { result: 'timeout', step: stepOf(asking), reason, fate: 'expired', tell: 'timeout' } as const;
    this.#end(asking, { ...end, tagGoesOn: true });
  }

  /**
   * Nobody can be asked who is there: what may open to anybody goes as to the world, and the other end judges a stranger.
   * Where a policy restricts it nothing goes. False: it does not go.
   */
  #goUnasked(asking: Asking, step: Step, why: 'unreachable' | 'no-way'): boolean {
    if (this.#byId.get(asking.id) !== asking || !this.#mayGoUnasked(asking.flow, asking.local)) return false;
    this.#forget(asking);
    goToWorld(this.#context, asking, step, why);
    return true;
  }

  /** Who has a tag needs no answer. */
  #mayGoUnasked({ tagged }: HeldFlow, { identity }: LocalEnd): boolean {
    return !tagged && !this.#context.policy.restricts(identity);
  }

  #end(asking: Asking, ending: Ending): void {
    // What is dropped may come back as a drop of the hold's.
    if (this.#byId.get(asking.id) !== asking) return;
    this.#forget(asking);
    finish(this.#context, asking, ending);
  }

  #forget(asking: Asking): void {
    asking.stopDeadline();
    asking.stopRepeat();
    this.#byId.delete(asking.id);
    this.#byFlow.delete(asking.flow.id);
  }

  #of(agent: string, id: bigint): Asking | undefined {
    const asking = this.#byId.get(id);
    if (asking === undefined) {
      this.#context.counters.ignore(this.#verified.get('source', agent, id) === undefined ? 'unknown' : 'duplicate');
    } else if (asking.agent !== agent) {
      this.#context.counters.ignore('foreign');
      return undefined;
    }
    return asking;
  }

  #pair({ flow, local }: Asking, peer: bigint, direct: boolean): Pair {
    const { conversation } = flow;
    return { end: 'source', endpoint: local.endpoint, local: local.identity, peer, conversation, direct };
  }

  #newId(agent: string): bigint {
    for (;;) {
      const id = Buffer.from(this.#context.randomBytes(8)).readBigUInt64BE();
      if (id !== 0n && !this.#byId.has(id) && this.#verified.get('source', agent, id) === undefined) return id;
    }
  }
}

/** The step that has not come to pass. */
function stepOf({ state, undecided }: Asking): Step {
  if (state === 'waiting') return 'connect';
  if (undecided !== undefined) return undecided.kind;
  return state === 'asked' ? 'request' : 'token';
}
