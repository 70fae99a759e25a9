import { contentId } from '../compile/hash.ts';
import { FILE_ACCESSES, type HardeningPolicy, OPERATIONS, type Posture, type Target } from '../model/hardening.ts';
import { type AutomatonLimits, automatonOf, pack } from './automaton/index.ts';
import { type Boxes, ordered } from './boxes.ts';
import { type Clause, clausesOf, type HardeningRuleRef, type ReadyRules } from './clauses.ts';
import {
  MOUNTS,
  meansMount,
  meansNetwork,
  meansSocket,
  mountBoxes,
  NETWORKS,
  networkBoxes,
  SOCKETS,
  socketBoxes,
} from './criteria.ts';
import { HardeningError } from './error.ts';
import type { ExecutableBits } from './executables.ts';
import { CAPABILITIES, LIST_ENTRIES, OPERATION_NUMBERS, ProfileOffset, viewOfPage } from './format.ts';
import { type Head, writeHead } from './head.ts';
import { learningOf } from './learning.ts';
import { ProfilePages } from './pages.ts';
import { type MaskedClause, POSTURE_OF, writePaths } from './paths.ts';
import { allowsAll, type Fallback, fallbackOf, rulingsOf } from './rulings.ts';

export interface CompileOptions {
  /** Keeps the meaning of bits from compilation to compilation. */
  readonly executables: ExecutableBits;
  /** The catalogue. */
  readonly ready: ReadyRules;
  readonly limits?: AutomatonLimits;
}

/** What the kernel judges a container by. */
export interface CompiledProfile {
  /** Hash of the pages, never 0: equal profiles have the same. */
  readonly id: bigint;
  readonly pages: readonly Uint8Array[];
  readonly rules: ReadonlyMap<number, HardeningRuleRef>;
  /** Patterns of executables by their bits; "" for bits without a meaning here. */
  readonly executables: readonly string[];
  readonly size: { readonly states: number; readonly cells: number; readonly pages: number };
}

/**
 * Compiles all policies that select a container.
 * @throws HardeningError
 */
export function compileProfile(policies: readonly HardeningPolicy[], options: CompileOptions): CompiledProfile {
  return new Compilation(policies, options).run();
}

class Compilation {
  readonly #policies: readonly HardeningPolicy[];
  readonly #limits: AutomatonLimits | undefined;
  readonly #clauses: readonly MaskedClause[];
  readonly #executables: string[] = [];
  readonly #pages = new ProfilePages();

  constructor(policies: readonly HardeningPolicy[], { executables, ready, limits }: CompileOptions) {
    this.#policies = policies;
    this.#limits = limits;
    const clauses = clausesOf(policies, ready);
    const bits = executables.allocate(clauses.flatMap((clause) => clause.executables));
    for (const [selector, bit] of bits) this.#executables[bit] = selector;
    this.#clauses = clauses.map((clause) => ({
      ...clause,
      mask: clause.executables.reduce((mask, selector) => mask | (1n << BigInt(bits.get(selector)!)), 0n),
    }));
  }

  run(): CompiledProfile {
    const pages = this.#pages;
    const fallbacks = FILE_ACCESSES.map((access) => this.#fallback(POSTURE_OF[access]));
    const paths = writePaths(this.#clauses, fallbacks, pages, this.#limits);
    const executables = this.#writeExecutables();
    const head: Head = {
      lasting: this.#clauses.reduce((bits, { mask }) => bits | mask, 0n),
      start: paths.start,
      startExecutables: executables.start,
      accesses: paths.accesses,
      pages: pages.pages.length,
      defaults: paths.defaults,
      moving: { rulings: paths.moving, guards: paths.guards, keeps: paths.keeps },
      ...this.#capabilities(),
      ...this.#operations(),
      sockets: this.#list('socket', SOCKETS, socketBoxes, meansSocket),
      mounts: this.#list('mounts', MOUNTS, mountBoxes, meansMount),
      networks: this.#list('network', NETWORKS, networkBoxes, meansNetwork),
      socketDefault: this.#default('sockets'),
      mountDefault: this.#default('mounts'),
      networkDefault: this.#default('network'),
      learning: learningOf(this.#policies),
    };
    writeHead(pages.pages[0]!, { ...head, pages: pages.pages.length });
    const id = contentId(Buffer.concat(pages.pages));
    viewOfPage(pages.pages[0]!).setBigUint64(ProfileOffset.id, id, true);
    return {
      id,
      pages: pages.pages,
      rules: new Map(this.#clauses.map((clause) => [clause.id, refOf(clause)])),
      executables: Array.from(this.#executables, (selector) => selector ?? ''),
      size: {
        states: paths.packed.states + executables.states,
        cells: paths.packed.cells + executables.cells,
        pages: pages.pages.length,
      },
    };
  }

  #writeExecutables(): { start: number; states: number; cells: number } {
    if (this.#executables.length === 0) return { start: 0, states: 0, cells: 0 };
    const labels: bigint[] = [0n];
    const patterns = [...this.#executables.entries()]
      .filter(([, text]) => text !== undefined)
      .map(([accept, text]) => ({ text, accept }));
    const label = (accepts: readonly number[]): number =>
      labels.push(accepts.reduce((bits, bit) => bits | (1n << BigInt(bit)), 0n)) - 1;
    const known = new Map<string, number>();
    const labelOf = (accepts: readonly number[]): number => {
      const key = accepts.join();
      const found = known.get(key) ?? label(accepts);
      known.set(key, found);
      return found;
    };
    const dfa = automatonOf(patterns, labelOf, this.#limits);
    const rulings = FILE_ACCESSES.map(() => 0);
    const matchOf = (state: number): number => {
      const executables = labels[dfa.labels[state]!]!;
      return executables === 0n ? 0 : this.#pages.match({ rulings, moving: 0, guards: 0, keeps: 0, executables });
    };
    return pack(dfa, matchOf, this.#pages);
  }

  #fallback(posture: Posture): Fallback {
    return fallbackOf(this.#policies, posture);
  }

  #default(posture: Posture): number {
    return this.#rulings([], posture);
  }

  /** The reference of what the clauses say, 0 where that is "allowed" by default. */
  #rulings(clauses: readonly MaskedClause[], posture: Posture): number {
    const list = rulingsOf(clauses, this.#fallback(posture));
    return clauses.length === 0 && allowsAll(list) ? 0 : this.#pages.rulings(list);
  }

  #withTarget(holds: (target: Target) => boolean): readonly MaskedClause[] {
    return this.#clauses.filter(({ targets }) => targets.some(holds));
  }

  #capabilities(): Pick<Head, 'capabilities'> {
    const of = (within: 'container' | 'user-namespace'): number[] =>
      Array.from({ length: CAPABILITIES }, (_, number) => {
        const clauses = this.#withTarget(
          (target) =>
            target.type === 'capabilities' &&
            (target.within === 'any' || target.within === within) &&
            target.capabilities.includes(number),
        );
        return this.#rulings(clauses, 'capabilities');
      });
    return { capabilities: [of('container'), of('user-namespace')] };
  }

  #operations(): Pick<Head, 'operations'> {
    const operations = Array.from({ length: OPERATION_NUMBERS }, (_, number) => {
      const name = OPERATIONS[number];
      if (name === undefined) return 0;
      const clauses = this.#withTarget((target) => target.type === 'operations' && target.operations.includes(name));
      return this.#rulings(clauses, 'operations');
    });
    return { operations };
  }

  /** The rules of a class as the list that the kernel goes through. @throws HardeningError LIST */
  #list<T extends 'socket' | 'mounts' | 'network', B>(
    type: T,
    boxes: Boxes<B>,
    boxesOf: (target: Extract<Target, { type: T }>) => readonly B[],
    means: (target: Extract<Target, { type: T }>, box: B) => boolean,
  ): readonly { box: B; rulings: number }[] {
    const isMeant = (target: Target): target is Extract<Target, { type: T }> => target.type === type;
    const clauses = this.#withTarget(isMeant);
    const posture = ({ socket: 'sockets', mounts: 'mounts', network: 'network' } as const)[type];
    const entries = ordered(
      clauses.flatMap(({ targets }) => targets.filter(isMeant).flatMap(boxesOf)),
      boxes,
      (box) =>
        this.#pages.rulings(
          rulingsOf(
            clauses.filter(({ targets }) => targets.some((target) => isMeant(target) && means(target, box))),
            this.#fallback(posture),
          ),
        ),
      clauses.length === 0 ? 0 : this.#pages.rulings(rulingsOf([], this.#fallback(posture))),
    );
    if (entries === undefined || entries.length > LIST_ENTRIES) {
      throw new HardeningError('LIST', {
        attempted: `compile the rules of ${posture}`,
        reason: `with all that overlaps they are ${entries?.length ?? 'thousands'}, of at most ${LIST_ENTRIES}`,
        hint: 'Use fewer rules, or rules that overlap less',
        blamed: [...new Set(clauses.map(({ policy, rule }) => `${policy} ${rule}`))].slice(0, 8),
      });
    }
    return entries.map(({ box, said }) => ({ box, rulings: said }));
  }
}

function refOf(clause: Clause): HardeningRuleRef {
  const { kind, namespace, policy, rule, ready, action, mode, priority } = clause;
  return { kind, namespace, policy, rule, ...(ready === undefined ? {} : { ready }), action, mode, priority };
}
