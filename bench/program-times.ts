/** What the kernel says of its time in our programs. It counts only while `enableStatistics` is on. */

import { enableStatistics } from '../src/libbpf/index.ts';
import type { Agent } from './agent.ts';

export interface ProgramTimes {
  readonly runs: number;
  readonly nanoseconds: number;
}

/** Of the programs with such names, during some work; statistics cost some nanoseconds a run. */
export async function timesDuring(
  agents: readonly Agent[],
  names: RegExp,
  work: () => Promise<unknown>,
): Promise<ProgramTimes> {
  const statistics = enableStatistics();
  try {
    const before = await times(agents, names);
    await work();
    const after = await times(agents, names);
    return { runs: after.runs - before.runs, nanoseconds: after.nanoseconds - before.nanoseconds };
  } finally {
    statistics.close();
  }
}

async function times(agents: readonly Agent[], names: RegExp): Promise<ProgramTimes> {
  const all = await Promise.all(agents.map((agent) => agent.status()));
  const programs = all.flatMap(({ datapath }) => datapath.programs).filter(({ name }) => names.test(name));
  return {
    runs: programs.reduce((sum, { runCount }) => sum + runCount, 0),
    nanoseconds: programs.reduce((sum, { runTimeNs }) => sum + runTimeNs, 0),
  };
}
