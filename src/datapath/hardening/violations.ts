/** What was not simply allowed, as the kernel counts it. */
import type { ViolationCount } from '../hardening-port.ts';
import type { ViolationCounter, ViolationKey } from '../layouts.gen.ts';
import type { HardeningMaps } from './tables.ts';

/** In the rule of a key: a staged one. Numbers of rules have 31 bits. */
const STAGED = 0x8000_0000;
/** Stands for the rules that there was no room for; there always is for it. */
export const OTHER_RULES = 0x7fff_ffff;

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

  /** Makes room for what there will be no room for. To be called before the subject is judged. */
  prepare(subject: number): void {
    const key = { subject, rule: OTHER_RULES };
    if (this.#table.has(key)) return;
    this.#table.set(key, { count: 0n, last: 0n, refilled: 0n, budget: 0, suppressed: 0 });
  }

  /** Those of containers that are gone have an empty name, and are one for each rule. */
  counters(): readonly ViolationCount[] {
    return [
      ...[...this.#table.entries()]
        .filter(([, { count }]) => count > 0n)
        .map(([{ subject, rule }, value]) => this.#count(this.#names.containerName(subject), rule, value)),
      ...[...this.#gone].map(([rule, value]) => this.#count('', rule, value)),
    ];
  }

  /** Keeps only sums of all but these subjects. */
  retain(subjects: ReadonlySet<number>): void {
    const stale: ViolationKey[] = [];
    for (const [key, value] of this.#table.entries()) {
      if (subjects.has(key.subject)) continue;
      stale.push(key);
      if (value.count === 0n) continue;
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
