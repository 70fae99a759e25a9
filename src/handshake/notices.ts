import type { Conversation } from '../model/conversation.ts';
import type { Context } from './context.ts';
import { Rates } from './limits.ts';
import { type Refuse, refusal } from './messages.ts';

/** A connection this node's kernel has refused on a good tag. */
export interface RefusedConnection {
  readonly source: bigint;
  readonly destination: bigint;
  readonly conversation: Conversation;
  readonly rule: string;
}

/** Tells the node where a refused connection came from, so that its records show it too. Nothing depends on it. */
export class Notices {
  readonly #context: Context;
  readonly #sent: Rates;
  readonly #received: Rates;

  constructor(context: Context) {
    this.#context = context;
    this.#sent = new Rates(context.limits.noticesPerSecond);
    this.#received = new Rates(context.limits.noticesPerSecond);
  }

  /** At the destination. */
  refused({ source, destination, conversation, rule }: RefusedConnection): void {
    const { agents, post, counters, now, silent } = this.#context;
    if (silent) return;
    const agent = this.#agentOf(source, conversation.source.address);
    if (agent === undefined || !post.connected(agent)) return;
    if (!this.#sent.take(agent, now())) {
      counters.limit('notices');
      return;
    }
    if (agents.speaksFor(agent, source)) {
      post.announce(destination);
      post.send(agent, { ...refusal(0n, 'policy', false, rule, destination), source, conversation });
    }
  }

  /** At the source. */
  received(agent: string, { conversation, source, destination, reason, rule }: Refuse): void {
    const { agents, node, counters, now, record } = this.#context;
    if (!this.#received.take(agent, now())) {
      counters.limit('notices');
      return;
    }
    const ours = node.identities().some(({ id }) => id === source);
    if (conversation === undefined || !ours || !agents.speaksFor(agent, destination)) {
      counters.ignore('notice');
      return;
    }
    const outcome = { id: 0n, end: 'source', agent, result: 'refused', step: 'tag', reason, rule } as const;
    record({ ...outcome, source, destination, conversation, since: now() });
  }

  /** Who runs the source: by its address; behind a NAT, only where one agent alone runs such. */
  #agentOf(identity: bigint, address: string): string | undefined {
    const { agents } = this.#context;
    const near = agents.agentAt(address);
    if (near !== undefined && agents.speaksFor(near, identity)) return near;
    const [only, other] = agents.agentsOf(identity);
    return other === undefined ? only : undefined;
  }
}
