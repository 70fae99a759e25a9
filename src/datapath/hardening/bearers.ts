/** Tasks that were there before their container was hardened, and how many bear each subject. */
import type { BpfLink, BpfProgram } from '../../libbpf/index.ts';

/** Goes over all tasks, and prints a line for each that bears a subject. */
export const ADOPTER = 'adopt_bearers';

/** A pass may miss what a task that had no bearer yet made meanwhile; the next finds it. */
const PASSES_MOST = 16;
/** Bytes: a line is at most 24, and a machine has at most 4,194,304 threads. */
const MOST_PRINTED = 128 << 20;

/** Threads by subject. */
export type TaskCounts = ReadonlyMap<number, number>;

export interface Bearers {
  /** Gives a bearer to every task of a hardened cgroup that has none. Rejects with `BpfError` or `RangeError`. */
  adopt(): Promise<TaskCounts>;
  close(): void;
}

export class KernelBearers implements Bearers {
  readonly #program: BpfProgram;
  #link: BpfLink | undefined;

  constructor(program: BpfProgram) {
    this.#program = program;
  }

  async adopt(): Promise<TaskCounts> {
    this.#link ??= this.#program.attach();
    for (let pass = 0; pass < PASSES_MOST; pass++) {
      const { counts, fresh, refused } = readPass(await this.#link.iterate({ most: MOST_PRINTED }));
      if (refused > 0) throw new RangeError(`The kernel has no memory to tell whose ${refused} tasks are`);
      if (fresh === 0) return counts;
    }
    throw new RangeError(`Tasks that nobody knows go on to appear after ${PASSES_MOST} looks`);
  }

  close(): void {
    this.#link?.close();
  }
}

/** Reads what one pass printed: `thread subject outcome`, the outcome 0 (it bore it), 1 (it does now) or an errno. */
export function readPass(printed: string): {
  readonly counts: ReadonlyMap<number, number>;
  readonly fresh: number;
  readonly refused: number;
} {
  const counts = new Map<number, number>();
  let fresh = 0;
  let refused = 0;
  for (const line of printed.split('\n')) {
    if (line === '') continue;
    const [, subject, outcome] = line.split(' ').map(Number);
    if (subject === undefined || outcome === undefined) continue;
    if (outcome < 0) refused += 1;
    else counts.set(subject, (counts.get(subject) ?? 0) + 1);
    if (outcome === 1) fresh += 1;
  }
  return { counts, fresh, refused };
}
