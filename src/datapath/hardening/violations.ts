/** What was not simply allowed, as the kernel counts it. */
import type { ViolationCount } from '../hardening-port.ts';
import type { ViolationCounter, ViolationKey } from '../layouts.gen.ts';
import type { HardeningMaps } from './tables.ts';

/** In the rule of a key: a staged one. */
const STAGED = 0x8000_0000;

export interface ViolationNames {
  readonly containerName: (subject: number) => string;
  readonly wallClock: (monotonic: bigint) => number;
}

export class Violations {
  readonly #table: HardeningMaps['violations'];
  readonly #names: ViolationNames;
  /** Of containers that are gone, so that sums never fall; by the rule of the key. */
  readonly #gone = new Map<number, ViolationCounter>();

  constructor(table: HardeningMaps['violations'], names: ViolationNames) {
    this.#table = table;
    this.#names = names;
  }

  /** Those of containers that are gone have an empty name, and are one for each rule. */
  counters(): readonly ViolationCount[] {
    return [
      ...[...this.#table.entries()].map(([{ subject, rule }, value]) =>
        this.#count(this.#names.containerName(subject), rule, value),
      ),
      ...[...this.#gone].map(([rule, value]) => this.#count('', rule, value)),
    ];
  }

  /** Keeps only sums of all but these subjects. */
  retain(subjects: ReadonlySet<number>): void {
    const stale: ViolationKey[] = [];
    for (const [key, value] of this.#table.entries()) {
      if (subjects.has(key.subject)) continue;
      stale.push(key);
      const before = this.#gone.get(key.rule);
      const count = value.count + (before?.count ?? 0n);
      this.#gone.set(key.rule, { ...(before === undefined || before.last < value.last ? value : before), count });
    }
    this.#table.deleteAll(stale);
  }

  #count(container: string, rule: number, { count, last }: ViolationCounter): ViolationCount {
    const staged = (rule & STAGED) !== 0;
    return { container, rule: (rule & ~STAGED) >>> 0, staged, count, lastAt: this.#names.wallClock(last) };
  }
}
