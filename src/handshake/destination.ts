import type { Conversation } from '../model/conversation.ts';
import type { Context } from './context.ts';
import type { UnderWay } from './ending.ts';
import { type Pair, sameConversation } from './entries.ts';
import type { ArrivedToken } from './kernel.ts';
import { Rates } from './limits.ts';
import { type Reason, type Refuse, type Request, refusal, TOKEN_BYTES } from './messages.ts';
import type { LocalEnd, PolicyAnswer, Result, Step } from './port.ts';
import { Unconfirmed } from './unconfirmed.ts';
import { questionOf, type Verified, type VerifiedTable } from './verified.ts';

type Receiver = LocalEnd & { readonly port: number };

/** `considered`: the policy has no answer yet. `promised`: Accept sent, claim written. `arrived`: the token came, and the policy has no answer yet. */
type State = 'considered' | 'promised' | 'arrived';

interface Asked {
  readonly key: string;
  readonly agent: string;
  readonly request: Request;
  readonly since: number;
  state: State;
  /** Undefined: its way will tell. */
  receiver: Receiver | undefined;
  token: Uint8Array | undefined;
  /** When the token is good no more. */
  claimedUntil: number;
  arrival: ArrivedToken | undefined;
  /** The token came from where the agent's containers cannot be: the last time, and how often. */
  stray: ArrivedToken | undefined;
  strays: number;
  stopTimer: () => void;
}

/** So often a token is good once more after it came from elsewhere. */
const STRAYS_MOST = 16;

/** The destination's half of handshakes: one for each Request. */
export class DestinationMachine {
  readonly #context: Context;
  readonly #verified: VerifiedTable;
  readonly #rates: Rates;
  readonly #asked = new Map<string, Asked>();
  readonly #byToken = new Map<string, Asked>();
  readonly #unconfirmed: Unconfirmed;
  readonly #perAgent = new Map<string, number>();

  constructor(context: Context, verified: VerifiedTable) {
    this.#context = context;
    this.#verified = verified;
    this.#unconfirmed = new Unconfirmed(context, verified);
    this.#rates = new Rates(context.limits.newPerSecond);
  }

  get size(): number {
    return this.#asked.size + this.#unconfirmed.size;
  }

  get empty(): boolean {
    return this.size === 0 && this.#byToken.size === 0 && this.#perAgent.size === 0;
  }

  list(): UnderWay[] {
    const asked = [...this.#asked.values()].map((one) => ({
      ...this.#told(one),
      state: one.state,
      end: 'destination' as const,
    }));
    return [...asked, ...this.#unconfirmed.list()];
  }

  /** An agent asks for one of its own. */
  request(agent: string, request: Request): void {
    const key = keyOf(agent, request.id);
    if (this.#known(key, agent, request)) return;
    const { agents, node, now, limits, counters } = this.#context;
    const asked: Asked = {
      key,
      agent,
      request,
      since: now(),
      state: 'considered',
      receiver: undefined,
      token: undefined,
      claimedUntil: 0,
      arrival: undefined,
      stray: undefined,
      strays: 0,
      stopTimer: () => {},
    };
    const limit = !this.#rates.take(agent, now())
      ? 'rate'
      : this.size >= limits.asDestination
        ? 'destination'
        : (this.#perAgent.get(agent) ?? 0) + this.#unconfirmed.of(agent) >= limits.perAgent
          ? 'agent'
          : undefined;
    if (limit !== undefined) {
      counters.limit(limit);
      this.#refuse(asked, 'limited', 'request', 'busy');
      return;
    }
    if (!agents.speaksFor(agent, request.source)) {
      this.#refuse(asked, 'refused', 'request', 'not-yours');
      return;
    }
    const { destination, protocol } = request.conversation;
    asked.receiver = node.receiverAt(destination, protocol);
    if (asked.receiver === undefined && !node.mayLeadHere(destination.address)) {
      this.#refuse(asked, 'world', 'request', 'not-here');
      return;
    }
    this.#asked.set(key, asked);
    this.#count(agent, 1);
    this.#consider(asked);
  }

  /** A token has come in along the flow's way. */
  tokenArrived(arrival: ArrivedToken): void {
    const asked = this.#byToken.get(Buffer.from(arrival.token).toString('hex'));
    if (asked === undefined || asked.state !== 'promised' || asked.request.source !== arrival.identity) {
      this.#context.counters.ignore('token');
      return;
    }
    if (!this.#mayComeFrom(asked, arrival.conversation.source.address)) {
      // Somebody has read it on its way. The real one is still to come, and must find its claim.
      this.#context.counters.ignore('elsewhere');
      asked.stray = arrival;
      asked.strays += 1;
      if (asked.strays <= STRAYS_MOST) this.#claim(asked);
      return;
    }
    asked.arrival = arrival;
    this.#welcome(asked, arrival);
  }

  confirm(agent: string, id: bigint): void {
    this.#unconfirmed.confirm(agent, id);
  }

  /** The source says no. False: no such handshake is under way. */
  refused(agent: string, message: Refuse): boolean {
    const key = keyOf(agent, message.id);
    const { reason, rule } = message;
    const result = reason === 'timeout' ? 'timeout' : 'refused';
    const asked = this.#asked.get(key);
    if (asked !== undefined) {
      this.#forget(asked);
      this.#record(asked, { result, step: stepOf(asked), reason: whyLate(asked, reason), rule });
      return true;
    }
    return this.#unconfirmed.refused(agent, message.id, { result, step: 'arrived', reason, rule });
  }

  /** There is a new way to the agent; what was said on the former one may be lost. Requests are said again by the source. */
  connected(agent: string): void {
    this.#unconfirmed.connected(agent);
  }

  policyChanged(): void {
    for (const asked of [...this.#asked.values()]) {
      if (asked.state === 'considered') this.#consider(asked);
      else if (asked.arrival !== undefined) this.#welcome(asked, asked.arrival);
    }
  }

  endpointsChanged(): void {
    const { node } = this.#context;
    for (const asked of [...this.#asked.values()]) {
      const { receiver, arrival } = asked;
      const gone =
        (receiver !== undefined && node.endpoint(receiver.endpoint) === undefined) ||
        (arrival !== undefined && node.endpoint(arrival.endpoint) === undefined);
      if (gone) this.#refuse(asked, 'refused', stepOf(asked), 'gone');
    }
  }

  /** What the agent no longer runs can no longer come. */
  announced(agent: string): void {
    for (const asked of [...this.#asked.values()]) {
      if (asked.agent !== agent || this.#context.agents.speaksFor(agent, asked.request.source)) continue;
      this.#refuse(asked, 'refused', stepOf(asked), 'not-yours');
    }
  }

  close(): void {
    for (const asked of [...this.#asked.values()]) this.#forget(asked);
    this.#unconfirmed.close();
  }

  /** Whether the request has been dealt with: said again, or with the id of another. */
  #known(key: string, agent: string, request: Request): boolean {
    const { counters, post } = this.#context;
    const asked = this.#asked.get(key);
    if (asked !== undefined) {
      const same =
        asked.request.source === request.source && sameConversation(asked.request.conversation, request.conversation);
      counters.ignore(same ? 'duplicate' : 'reuse');
      if (same && asked.state === 'promised') post.send(agent, this.#promise(asked));
      return true;
    }
    const verified = this.#verified.get('destination', agent, request.id);
    if (verified === undefined) return false;
    counters.ignore(verified.peer === request.source ? 'duplicate' : 'reuse');
    return true;
  }

  /** Asks the policy as far as it is known who is reached, and promises to let the token come. */
  #consider(asked: Asked): void {
    const { receiver, request, agent } = asked;
    const { agents, timer, timing, randomBytes, now, post } = this.#context;
    let rule = '';
    if (receiver !== undefined) {
      const answer = this.#decide(asked, receiver, request.conversation);
      if (answer === undefined) {
        asked.stopTimer();
        const left = Math.max(0, asked.since + timing.deadline - now());
        asked.stopTimer = timer(left, () => this.#refuse(asked, 'timeout', 'request', 'timeout', 'undecided'));
        return;
      }
      if (!answer.allowed) {
        this.#refuse(asked, 'refused', 'request', 'policy', 'policy', answer.rule);
        return;
      }
      rule = answer.rule;
      // Without a token the source's address is what its agent says; so it must be one that agent speaks for.
      const { address } = request.conversation.source;
      if (request.direct && agents.direct(agent) && agents.agentAt(address) === agent) {
        const direct = !request.shared && !receiver.shared;
        this.#verify(asked, receiver, request.conversation, direct, rule);
        return;
      }
    }
    asked.stopTimer();
    asked.state = 'promised';
    asked.token = Uint8Array.from(randomBytes(TOKEN_BYTES));
    this.#byToken.set(Buffer.from(asked.token).toString('hex'), asked);
    asked.stopTimer = timer(timing.claim, () => {
      this.#forget(asked);
      this.#record(asked, { result: 'timeout', step: 'token', reason: whyLate(asked, 'timeout') });
    });
    asked.claimedUntil = now() + timing.claim;
    if (!this.#claim(asked)) {
      this.#refuse(asked, 'limited', 'token', 'busy', 'kernel');
      return;
    }
    if (receiver !== undefined) post.announce(receiver.identity);
    // Where it cannot be sent, the source will ask again.
    post.send(agent, this.#promise(asked));
  }

  /** Lets the token come. False: the kernel takes no more. */
  #claim({ token, request, receiver, claimedUntil }: Asked): boolean {
    if (token === undefined) return false;
    const { source: identity, conversation } = request;
    const endpoint = receiver === undefined ? {} : { endpoint: receiver.endpoint };
    const { protocol } = conversation;
    return this.#context.kernel.claim([{ token, identity, ...endpoint, protocol, expiresAt: claimedUntil }]);
  }

  /**
   * Whether what an agent's container sends can arrive from there: from where the agent says, from what it speaks for, or
   * through the same NAT as the agent's own connections. A token is read by whoever is on its way; it must not be enough.
   */
  #mayComeFrom({ agent, request }: Asked, address: string): boolean {
    const { agents, post } = this.#context;
    if (address === request.conversation.source.address || agents.agentAt(address) === agent) return true;
    return post.addressesOf(agent).includes(address);
  }

  #promise({ request, receiver, token }: Asked) {
    const destination = receiver?.identity ?? 0n;
    return { kind: 'accept', id: request.id, destination, token, lifetime: 0, direct: false } as const;
  }

  /** The policy is asked about who was really reached, from where it really came. */
  #welcome(asked: Asked, arrival: ArrivedToken): void {
    const { node, agents } = this.#context;
    const { conversation, endpoint } = arrival;
    asked.state = 'arrived';
    const found = node.receiverAt(conversation.destination, conversation.protocol);
    const end = found?.endpoint === endpoint ? found : node.endpoint(endpoint);
    if (end === undefined) {
      this.#refuse(asked, 'refused', 'token', 'gone');
      return;
    }
    if (!agents.speaksFor(asked.agent, asked.request.source)) {
      this.#refuse(asked, 'refused', 'token', 'not-yours');
      return;
    }
    const receiver = { ...end, port: found?.endpoint === endpoint ? found.port : conversation.destination.port };
    asked.receiver = receiver;
    const answer = this.#decide(asked, receiver, conversation);
    // The timer of the claim goes on running while the policy has no answer.
    if (answer === undefined) return;
    if (!answer.allowed) {
      this.#refuse(asked, 'refused', 'token', 'policy', 'policy', answer.rule);
      return;
    }
    const direct =
      !asked.request.shared &&
      !receiver.shared &&
      sameConversation(conversation, asked.request.conversation) &&
      // An address that it does not speak for is not given away whole, whatever has come from there.
      agents.agentAt(conversation.source.address) === asked.agent;
    this.#verify(asked, receiver, conversation, direct, answer.rule);
  }

  #decide(asked: Asked, receiver: Receiver, conversation: Conversation): PolicyAnswer | undefined {
    const pair = pairOf(asked, receiver, conversation, false);
    return this.#context.policy.decide(questionOf(pair, receiver.port));
  }

  #verify(asked: Asked, receiver: Receiver, conversation: Conversation, direct: boolean, rule: string): void {
    const { now, timing, post } = this.#context;
    const { agent, request, since } = asked;
    this.#forget(asked);
    const verified: Verified = {
      ...pairOf(asked, receiver, conversation, direct),
      id: request.id,
      agent,
      port: receiver.port,
      since,
      rule,
      lifetime: timing.lifetime,
      renewedAt: now(),
      expiresAt: now() + timing.lifetime,
      confirmed: false,
      renewing: false,
    };
    if (!this.#verified.add(verified)) {
      this.#refuse(asked, 'limited', stepOf(asked), 'busy', 'kernel');
      return;
    }
    post.announce(verified.local);
    this.#unconfirmed.add(verified, asked.token === undefined);
  }

  #refuse(asked: Asked, result: Result, step: Step, reason: Reason, why: string = reason, rule = ''): void {
    this.#forget(asked);
    const { silent, post } = this.#context;
    const quiet = silent && (reason === 'policy' || reason === 'not-yours');
    const destination = asked.receiver?.identity ?? 0n;
    if (!quiet) post.send(asked.agent, refusal(asked.request.id, reason, true, rule, destination));
    this.#record(asked, { result, step, reason: why, rule });
  }

  #forget(asked: Asked): void {
    asked.stopTimer();
    if (this.#asked.get(asked.key) === asked) {
      this.#asked.delete(asked.key);
      this.#count(asked.agent, -1);
    }
    if (asked.token === undefined) return;
    this.#byToken.delete(Buffer.from(asked.token).toString('hex'));
    this.#context.kernel.unclaim([asked.token]);
  }

  #count(agent: string, by: number): void {
    const count = (this.#perAgent.get(agent) ?? 0) + by;
    if (count === 0) this.#perAgent.delete(agent);
    else this.#perAgent.set(agent, count);
  }

  #told({ agent, request, receiver, arrival, stray, since }: Asked) {
    const conversation = (arrival ?? stray)?.conversation ?? request.conversation;
    return {
      id: request.id,
      agent,
      since,
      conversation,
      source: request.source,
      destination: receiver?.identity ?? 0n,
    };
  }

  #record(asked: Asked, ending: { result: Result; step: Step; reason: string; rule?: string }): void {
    this.#context.record({ ...this.#told(asked), end: 'destination', ...ending });
  }
}

function pairOf({ request }: Asked, receiver: Receiver, conversation: Conversation, direct: boolean): Pair {
  const { endpoint, identity } = receiver;
  return { end: 'destination', endpoint, local: identity, peer: request.source, conversation, direct };
}

/** The step that has not come to pass. */
function stepOf({ state }: Asked): Step {
  if (state === 'considered') return 'request';
  return state === 'promised' ? 'token' : 'arrived';
}

/** A token that came from elsewhere, and from nowhere else, is what somebody has to look at. */
function whyLate({ state, strays }: Asked, reason: string): string {
  return reason === 'timeout' && state === 'promised' && strays > 0 ? 'elsewhere' : reason;
}

function keyOf(agent: string, id: bigint): string {
  return `${id.toString(16)} ${agent}`;
}
