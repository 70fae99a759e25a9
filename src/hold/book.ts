/** What waits, and how much of it: flows in the order they began, and what each endpoint and each pair has waiting. */
import type { IpPacket } from './packet.ts';
import type { DropReason, HeldFlow, HoldLimits, HoldOptions } from './port.ts';
import type { Destination } from './rewrite.ts';

/** A packet that waits. */
export interface Waiting {
  readonly packet: IpPacket;
  /** Where its container sent it, if that is told. `untold`: connection tracking is to be asked. */
  readonly original: Destination | 'untold' | undefined;
}

/** The first packet of a flow. */
export interface First extends Waiting {
  /** It waits in the kernel's queue, until a token has taken its place; else it was taken from its sender. */
  readonly queued: Queued | undefined;
}

/** A packet in the queue. */
export interface Queued {
  readonly id: number;
  readonly mark: number;
}

/** A packet to be sent from here, complete. */
export interface Outgoing {
  readonly bytes: Buffer;
  readonly version: 4 | 6;
  readonly divisible: number;
  /** No packet of the container's. */
  readonly isToken: boolean;
}

/** Packets and bytes of somebody that wait. */
interface Account {
  packets: number;
  bytes: number;
}

export interface FlowStart {
  readonly key: string;
  readonly endpoint: string;
  /** The remote address. */
  readonly remote: string;
  /** What others know of it; `tagged` ends when a packet comes that bears no tag. */
  readonly told: HeldFlow & { tagged: boolean };
  /** Milliseconds by a clock that never goes back. */
  readonly began: number;
  readonly first: First;
  /** Bytes of the first packet. */
  readonly size: number;
}

/** A flow that waits. */
export interface Flow extends FlowStart {
  /** Taken out of the queue when they came: met with connection tracking before the first one, they would get a mapping of their own. */
  readonly further: Waiting[];
  readonly accounts: readonly [peer: Account, endpoint: Account, node: Account];
  packets: number;
  bytes: number;
  /** Where the first packet waits in the kernel; undefined: it does not, or has left with a token in the place of its payload. */
  queued: Queued | undefined;
}

const FULL = ['peer-full', 'endpoint-full', 'node-full'] as const satisfies readonly DropReason[];

/**
 * Flows, their packets, and the bounds of both. A flow has one packet at least, so the bounds on packets bound the flows
 * too.
 */
export class Book {
  readonly #limits: readonly [peer: HoldLimits, endpoint: HoldLimits, node: HoldLimits];
  /** By id, in the order they began, which is that of their deadlines. */
  readonly #flows = new Map<number, Flow>();
  readonly #keys = new Map<string, Flow>();
  readonly #endpoints = new Map<string, Account>();
  readonly #peers = new Map<string, Account>();
  readonly #node: Account = { packets: 0, bytes: 0 };

  constructor({ perPeer, perEndpoint, node }: HoldOptions['limits']) {
    this.#limits = [perPeer, perEndpoint, node];
  }

  get size(): number {
    return this.#flows.size;
  }

  get waiting(): Readonly<Account> {
    return this.#node;
  }

  find(key: string): Flow | undefined {
    return this.#keys.get(key);
  }

  get(id: number): Flow | undefined {
    return this.#flows.get(id);
  }

  flows(): IterableIterator<Flow> {
    return this.#flows.values();
  }

  /** The one whose deadline comes first. */
  oldest(): Flow | undefined {
    return this.#flows.values().next().value;
  }

  /** Which bound a packet of a new flow would break; undefined: none. */
  refusalOf(endpoint: string, remote: string, size: number): (typeof FULL)[number] | undefined {
    return this.#refusal([this.#peers.get(`${endpoint}\0${remote}`), this.#endpoints.get(endpoint), this.#node], size);
  }

  /** Which bound another packet of the flow would break. */
  refusalIn(flow: Flow, size: number): (typeof FULL)[number] | undefined {
    return this.#refusal(flow.accounts, size);
  }

  #refusal(accounts: readonly (Account | undefined)[], size: number): (typeof FULL)[number] | undefined {
    for (const [place, reason] of FULL.entries()) {
      const limit = this.#limits[place];
      const account = accounts[place];
      if (limit === undefined) continue;
      if ((account?.packets ?? 0) + 1 > limit.packets || (account?.bytes ?? 0) + size > limit.bytes) return reason;
    }
    return undefined;
  }

  /** Of a packet that no bound refuses. */
  begin(start: FlowStart): Flow {
    const accounts = [
      accountOf(this.#peers, `${start.endpoint}\0${start.remote}`),
      accountOf(this.#endpoints, start.endpoint),
      this.#node,
    ] as const;
    const { queued } = start.first;
    const flow: Flow = { ...start, further: [], accounts, packets: 0, bytes: 0, queued };
    this.#flows.set(start.told.id, flow);
    this.#keys.set(start.key, flow);
    count(flow, start.size);
    return flow;
  }

  /** Of a packet that no bound refuses. */
  add(flow: Flow, packet: Waiting, size: number): void {
    flow.further.push(packet);
    count(flow, size);
  }

  /** False: it has gone already. */
  remove(flow: Flow): boolean {
    if (!this.#flows.delete(flow.told.id)) return false;
    this.#keys.delete(flow.key);
    for (const account of flow.accounts) {
      account.packets -= flow.packets;
      account.bytes -= flow.bytes;
    }
    const [peer, endpoint] = flow.accounts;
    if (peer.packets === 0) this.#peers.delete(`${flow.endpoint}\0${flow.remote}`);
    if (endpoint.packets === 0) this.#endpoints.delete(flow.endpoint);
    return true;
  }
}

function accountOf(accounts: Map<string, Account>, key: string): Account {
  let account = accounts.get(key);
  if (account === undefined) {
    account = { packets: 0, bytes: 0 };
    accounts.set(key, account);
  }
  return account;
}

function count(flow: Flow, size: number): void {
  flow.packets += 1;
  flow.bytes += size;
  for (const account of flow.accounts) {
    account.packets += 1;
    account.bytes += size;
  }
}
