/** Which bits stand for which executables, from one agent to the next: tasks bear them longer than any agent lives. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { EXECUTABLE_BITS, ExecutableBits } from '../../hardening/executables.ts';

/** Workloads that are remembered; those that were asked for last. */
const WORKLOADS_MOST = 4096;

const Remembered = z
  .array(z.tuple([z.string(), z.array(z.tuple([z.string(), z.int()])).max(EXECUTABLE_BITS)]))
  .max(WORKLOADS_MOST);

type Bits = readonly (readonly [selector: string, bit: number])[];

export interface BitsMemory {
  /** What the workload's bits have meant so far. */
  recall(workload: string): ExecutableBits;
  /** To be called before the kernel is told of a profile with these bits. */
  keep(workload: string, bits: ExecutableBits): void;
}

/** Remembers nothing. */
export const FORGETFUL: BitsMemory = { recall: () => new ExecutableBits(), keep: () => {} };

export class BitsFile implements BitsMemory {
  readonly #path: string;
  readonly #onFault: (error: Error) => void;
  /** Those used last come last. */
  readonly #known: Map<string, Bits>;

  /** @param onFault where the file cannot be read or written: bits may then mean something else after a restart */
  constructor(path: string, onFault: (error: Error) => void) {
    this.#path = path;
    this.#onFault = onFault;
    this.#known = this.#read();
  }

  recall(workload: string): ExecutableBits {
    return new ExecutableBits(this.#known.get(workload));
  }

  keep(workload: string, bits: ExecutableBits): void {
    const entries: Bits = [...bits.entries()];
    const same = JSON.stringify(this.#known.get(workload) ?? []) === JSON.stringify(entries);
    this.#known.delete(workload);
    this.#known.set(workload, entries);
    if (same) return;
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= WORKLOADS_MOST) break;
      this.#known.delete(oldest);
    }
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      writeFileSync(`${this.#path}.next`, JSON.stringify([...this.#known]), { mode: 0o600 });
      renameSync(`${this.#path}.next`, this.#path);
    } catch (error) {
      this.#onFault(error as Error);
    }
  }

  #read(): Map<string, Bits> {
    try {
      const known = new Map<string, Bits>(Remembered.parse(JSON.parse(readFileSync(this.#path, 'utf8'))));
      for (const bits of known.values()) new ExecutableBits(bits); // throws where they contradict each other
      return known;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#onFault(error as Error);
      return new Map();
    }
  }
}
