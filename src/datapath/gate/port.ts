/** What may be asked of the gate, which keeps new containers from their first instruction: bpf/gate.bpf.c. */
import type { GatePatterns } from './automaton.ts';

export interface GateOptions extends GatePatterns {
  /** New containers wait. */
  readonly on: boolean;
  /** The agent counts as gone this long after its last heartbeat, milliseconds. */
  readonly staleAfterMs: number;
  /** The process with whose end the agent is gone at once; this one unless told. */
  readonly agent?: number;
  /** Without an agent: containers begin unjudged, or wait for the next agent. */
  readonly whenStale: 'open' | 'closed';
  /** A container for which there is no room: begins unjudged, or is killed. */
  readonly whenFull: 'open' | 'kill';
}

/** A container whose first process was stopped. Times are milliseconds since the epoch. */
export interface WaitingContainer {
  /** Id of its cgroup. */
  readonly cgroup: bigint;
  /** The cgroup's own name, which has the container's id in it where the runtime gives it one. */
  readonly name: string;
  readonly createdAt: number;
  readonly stoppedAt: number;
  /** Of the process that was stopped first. */
  readonly pid: number;
}

/** How a container's waiting ended. */
export interface GateOpening {
  /** Processes that were continued, or killed. */
  readonly processes: number;
  /** From when the first process was stopped, milliseconds; absent where it was no longer among those that wait. */
  readonly heldMs?: number;
  /** Why some of them could not be reached. They are known still: `unreached`. */
  readonly error?: Error;
}

/** How often each thing was done since the maps were made. */
export interface GateCounters {
  /** Processes stopped. */
  readonly stopped: bigint;
  /** Let go, because there was no agent. */
  readonly stale: bigint;
  /** Let go, because there was no room. */
  readonly full: bigint;
  /** Killed, because there was no room. */
  readonly killed: bigint;
  /** Continued by somebody beside the runtime, and stopped again. */
  readonly continued: bigint;
  /** Continued by somebody in another container, and killed. */
  readonly condemned: bigint;
  /** Attempts at continuing or tracing a stopped process that BPF LSM refused. */
  readonly refused: bigint;
  /** Runs of the runtimes' helpers. */
  readonly helpers: bigint;
  /** Processes the kernel would not stop. */
  readonly unstoppable: bigint;
}

export interface Gate {
  /** Why nobody can be stopped here; undefined where everybody can. */
  readonly missing: string | undefined;
  /** BPF LSM refuses whoever else would continue or trace what waits; without it that is answered afterwards. */
  readonly guarded: boolean;
  /** From now on; what waits already goes on waiting. @throws GatePatternError */
  configure(options: GateOptions): void;
  /** Containers with a stopped process, be it by an earlier agent's time. */
  waiting(): readonly WaitingContainer[];
  /** One of them; undefined where it does not wait, or nothing of it was stopped yet. */
  find(cgroup: bigint): WaitingContainer | undefined;
  /** Containers that were let go, of which not all could be reached: to be let go again. */
  unreached(): ReadonlySet<bigint>;
  /** Lets a container go: what is stopped goes on, what comes later is not stopped. */
  open(cgroup: bigint): GateOpening;
  /** Kills what is stopped of a container. Its cgroup goes on waiting: what comes later is stopped, too. */
  kill(cgroup: bigint): GateOpening;
  /** Nothing waits any more, and nothing will. */
  openAll(): void;
  counters(): GateCounters;
}

/** What the kernel tells of the gate. */
export interface GateRecord {
  readonly kind: 'gate';
  readonly time: number;
  readonly operation: 'stopped' | 'stale' | 'full' | 'killed' | 'continued' | 'condemned' | 'refused';
  /** Of the container. */
  readonly cgroup: bigint;
  readonly name: string;
  readonly pid: number;
  /** Cgroup of whoever continued it; else its own, which may lie below the container's. */
  readonly by: bigint;
}
