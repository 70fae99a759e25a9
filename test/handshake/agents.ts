/** Real agents' handshakes over TLS on loopback, with nodes and kernels in memory. */

import { entryKey } from '../../src/handshake/entries.ts';
import {
  type AgentSettings,
  type Credentials,
  type Handshake,
  type HandshakeOptions,
  openHandshake,
} from '../../src/handshake/index.ts';
import type { Claim, VerifiedPeer } from '../../src/handshake/kernel.ts';
import { MESH_TIMING } from '../../src/handshake/mesh.ts';
import type { AnnouncedIdentity, HandshakeRecord, HeldFlow } from '../../src/handshake/port.ts';
import type { Conversation } from '../../src/model/conversation.ts';
import { deriveIdentity } from '../../src/model/identity.ts';

export const DOMAIN = 'test.example';

/** Fast enough for tests: nothing here is about how long. */
export const QUICK = {
  connection: { ...MESH_TIMING.connection, hello: 400, ping: 100, silence: 500 },
  backoff: { least: 20, most: 200 },
  certificates: 50,
};

export interface AgentOptions extends Partial<Omit<HandshakeOptions, 'name' | 'credentials'>> {
  readonly credentials: Credentials | (() => Credentials);
  /** How many containers run here, at 10.N.0.1 and so on. */
  readonly endpoints?: number;
  /** It is not known yet what runs here. */
  readonly unready?: boolean;
}

/** A node with its agent. `number` is its place in addresses. */
export class TestAgent {
  readonly name: string;
  readonly number: number;
  readonly identities: AnnouncedIdentity[] = [];
  readonly entries = new Map<string, VerifiedPeer>();
  readonly claims = new Map<string, Claim>();
  readonly held = new Map<number, HeldFlow>();
  readonly released: number[] = [];
  readonly records: HandshakeRecord[] = [];
  readonly troubles: string[] = [];
  readonly handshake: Handshake;
  /** What a token's packet does when it leaves. */
  carry: (conversation: Conversation, token: Uint8Array) => void = () => {};
  changes = 0;
  #nextFlow = 1;

  constructor(number: number, { credentials, endpoints = 1, unready = false, ...options }: AgentOptions) {
    this.name = `node${number}`;
    this.number = number;
    for (let i = 1; i <= endpoints; i++) this.identities.push(identity(number, i));
    const end = (address: string) => {
      const match = /^10\.(\d+)\.0\.(\d+)$/.exec(address);
      const one = Number(match?.[1]) === number ? this.identities[Number(match?.[2]) - 1] : undefined;
      return one === undefined ? undefined : { endpoint: address, identity: one.id, shared: false };
    };
    this.handshake = openHandshake({
      domain: DOMAIN,
      agents: [],
      now: Date.now,
      meshTiming: QUICK,
      onRecord: (record) => this.records.push(record),
      onTrouble: (agent, error) => this.troubles.push(`${agent ?? '?'}: ${error.message}`),
      onIdentities: () => {
        this.changes += 1;
      },
      policy: { decide: () => ({ allowed: true, rule: '' }), restricts: () => true },
      node: {
        senderAt: ({ address }) => end(address),
        receiverAt: ({ address, port }) => {
          const found = end(address);
          return found === undefined ? undefined : { ...found, port };
        },
        mayLeadHere: () => false,
        endpoint: (id) => end(id),
        identities: () => [...this.identities],
      },
      kernel: {
        verify: (peers) => {
          for (const peer of peers) this.entries.set(entryKey(peer), peer);
        },
        forget: (peers) => {
          for (const peer of peers) this.entries.delete(entryKey(peer));
        },
        usedAt: (peers) => peers.map((peer) => this.entries.get(entryKey(peer))?.usedAt ?? 0),
        claim: (claims) => {
          for (const claim of claims) this.claims.set(Buffer.from(claim.token).toString('hex'), claim);
        },
        unclaim: (tokens) => {
          for (const token of tokens) this.claims.delete(Buffer.from(token).toString('hex'));
        },
      },
      held: {
        sendToken: (id, token) => {
          const flow = this.held.get(id);
          if (flow !== undefined) this.carry(flow.conversation, token);
          return flow !== undefined;
        },
        release: (id) => {
          if (!this.held.delete(id)) return false;
          this.released.push(id);
          return true;
        },
        drop: (id) => this.held.delete(id),
      },
      ...options,
      name: this.name,
      credentials: typeof credentials === 'function' ? credentials : () => credentials,
    });
    if (!unready) this.handshake.endpointsChanged();
  }

  async port(): Promise<number> {
    const at = await this.handshake.listening;
    if (at === undefined) throw new Error(`${this.name} does not listen`);
    return at.port;
  }

  hold(conversation: Conversation): HeldFlow {
    const flow = { id: this.#nextFlow++, conversation, tagged: false, since: Date.now() };
    this.held.set(flow.id, flow);
    this.handshake.heldFlow(flow);
    return flow;
  }

  /** What the kernel does with a packet that bears a token. */
  arrive(conversation: Conversation, token: Uint8Array): void {
    const claim = this.claims.get(Buffer.from(token).toString('hex'));
    if (claim === undefined) return;
    const { identity: whose } = claim;
    this.handshake.tokenArrived({ token, identity: whose, endpoint: conversation.destination.address, conversation });
  }

  state(of: string): string | undefined {
    return this.handshake.agents().find(({ name }) => name === of)?.state;
  }
}

export function identity(node: number, which: number): AnnouncedIdentity {
  const workload = { namespace: 'shop', kind: 'Service', name: `n${node}-${which}` };
  return { ...deriveIdentity(DOMAIN, { workload, container: '', labels: {} }), ports: [] };
}

export function peer(number: number, port: number | undefined, more: Partial<AgentSettings> = {}): AgentSettings {
  return {
    name: `node${number}`,
    address: port === undefined ? '' : `127.0.0.1:${port}`,
    cidrs: [`10.${number}.0.0/16`],
    workloads: ['*/*/*'],
    direct: false,
    ...more,
  };
}

/** Waits until it is so; says what it waited for when it is not. */
export async function until(what: string, condition: () => boolean, ms = 5_000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Not in ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
