/** Signals to exactly the processes that were stopped. */
import { closeSync, readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { BpfError, openPidfd, signalPidfd } from '../../libbpf/index.ts';

/** USER_HZ: the unit of start times in /proc, 100 a second on every architecture Linux has with cgroup2 and BTF. */
const NS_PER_TICK = 10_000_000n;

/** PROC_PID_INIT_INO: the same on every machine. */
const INITIAL_PID_NAMESPACE = 'pid:[4026531836]';

/** This process's number where the kernel's programs read it: in the initial pid namespace; 0 for one in another. */
export function globalPid(): number {
  return readlinkSync('/proc/self/ns/pid') === INITIAL_PID_NAMESPACE ? process.pid : 0;
}

/**
 * Sends a signal to the process with this pid if it is the one that was started then.
 * @param start ns after boot, as the kernel has it; /proc tells it to a hundredth of a second
 * @returns false where that process has ended
 */
export function signalHeld(pid: number, start: bigint, signal: 'SIGCONT' | 'SIGKILL'): boolean {
  let pidfd: number;
  try {
    pidfd = openPidfd(pid);
  } catch (error) {
    if (error instanceof BpfError && error.code === 'NOT_FOUND') return false;
    throw error;
  }
  try {
    // Read after it was opened: were the number given to another one since, the descriptor would be of the first.
    return startTicks(pid) === start / NS_PER_TICK && signalPidfd(pidfd, constants.signals[signal]);
  } finally {
    closeSync(pidfd);
  }
}

/** Whether that process is still there. */
export function isHeld(pid: number, start: bigint): boolean {
  return startTicks(pid) === start / NS_PER_TICK;
}

function startTicks(pid: number): bigint | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may contain anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : BigInt(fields[19] ?? 0);
  } catch {
    return undefined; // it has ended
  }
}
