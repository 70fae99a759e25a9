/** Compiled profiles, each made once for the policies and the workload it is for. */
import type { HardeningRuleRef } from '../../hardening/clauses.ts';
import type { ExecutableBits } from '../../hardening/executables.ts';
import type { CompiledProfile, CompileOptions } from '../../hardening/profile.ts';
import type { HardeningPolicy } from '../../model/hardening.ts';
import { formatWorkload, type Workload } from '../../model/workload.ts';
import { type BitsMemory, FORGETFUL } from './memory.ts';

export type CompileProfile = (
  policies: readonly HardeningPolicy[],
  options: Pick<CompileOptions, 'executables'>,
) => CompiledProfile;

/** Profiles and the lists of policies they were made of; several workloads under the same policies share one. */
export class ProfileShelf {
  readonly #compile: CompileProfile;
  /** By the numbers of the policies and, where they tell executables apart, the workload. */
  #made = new Map<string, CompiledProfile>();
  #used = new Set<string>();
  /** Policies are values: the ledger gives the same object while nothing changes. */
  readonly #numbers = new WeakMap<HardeningPolicy, number>();
  #next = 1;
  /**
   * By workload. Bits keep their meaning, also from one agent to the next: a container's tasks bear them from one
   * profile to the next. Workloads are what users name; there are as many as have ever run on this node under such
   * policies.
   */
  readonly #bits = new Map<string, ExecutableBits>();

  readonly #memory: BitsMemory;

  constructor(compile: CompileProfile, memory = FORGETFUL) {
    this.#compile = compile;
    this.#memory = memory;
  }

  /** @throws HardeningError */
  profileOf(workload: Workload, policies: readonly HardeningPolicy[]): CompiledProfile {
    const tells = policies.some(({ rules }) => rules.some(({ executables }) => executables !== undefined));
    const owner = tells ? formatWorkload(workload) : '';
    const key = `${owner} ${policies.map((policy) => this.#numberOf(policy)).join()}`;
    this.#used.add(key);
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const bits = this.#bitsOf(owner);
    const profile = this.#compile(policies, { executables: bits });
    if (tells) this.#memory.keep(owner, bits);
    this.#made.set(key, profile);
    return profile;
  }

  /** By its number, as some profile here has it. */
  ruleOf(rule: number): HardeningRuleRef | undefined {
    for (const { rules } of this.#made.values()) {
      const found = rules.get(rule);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Different ones. */
  get size(): number {
    return new Set([...this.#made.values()].map(({ id }) => id)).size;
  }

  /** Forgets what nobody has asked for since the last call. */
  retain(): void {
    this.#made = new Map([...this.#made].filter(([key]) => this.#used.has(key)));
    this.#used = new Set();
  }

  #numberOf(policy: HardeningPolicy): number {
    const known = this.#numbers.get(policy);
    if (known !== undefined) return known;
    this.#numbers.set(policy, this.#next);
    return this.#next++;
  }

  #bitsOf(owner: string): ExecutableBits {
    const known = this.#bits.get(owner) ?? this.#memory.recall(owner);
    this.#bits.set(owner, known);
    return known;
  }
}
