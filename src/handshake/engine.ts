import { type Context, type EngineOptions, formatHandshake, type Outcome } from './context.ts';
import { DestinationMachine } from './destination.ts';
import type { UnderWay } from './ending.ts';
import { GuardedKernel } from './guarded-kernel.ts';
import type { ArrivedToken } from './kernel.ts';
import { Rates } from './limits.ts';
import type { Message, Refuse, Revoke } from './messages.ts';
import { Notices, type RefusedConnection } from './notices.ts';
import { Outcomes } from './outcomes.ts';
import { load, type SavedChanges, type SavedHandshake, save, savedKey } from './persistence.ts';
import type { HandshakeRecord, HeldFlow, RecordEnd } from './port.ts';
import { Renewal } from './renewal.ts';
import { Revocations } from './revocations.ts';
import { SourceMachine } from './source.ts';
import { Counters, type HandshakeStatistics } from './statistics.ts';
import { type Revoking, type Verified, type VerifiedFilter, VerifiedTable } from './verified.ts';

/** Both halves of handshakes and what they leave: no socket, no clock of its own. */
export class Engine {
  readonly counters: Counters;
  readonly #context: Context;
  readonly #verified: VerifiedTable;
  readonly #revocations: Revocations;
  readonly #source: SourceMachine;
  readonly #destination: DestinationMachine;
  readonly #renewal: Renewal;
  readonly #notices: Notices;
  /** Of records that a peer agent can cause at will. */
  readonly #recorded: Rates;
  #stopSweep: () => void = () => {};
  #closed = false;

  constructor(options: EngineOptions, counters = new Counters()) {
    this.counters = counters;
    const kernel = new GuardedKernel(options.kernel, counters, options.onFault);
    const outcomes = new Outcomes(kernel, counters, options.limits.outcomes, options.now);
    this.#context = { ...options, kernel, outcomes, counters, record: (outcome) => this.#record(outcome) };
    this.#revocations = new Revocations(this.#context);
    this.#verified = new VerifiedTable(this.#context, this.#revocations);
    this.#source = new SourceMachine(this.#context, this.#verified);
    this.#destination = new DestinationMachine(this.#context, this.#verified);
    this.#renewal = new Renewal(this.#context, this.#verified);
    this.#notices = new Notices(this.#context);
    this.#recorded = new Rates(options.limits.noticesPerSecond);
    this.#armSweep();
  }

  /** Nothing is under way, verified or still to be said. */
  get empty(): boolean {
    return this.#source.empty && this.#destination.empty && this.#verified.empty && this.#revocations.empty;
  }

  heldFlow(flow: HeldFlow): void {
    if (!this.#closed) this.#source.held(flow);
  }

  /** The hold has let go of the flow by itself. */
  dropped(flow: number): void {
    this.#source.dropped(flow);
  }

  tokenArrived(arrival: ArrivedToken): void {
    if (!this.#closed) this.#destination.tokenArrived(arrival);
  }

  /** The kernel has refused a connection on its tag: the node it came from is told. */
  refusedInKernel(refused: RefusedConnection): void {
    if (!this.#closed) this.#notices.refused(refused);
  }

  /** A message of a peer agent. Hello, Announce, Query, Ping and Pong are not for the engine. */
  message(agent: string, message: Message): void {
    if (this.#closed) return;
    switch (message.kind) {
      case 'request':
        this.#destination.request(agent, message);
        break;
      case 'accept':
        this.#source.accept(agent, message);
        break;
      case 'arrived':
        this.#source.arrived(agent, message);
        break;
      case 'confirm':
        this.#destination.confirm(agent, message.id);
        break;
      case 'refuse':
        this.#refused(agent, message);
        break;
      case 'renew':
        this.#renewal.renew(agent, message.id);
        break;
      case 'renewed':
        this.#renewal.renewed(agent, message.id, message.lifetime);
        break;
      case 'revoke':
        this.#revoked(agent, message);
        break;
    }
  }

  /** There is a way to the agent: the first, or another than before. */
  connected(agent: string): void {
    this.#revocations.resend(agent);
    this.#source.connected(agent);
    this.#destination.connected(agent);
    // What was confirmed a moment ago may have been lost with the former connection.
    const recent = this.#context.now() - this.#context.timing.confirm;
    for (const { end, id, agent: whose, renewedAt } of this.#verified.values()) {
      if (whose === agent && end === 'source' && renewedAt > recent)
        this.#context.post.send(agent, { kind: 'confirm', id });
    }
  }

  /** This node's policy is another, or its tables know another identity. To be called once for many changes. */
  policyChanged(): void {
    const denied = new Map<string, Verified[]>();
    for (const one of this.#verified.values()) {
      const answer = this.#verified.decide(one);
      if (answer?.allowed !== false) continue;
      const others = denied.get(answer.rule);
      if (others === undefined) denied.set(answer.rule, [one]);
      else others.push(one);
    }
    for (const [rule, ones] of denied) this.#verified.revoke(ones, { reason: 'policy', rule });
    this.#source.policyChanged();
    this.#destination.policyChanged();
  }

  /** Endpoints of this node came or went. Not to be called before all that run are known. */
  endpointsChanged(): void {
    const running = new Set(this.#context.node.identities().map(({ id }) => id));
    this.#revokeWhere((one) => this.#ended(one, running), { reason: 'gone' });
    this.#source.endpointsChanged();
    this.#destination.endpointsChanged();
  }

  /** What the agent runs, or may speak for, is known anew. */
  announced(agent: string): void {
    const { agents } = this.#context;
    this.#revokeWhere((one) => one.agent === agent && !agents.speaksFor(agent, one.peer), { reason: 'gone' });
    this.#destination.announced(agent);
  }

  /** By hand; returns how many. */
  revoke(filter: VerifiedFilter): number {
    const found = this.#verified.find(filter);
    this.#verified.revoke(found, { reason: 'by-hand' });
    return found.length;
  }

  underWay(): UnderWay[] {
    return [...this.#source.list(), ...this.#destination.list()];
  }

  verified(filter: VerifiedFilter = {}): Verified[] {
    return this.#verified.find(filter);
  }

  /** What both ends have agreed on, for the agent's next life. */
  export(): SavedHandshake[] {
    return [...this.#verified.values()].filter(({ confirmed }) => confirmed).map(save);
  }

  /** What of {@link export} is another since the last time. */
  takeChanges(): SavedChanges {
    const { present, gone } = this.#verified.takeChanges();
    return { saved: present.map(save), gone: gone.map(savedKey) };
  }

  /** Takes up what an earlier agent exported; returns how many. What has ended, and what is no such thing, is left out. */
  restore(values: readonly unknown[]): number {
    let count = 0;
    for (const value of values) {
      const one = load(value);
      if (one === undefined || one.expiresAt <= this.#context.now()) continue;
      if (this.#verified.get(one.end, one.agent, one.id) !== undefined) continue;
      this.#verified.adopt(one);
      count += 1;
    }
    return count;
  }

  statistics(): HandshakeStatistics {
    const { results, ignored, protocolErrors, limited } = this.counters;
    return {
      results: new Map(results),
      ignored: new Map(ignored),
      protocolErrors: new Map(protocolErrors),
      limited: new Map(limited),
      underWay: { source: this.#source.size, destination: this.#destination.size },
      verified: this.#verified.size,
    };
  }

  /** What is under way is given up; what is verified stays in the kernel. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopSweep();
    this.#source.close();
    this.#destination.close();
  }

  #armSweep(): void {
    this.#stopSweep = this.#context.timer(this.#context.timing.sweep, () => {
      this.#verified.expire();
      this.#revocations.expire();
      this.#context.outcomes.expire();
      this.#renewal.sweep();
      this.#armSweep();
    });
  }

  /** Whether this node's side of it is no longer there, or its address is another's. */
  #ended(one: Verified, running: ReadonlySet<bigint>): boolean {
    const { node } = this.#context;
    if (node.endpoint(one.endpoint) === undefined || !running.has(one.local)) return true;
    const { source, destination, protocol } = one.conversation;
    const now = one.end === 'source' ? node.senderAt(source, protocol) : node.receiverAt(destination, protocol);
    return now !== undefined && now.endpoint !== one.endpoint;
  }

  #revokeWhere(meant: (one: Verified) => boolean, revoking: Revoking): void {
    this.#verified.revoke([...this.#verified.values()].filter(meant), revoking);
  }

  #refused(agent: string, message: Refuse): void {
    if (message.id === 0n) {
      this.#notices.received(agent, message);
      return;
    }
    if (message.yours ? this.#source.refused(agent, message) : this.#destination.refused(agent, message)) return;
    this.#revoked(agent, { kind: 'revoke', id: message.id, reason: message.reason, yours: message.yours });
  }

  #revoked(agent: string, { id, reason, yours }: Revoke): void {
    const one = this.#verified.get(yours ? 'source' : 'destination', agent, id);
    if (one === undefined) this.counters.ignore('unknown');
    else this.#verified.revoke([one], { reason, told: true });
  }

  #record(outcome: Outcome): void {
    const { now, onRecord, onDuration } = this.#context;
    const { id, end, agent, result, step, reason, rule = '', conversation, since } = outcome;
    this.counters.result(end, result, step);
    const time = now();
    const duration = Math.max(0, time - since);
    if (result !== 'revoked' && step !== 'tag') onDuration(end, result, duration);
    const atWill = end === 'destination' && (result === 'limited' || reason === 'not-yours' || reason === 'not-here');
    if (atWill && !this.#recorded.take(agent ?? '', time)) return;
    const ends = { source: this.#end(outcome, 'source'), destination: this.#end(outcome, 'destination') };
    onRecord({
      handshake: formatHandshake(id),
      time,
      end,
      result,
      step,
      reason,
      rule,
      ...ends,
      conversation,
      duration,
    });
  }

  #end(outcome: Outcome, end: HandshakeRecord['end']): RecordEnd {
    const node = outcome.end === end ? this.#context.name : outcome.agent;
    const identity = outcome[end];
    const named = node === undefined ? {} : { node };
    if (identity === 0n) return named;
    const workload = this.#context.agents.workloadOf(identity);
    return { ...named, identity, ...(workload === undefined ? {} : { workload }) };
  }
}
