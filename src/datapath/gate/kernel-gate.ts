/** The gate's tables in the kernel. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { BpfError, BpfMap, PerCpuMap, TypedMap, U32, U64 } from '../../libbpf/index.ts';
import type { Clock } from '../clock.ts';
import {
  GateCount,
  GateFlags,
  GateLayout,
  GateOperation,
  type Gate as GateRow,
  GateSettingsLayout,
  type Held,
  HeldLayout,
} from '../layouts.gen.ts';
import type { Programs } from '../programs.ts';
import { compileGatePatterns } from './automaton.ts';
import type { Gate, GateCounters, GateOpening, GateOptions, WaitingContainer } from './port.ts';
import { globalPid, isHeld, signalHeld } from './processes.ts';

export const GATE_OBJECT = 'gate.bpf.o';

/** Programs that keep containers waiting; `STOP_AGAIN` is left out before Linux 6.13. */
export const GATE_PROGRAMS = ['gate_exec', 'stay_stopped', 'agent_ended'] as const;
export const STOP_AGAIN = 'stop_again';

/** Refuses whoever would let go what waits; only with BPF LSM. */
export const GATE_LSM_OBJECT = 'gate-lsm.bpf.o';
export const GATE_LSM_PROGRAMS = ['keep_waiting', 'keep_untraced'] as const;

/** Tables of gate.bpf.o, none of them there where the kernel cannot load it. */
export const GATE_MAPS = [
  'gates',
  'held_processes',
  'gate_refused',
  'gate_settings',
  'gate_automata',
  'gate_counts',
] as const;

const ROW = 0;
const NS_PER_MS = 1_000_000n;

interface Rows {
  readonly gates: TypedMap<bigint, GateRow>;
  readonly held: TypedMap<number, Held>;
}

/** Of a kernel that has the programs. */
class KernelGate implements Gate {
  readonly missing = undefined;
  readonly guarded: boolean;
  readonly #rows: Rows;
  readonly #settings;
  readonly #automata: BpfMap;
  readonly #counts: PerCpuMap<number, bigint>;
  readonly #clock: Clock;

  constructor(map: (name: (typeof GATE_MAPS)[number]) => BpfMap, clock: Clock, guarded: boolean) {
    this.guarded = guarded;
    this.#rows = rowsOf(map);
    this.#settings = new TypedMap(map('gate_settings'), U32, GateSettingsLayout);
    this.#automata = map('gate_automata');
    this.#counts = new PerCpuMap(map('gate_counts'), U32, U64);
    this.#clock = clock;
  }

  configure(options: GateOptions): void {
    const { automaton: former = 0 } = this.#settings.get(ROW) ?? {};
    // The one not in force is written, then put in the other's place.
    const automaton = 1 - (former & 1);
    const { bytes, start } = compileGatePatterns(options);
    const key = Buffer.alloc(U32.size);
    U32.write(automaton, key, 0);
    this.#automata.set(key, bytes);
    const flags =
      (options.on ? GateFlags.On : 0) |
      (options.whenStale === 'open' ? GateFlags.StaleOpen : 0) |
      (options.whenFull === 'kill' ? GateFlags.FullKill : 0);
    const staleAfter = BigInt(options.staleAfterMs) * NS_PER_MS;
    const agent = options.agent ?? globalPid();
    this.#settings.set(ROW, { staleAfter, flags, automaton, start, agent });
  }

  waiting(): readonly WaitingContainer[] {
    this.#forgetEnded();
    return [...this.#rows.gates.entries()].flatMap(([cgroup, row]) => this.#waitingContainer(cgroup, row) ?? []);
  }

  find(cgroup: bigint): WaitingContainer | undefined {
    const row = this.#rows.gates.get(cgroup);
    return row === undefined ? undefined : this.#waitingContainer(cgroup, row);
  }

  unreached(): ReadonlySet<bigint> {
    const owners = new Set([...this.#rows.held.entries()].map(([, { owner }]) => owner));
    for (const [, { owner }] of this.#rows.gates.entries()) owners.delete(owner);
    return owners;
  }

  open(cgroup: bigint): GateOpening {
    return openContainer(this.#rows, cgroup);
  }

  kill(cgroup: bigint): GateOpening {
    const held = heldMs(this.#rows.gates.get(cgroup));
    return { ...signalAll(this.#rows.held, cgroup, 'SIGKILL'), ...held };
  }

  openAll(): void {
    const settings = this.#settings.get(ROW);
    if (settings !== undefined) this.#settings.set(ROW, { ...settings, flags: settings.flags & ~GateFlags.On });
    openEverything(this.#rows);
  }

  counters(): GateCounters {
    const sum = (key: number): bigint => (this.#counts.get(key) ?? []).reduce((total, value) => total + value, 0n);
    return {
      stopped: sum(GateOperation.Stopped),
      stale: sum(GateOperation.Stale),
      full: sum(GateOperation.Full),
      killed: sum(GateOperation.Killed),
      continued: sum(GateOperation.Continued),
      condemned: sum(GateOperation.Condemned),
      refused: sum(GateOperation.Refused),
      helpers: sum(GateCount.Helper),
      unstoppable: sum(GateCount.Unstoppable),
    };
  }

  #waitingContainer(cgroup: bigint, { owner, name, created, stopped, pid }: GateRow): WaitingContainer | undefined {
    if (owner !== cgroup || stopped === 0n) return undefined;
    const [createdAt, stoppedAt] = [this.#clock.wall(created), this.#clock.wall(stopped)];
    return { cgroup, name, createdAt, stoppedAt, pid };
  }

  /** Stopped processes that were killed meanwhile leave their entries. */
  #forgetEnded(): void {
    for (const [pid, { start }] of this.#rows.held.entries()) {
      if (!isHeld(pid, start)) this.#rows.held.delete(pid);
    }
  }
}

/** Of a kernel that cannot stop anybody. */
class NoGate implements Gate {
  readonly guarded = false;
  readonly missing: string;

  constructor(missing: string) {
    this.missing = missing;
  }

  configure(): void {}
  openAll(): void {}

  waiting(): readonly WaitingContainer[] {
    return [];
  }

  find(): undefined {
    return undefined;
  }

  unreached(): ReadonlySet<bigint> {
    return new Set();
  }

  open(): GateOpening {
    return { processes: 0 };
  }

  kill(): GateOpening {
    return { processes: 0 };
  }

  counters(): GateCounters {
    return {
      stopped: 0n,
      stale: 0n,
      full: 0n,
      killed: 0n,
      continued: 0n,
      condemned: 0n,
      refused: 0n,
      helpers: 0n,
      unstoppable: 0n,
    };
  }
}

export interface GateParts {
  readonly programs: Programs;
  /** Hangs programs by their names where they belong, in place of an earlier agent's. */
  readonly attach: (names: readonly string[]) => void;
  /** BPF LSM programs are asked on this kernel. */
  readonly lsm: boolean;
  readonly clock: Clock;
}

/** Attaches what there is; an earlier agent's settings stay in force until `configure`. */
export function openGate({ programs, attach, lsm, clock }: GateParts): Gate {
  const missing = programs.missing.get(GATE_OBJECT);
  if (missing !== undefined) return new NoGate(missing);
  attach([...GATE_PROGRAMS, STOP_AGAIN]);
  return new KernelGate(programs.map, clock, lsm && attachLsm(programs, attach));
}

function attachLsm(programs: Programs, attach: GateParts['attach']): boolean {
  try {
    programs.load(GATE_LSM_OBJECT, () => {});
    attach(GATE_LSM_PROGRAMS);
    return true;
  } catch (error) {
    if (error instanceof BpfError) return false;
    throw error;
  }
}

/**
 * Lets go what waits in the tables pinned in a directory, if there are any and they are as we know them. For when the
 * programs that stopped it are gone.
 */
export function openPinnedGate(directory: string): void {
  const path = (name: string): string => join(directory, name);
  if (!existsSync(path('gates')) || !existsSync(path('held_processes'))) return;
  const maps = new Map(['gates', 'held_processes'].map((name) => [name, BpfMap.openPinned(path(name))]));
  try {
    openEverything(rowsOf((name) => maps.get(name)!));
  } catch (error) {
    if (!(error instanceof BpfError) || error.code !== 'LAYOUT') throw error;
  } finally {
    for (const map of maps.values()) map.close();
  }
}

function rowsOf(map: (name: 'gates' | 'held_processes') => BpfMap): Rows {
  return {
    gates: new TypedMap(map('gates'), U64, GateLayout),
    held: new TypedMap(map('held_processes'), U32, HeldLayout),
  };
}

/** The entry goes first: a program that stops a process after this looks for it, and continues that one itself. */
function openContainer(rows: Rows, cgroup: bigint): GateOpening {
  const held = heldMs(rows.gates.get(cgroup));
  rows.gates.delete(cgroup);
  const reached = signalAll(rows.held, cgroup, 'SIGCONT');
  // Those below wait for nobody any more, and only take room.
  rows.gates.deleteAll([...rows.gates.entries()].filter(([, { owner }]) => owner === cgroup).map(([key]) => key));
  return { ...reached, ...held };
}

function openEverything(rows: Rows): void {
  const owners = new Set([...rows.gates.entries()].map(([, { owner }]) => owner));
  for (const [, { owner }] of rows.held.entries()) owners.add(owner);
  for (const owner of owners) openContainer(rows, owner);
}

function heldMs(row: GateRow | undefined): { heldMs?: number } {
  if (row === undefined || row.stopped === 0n) return {};
  return { heldMs: Number(process.hrtime.bigint() - row.stopped) / Number(NS_PER_MS) };
}

/** All that can be reached are, whatever keeps others from it. */
function signalAll(held: Rows['held'], cgroup: bigint, signal: 'SIGCONT' | 'SIGKILL'): GateOpening {
  let processes = 0;
  let failure: Error | undefined;
  for (const [pid, { owner, start }] of held.entries()) {
    if (owner !== cgroup) continue;
    try {
      if (signalHeld(pid, start, signal)) processes += 1;
      held.delete(pid);
    } catch (error) {
      failure ??= error instanceof Error ? error : new Error(String(error));
    }
  }
  return failure === undefined ? { processes } : { processes, error: failure };
}
