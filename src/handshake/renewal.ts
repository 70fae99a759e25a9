import type { Context } from './context.ts';
import { entriesOf, type Verified, type VerifiedTable } from './verified.ts';

/** The part of a lifetime after which entries in use are renewed. */
const RENEWED_AFTER = 0.6;

/** Keeps alive what is used, at both ends; what is not used ends. */
export class Renewal {
  readonly #context: Context;
  readonly #table: VerifiedTable;

  constructor(context: Context, table: VerifiedTable) {
    this.#context = context;
    this.#table = table;
  }

  /** As source: asks for those that are due. Said again each time until it is answered or the entries have ended. */
  sweep(): void {
    const { now, post } = this.#context;
    const due: Verified[] = [];
    for (const one of this.#table.values()) {
      if (one.end === 'source' && one.renewedAt + one.lifetime * RENEWED_AFTER <= now()) due.push(one);
    }
    if (due.length === 0) return;
    const denied: Verified[] = [];
    for (const one of due) {
      const last = Math.max(...this.#context.kernel.usedAt(entriesOf(one)));
      if (last <= now() - one.lifetime) continue;
      const answer = this.#table.decide(one);
      if (answer?.allowed === false) denied.push(one);
      else if (answer !== undefined) one.renewing = post.send(one.agent, { kind: 'renew', id: one.id }) || one.renewing;
    }
    this.#table.revoke(denied, { reason: 'policy', step: 'renew' });
  }

  /** As destination: the policy is asked again. */
  renew(agent: string, id: bigint): void {
    const { counters, post, node, agents, timing } = this.#context;
    const one = this.#table.get('destination', agent, id);
    if (one === undefined || !one.confirmed) {
      counters.ignore('unknown');
      post.send(agent, { kind: 'revoke', id, reason: 'gone', yours: true });
      return;
    }
    const answer = this.#table.decide(one);
    if (node.endpoint(one.endpoint) === undefined) this.#table.revoke([one], { reason: 'gone', step: 'renew' });
    else if (!agents.speaksFor(agent, one.peer)) this.#table.revoke([one], { reason: 'not-yours', step: 'renew' });
    else if (answer?.allowed === false)
      this.#table.revoke([one], { reason: 'policy', step: 'renew', rule: answer.rule });
    else if (answer !== undefined) {
      this.#table.extend(one, timing.lifetime);
      post.send(agent, { kind: 'renewed', id, lifetime: timing.lifetime });
    }
  }

  /** As source: it was granted. */
  renewed(agent: string, id: bigint, lifetime: number): void {
    const one = this.#table.get('source', agent, id);
    if (one === undefined) this.#context.counters.ignore('unknown');
    else if (!one.renewing) this.#context.counters.ignore('unsolicited');
    else this.#table.extend(one, Math.min(lifetime, this.#context.timing.lifetime));
  }
}
