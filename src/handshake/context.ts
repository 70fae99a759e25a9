/** What the state machines are given; nothing in them reaches for a clock, a socket or the kernel by itself. */
import type { GuardedKernel } from './guarded-kernel.ts';
import type { Limits, Timing } from './limits.ts';
import type { Message } from './messages.ts';
import type { Outcomes } from './outcomes.ts';
import type { HandshakeRecord, HeldFlows, KernelPeers, LocalNode, PolicyOracle, Result, Step } from './port.ts';
import type { Counters } from './statistics.ts';

/** Who speaks for what: `Directory`. */
export interface PeerAgents {
  /** Of the longest configured network with the address in it. */
  agentAt(address: string): string | undefined;
  /** Whether the agent has announced the identity, and may. */
  speaksFor(agent: string, identity: bigint): boolean;
  agentsOf(identity: bigint): readonly string[];
  /** `shop/Deployment/web`; undefined: nobody has announced it. */
  workloadOf(identity: bigint): string | undefined;
  /** Handshakes with this agent need no token, as far as this node is asked. */
  direct(agent: string): boolean;
}

/** Ways to the other agents: `Mesh`. */
export interface Post {
  connected(agent: string): boolean;
  /** There has been no connection for so long that nobody waits for one. */
  absent(agent: string): boolean;
  /** Where its connections come from, or lead to: canonical text. */
  addressesOf(agent: string): readonly string[];
  /** False: there is no connection. True: it has been queued, which is no promise. */
  send(agent: string, message: Message): boolean;
  /** The identity must be known to the others before it is named: announces what is new. */
  announce(identity: bigint): void;
}

/** Runs once, after so many milliseconds, unless the returned function is called first. */
export type Timer = (ms: number, run: () => void) => () => void;

export interface EngineOptions {
  /** This agent's node. */
  readonly name: string;
  readonly node: LocalNode;
  readonly policy: PolicyOracle;
  readonly kernel: KernelPeers;
  readonly held: HeldFlows;
  readonly agents: PeerAgents;
  readonly post: Post;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly timer: Timer;
  readonly randomBytes: (size: number) => Uint8Array;
  readonly timing: Timing;
  readonly limits: Limits;
  /** Who is refused by policy is not told. */
  readonly silent: boolean;
  readonly onRecord: (record: HandshakeRecord) => void;
  /** The kernel cannot be written. */
  readonly onFault: (error: Error) => void;
  /** How long a handshake took, for a histogram. */
  readonly onDuration: (end: 'source' | 'destination', result: Result, ms: number) => void;
}

/** What the machines share. */
export interface Context extends Omit<EngineOptions, 'kernel'> {
  readonly kernel: GuardedKernel;
  readonly outcomes: Outcomes;
  readonly counters: Counters;
  /** Tells how a handshake ended. */
  readonly record: (outcome: Outcome) => void;
}

/** A {@link HandshakeRecord} before names are put to it. */
export interface Outcome {
  readonly id: bigint;
  readonly end: 'source' | 'destination';
  readonly agent: string | undefined;
  readonly result: Result;
  readonly step: Step;
  readonly reason: string;
  readonly rule?: string;
  /** 0: not known. */
  readonly source: bigint;
  readonly destination: bigint;
  readonly conversation: HandshakeRecord['conversation'];
  /** When it began. */
  readonly since: number;
}

/** 16 hexadecimal digits, the same at both ends; empty for none. */
export function formatHandshake(id: bigint): string {
  return id === 0n ? '' : id.toString(16).padStart(16, '0');
}
