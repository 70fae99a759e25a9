/** Several engines with a clock, a network and kernels of their own, all in memory and all deterministic. */

import { decode } from '../../src/handshake/decode.ts';
import { encode } from '../../src/handshake/encode.ts';
import { Engine } from '../../src/handshake/engine.ts';
import { entryKey } from '../../src/handshake/entries.ts';
import { FrameReader } from '../../src/handshake/frames.ts';
import type { Claim, VerifiedPeer } from '../../src/handshake/kernel.ts';
import { LIMITS, type Limits, timing } from '../../src/handshake/limits.ts';
import type { Message } from '../../src/handshake/messages.ts';
import {
  type AnnouncedIdentity,
  type HandshakeRecord,
  type HeldFlow,
  type LocalEnd,
  type PolicyAnswer,
  type PolicyQuestion,
  WORLD,
} from '../../src/handshake/port.ts';
import type { Conversation, Side } from '../../src/model/conversation.ts';
import { formatIdentity } from '../../src/model/identity.ts';

interface Due {
  readonly at: number;
  readonly turn: number;
  readonly run: () => void;
}

/** Runs what is due, in the order of time. */
export class Clock {
  now = 1_000_000;
  readonly #due: Due[] = [];
  #turn = 0;

  timer(ms: number, run: () => void): () => void {
    const entry = { at: this.now + ms, turn: this.#turn++, run };
    this.#due.push(entry);
    return () => {
      const at = this.#due.indexOf(entry);
      if (at >= 0) this.#due.splice(at, 1);
    };
  }

  advance(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      let next: Due | undefined;
      for (const entry of this.#due) {
        if (entry.at > end) continue;
        if (next === undefined || entry.at < next.at || (entry.at === next.at && entry.turn < next.turn)) next = entry;
      }
      if (next === undefined) break;
      this.#due.splice(this.#due.indexOf(next), 1);
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = end;
  }
}

/** One way through the network: what leaves as `from` arrives as `to`. */
export type Nat = (conversation: Conversation) => Conversation;

export interface NodeOptions {
  readonly name: string;
  readonly limits?: Partial<Limits>;
  readonly silent?: boolean;
  readonly direct?: readonly string[];
}

export interface RunningEndpoint extends LocalEnd {
  readonly address: string;
}

export class Node {
  readonly name: string;
  readonly network: Network;
  readonly endpoints: RunningEndpoint[] = [];
  /** Published: `address:port` to an endpoint and its port. */
  readonly published = new Map<string, { readonly endpoint: string; readonly port: number }>();
  readonly leadsHere = new Set<string>();
  readonly entries = new Map<string, VerifiedPeer>();
  readonly claims = new Map<string, Claim>();
  readonly held = new Map<number, HeldFlow>();
  readonly released: HeldFlow[] = [];
  readonly dropped: { readonly flow: HeldFlow; readonly reason: string }[] = [];
  readonly tokens: { readonly flow: HeldFlow; readonly token: Uint8Array }[] = [];
  readonly records: HandshakeRecord[] = [];
  readonly durations: string[] = [];
  readonly faults: string[] = [];
  readonly said: { readonly to: string; readonly message: Message }[] = [];
  /** Identities with no slot yet. */
  readonly unknown = new Set<bigint>();
  /** Of this node: no policy says whom they may open to. */
  readonly free = new Set<bigint>();
  /** Agents that have been away for long. */
  readonly absent = new Set<string>();
  /** Runs as `verify` is called, before anything is written. */
  onVerify: (peers: readonly VerifiedPeer[]) => void = () => {};
  onRelease: (flow: HeldFlow) => void = () => {};
  policy: (question: PolicyQuestion) => PolicyAnswer = () => ({ allowed: true, rule: `${this.name}/all` });
  engine: Engine;
  readonly #options: NodeOptions;

  constructor(network: Network, options: NodeOptions) {
    this.name = options.name;
    this.network = network;
    this.#options = options;
    this.engine = this.#start();
  }

  /** Another agent on the same node: the kernel stays as it is. */
  restart(): void {
    this.engine.close();
    this.engine = this.#start();
  }

  run(endpoint: string, identity: bigint, address: string, shared = false): RunningEndpoint {
    const one = { endpoint, identity, address, shared };
    this.endpoints.push(one);
    return one;
  }

  stop(endpoint: string): void {
    this.endpoints.splice(
      this.endpoints.findIndex((one) => one.endpoint === endpoint),
      1,
    );
  }

  hold(
    conversation: Conversation,
    { tagged = false, ...told }: Partial<Pick<HeldFlow, 'tagged' | 'addressed' | 'untold' | 'endpoint'>> = {},
  ): HeldFlow {
    const since = this.network.clock.now;
    const flow = { id: this.network.nextFlow++, conversation, ...told, tagged, since };
    this.held.set(flow.id, flow);
    this.engine.heldFlow(flow);
    return flow;
  }

  /** Entries of one kind, as short text. */
  entryTexts(kind: VerifiedPeer['kind'] = 'verified'): string[] {
    return [...this.entries.values()]
      .filter((entry) => entry.kind === kind && entry.expiresAt > this.network.clock.now)
      .map(({ endpoint, local, remote, conversation, identity }) => {
        const who = local === undefined ? endpoint : `${endpoint}(${local})`;
        const ports = conversation === undefined ? '' : `:${conversation.remotePort}>${conversation.localPort}`;
        return `${who} ${remote}${ports} = ${identity}`;
      })
      .sort();
  }

  results(): string[] {
    return this.records.map(({ end, result, step, reason }) => `${end} ${result} ${step} ${reason}`.trim());
  }

  #start(): Engine {
    const { network, name } = this;
    const { clock } = network;
    const at = (address: string): RunningEndpoint | undefined => this.endpoints.find((one) => one.address === address);
    return new Engine({
      name,
      node: {
        senderAt: (side) => at(side.address),
        receiverAt: (side: Side) => {
          const own = at(side.address);
          if (own !== undefined) return { ...own, port: side.port };
          const published = this.published.get(`${side.address}:${side.port}`);
          const end = this.endpoints.find(({ endpoint }) => endpoint === published?.endpoint);
          return published === undefined || end === undefined ? undefined : { ...end, port: published.port };
        },
        mayLeadHere: (address) => this.leadsHere.has(address),
        endpoint: (id) => this.endpoints.find(({ endpoint }) => endpoint === id),
        identities: () => this.endpoints.map(({ identity }) => announced(identity)),
      },
      policy: {
        decide: (question) =>
          question.peer !== WORLD && (this.unknown.has(question.peer) || this.unknown.has(question.subject))
            ? undefined
            : this.policy(question),
        restricts: (subject) => !this.free.has(subject),
      },
      kernel: {
        verify: (peers) => {
          this.onVerify(peers);
          for (const peer of peers) this.entries.set(entryKey(peer), peer);
        },
        forget: (peers) => {
          for (const peer of peers) this.entries.delete(entryKey(peer));
        },
        usedAt: (peers) =>
          peers.map((peer) => {
            const found = this.entries.get(entryKey(peer));
            return found?.kind === peer.kind && found.identity === peer.identity ? found.usedAt : 0;
          }),
        claim: (claims) => {
          for (const claim of claims) this.claims.set(hex(claim.token), claim);
        },
        unclaim: (tokens) => {
          for (const token of tokens) this.claims.delete(hex(token));
        },
      },
      held: {
        sendToken: (id, token) => {
          const flow = this.held.get(id);
          if (flow === undefined) return false;
          this.tokens.push({ flow, token });
          network.carry(flow.conversation, token);
          return true;
        },
        release: (id) => {
          const flow = this.held.get(id);
          if (flow === undefined) return false;
          this.onRelease(flow);
          this.held.delete(id);
          this.released.push(flow);
          return true;
        },
        drop: (id, reason) => {
          const flow = this.held.get(id);
          if (flow === undefined) return false;
          this.held.delete(id);
          this.dropped.push({ flow, reason });
          // The hold tells of what it was told to drop, too.
          this.engine.dropped(id);
          return true;
        },
      },
      agents: {
        agentAt: (address) => network.agentAt(address),
        speaksFor: (agent, identity) => network.speaksFor(agent, identity),
        agentsOf: (identity) => [...network.nodes.keys()].filter((agent) => network.speaksFor(agent, identity)),
        workloadOf: (identity) => `test/Service/${identity}`,
        direct: (agent) => this.#options.direct?.includes(agent) ?? false,
      },
      post: {
        connected: (agent) => network.connected(name, agent),
        absent: (agent) => this.absent.has(agent),
        addressesOf: (agent) => network.seen.get(agent) ?? [],
        send: (to, message) => {
          if (!network.connected(name, to)) return false;
          this.said.push({ to, message });
          network.post(name, to, message);
          return true;
        },
        announce: () => {},
      },
      now: () => clock.now,
      timer: (ms, run) => clock.timer(ms, run),
      randomBytes: (size) => network.randomBytes(size),
      timing: timing(),
      limits: { ...LIMITS, ...this.#options.limits },
      silent: this.#options.silent ?? false,
      onRecord: (record) => this.records.push(record),
      onFault: (error) => this.faults.push(error.message),
      onDuration: (end, result, ms) => this.durations.push(`${end} ${result} ${ms}`),
    });
  }
}

/** Messages and packets on their way; nothing moves but by `settle` and `deliver`. */
export class Network {
  readonly clock = new Clock();
  readonly nodes = new Map<string, Node>();
  readonly letters: { readonly from: string; readonly to: string; readonly message: Message }[] = [];
  readonly packets: { readonly conversation: Conversation; readonly token: Uint8Array }[] = [];
  readonly cut = new Set<string>();
  readonly routes = new Map<string, string>();
  /** Identities an agent announces beyond those of its endpoints, and those it does not. */
  readonly lies = new Map<string, Set<bigint>>();
  readonly withheld = new Set<bigint>();
  nat: Nat = (conversation) => conversation;
  /** Where agents' connections come from. */
  readonly seen = new Map<string, readonly string[]>();
  /** Real addresses behind the ones packets arrive at. */
  nextFlow = 1;
  #random = 1;

  node(options: NodeOptions): Node {
    const node = new Node(this, options);
    this.nodes.set(node.name, node);
    return node;
  }

  connected(a: string, b: string): boolean {
    return !this.cut.has(`${a} ${b}`) && !this.cut.has(`${b} ${a}`) && this.nodes.has(b);
  }

  /** The connection breaks; what is on its way is lost. */
  disconnect(a: string, b: string): void {
    this.cut.add(`${a} ${b}`);
    for (let i = this.letters.length - 1; i >= 0; i--) {
      const { from, to } = this.letters[i]!;
      if ((from === a && to === b) || (from === b && to === a)) this.letters.splice(i, 1);
    }
  }

  connect(a: string, b: string): void {
    this.cut.delete(`${a} ${b}`);
    this.cut.delete(`${b} ${a}`);
    this.nodes.get(a)?.engine.connected(b);
    this.nodes.get(b)?.engine.connected(a);
  }

  agentAt(address: string): string | undefined {
    return [...this.routes].find(([prefix]) => address.startsWith(prefix))?.[1];
  }

  speaksFor(agent: string, identity: bigint): boolean {
    if (this.withheld.has(identity)) return false;
    if (this.lies.get(agent)?.has(identity) === true) return true;
    return this.nodes.get(agent)?.endpoints.some((one) => one.identity === identity) ?? false;
  }

  /** Through the wire's own form, so that what cannot be said is not said here either. */
  post(from: string, to: string, message: Message): void {
    for (const frame of new FrameReader(1 << 20).push(encode(message)))
      this.letters.push({ from, to, message: decode(frame) });
  }

  carry(conversation: Conversation, token: Uint8Array): void {
    this.packets.push({ conversation: this.nat(conversation), token });
  }

  /** What the kernel does with a packet that bears a token. */
  arrive({ conversation, token }: { conversation: Conversation; token: Uint8Array }): void {
    for (const node of this.nodes.values()) {
      const end = node.endpoints.find(({ address }) => address === conversation.destination.address);
      if (end === undefined) continue;
      const claim = node.claims.get(hex(token));
      if (claim === undefined || claim.expiresAt <= this.clock.now) return;
      if (claim.protocol !== conversation.protocol) return;
      if (claim.endpoint !== undefined && claim.endpoint !== end.endpoint) return;
      node.claims.delete(hex(token));
      node.engine.tokenArrived({ token, identity: claim.identity, endpoint: end.endpoint, conversation });
      return;
    }
  }

  deliver(index = 0): void {
    const [letter] = this.letters.splice(index, 1);
    if (letter !== undefined) this.nodes.get(letter.to)?.engine.message(letter.from, letter.message);
  }

  /** Everything that is on its way arrives, and what comes of it. */
  settle(): void {
    for (let i = 0; i < 100_000 && (this.letters.length > 0 || this.packets.length > 0); i++) {
      if (this.letters.length > 0) this.deliver();
      else this.arrive(this.packets.shift()!);
    }
  }

  randomBytes(size: number): Uint8Array {
    const bytes = Buffer.alloc(size);
    for (let i = 0; i < size; i++) {
      this.#random = (Math.imul(this.#random, 1_103_515_245) + 12_345) >>> 0;
      bytes[i] = this.#random >>> 16;
    }
    return bytes;
  }
}

export function udp(source: string, sourcePort: number, destination: string, destinationPort: number): Conversation {
  return {
    protocol: 17,
    source: { address: source, port: sourcePort },
    destination: { address: destination, port: destinationPort },
  };
}

function announced(id: bigint): AnnouncedIdentity {
  const workload = { namespace: 'test', kind: 'Service', name: formatIdentity(id) };
  return { id, workload, container: '', labels: {}, ports: [] };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

export const WEB = 0x11n;
export const DATABASE = 0x22n;

/** Two nodes with a container each: `web` at 10.1.0.2 on node1, `database` at 10.2.0.3 on node2. */
export function twoNodes(options: { one?: Partial<NodeOptions>; two?: Partial<NodeOptions> } = {}) {
  const network = new Network();
  network.routes.set('10.1.', 'node1');
  network.routes.set('10.2.', 'node2');
  network.routes.set('203.0.113.2', 'node2');
  network.seen.set('node1', ['198.51.100.7']);
  const one = network.node({ name: 'node1', ...options.one });
  const two = network.node({ name: 'node2', ...options.two });
  const web = one.run('web', WEB, '10.1.0.2');
  const database = two.run('database', DATABASE, '10.2.0.3');
  const conversation = udp('10.1.0.2', 4000, '10.2.0.3', 53);
  return { network, clock: network.clock, one, two, web, database, conversation };
}
