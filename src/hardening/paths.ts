import { FILE_ACCESSES, type FileAccess, type Posture } from '../model/hardening.ts';
import { type AutomatonLimits, automatonOf, type Packed, type Pattern, pack } from './automaton/index.ts';
import type { Clause } from './clauses.ts';
import { type Denials, denialsOf, type Moving, movingOf, movings } from './moving.ts';
import type { ProfilePages } from './pages.ts';
import { allowsAll, type Fallback, keyOfRulings, type Ruling, rulingsOf, type Say } from './rulings.ts';

/** Which default is about which access. */
export const POSTURE_OF: Readonly<Record<FileAccess, Posture>> = {
  read: 'files',
  write: 'files',
  create: 'files',
  delete: 'files',
  attributes: 'files',
  execute: 'execution',
  mount: 'mounts',
  connect: 'sockets',
  bind: 'sockets',
};

/** A clause with the bits of its executables. */
export type MaskedClause = Clause & Say;

export interface PathTables {
  /** 0 where no rule is about paths. */
  readonly start: number;
  /** Accesses that any rule or default has anything to say about but "allow", as bits. */
  readonly accesses: number;
  /** References by access, 0: allowed. */
  readonly defaults: readonly number[];
  readonly moving: number;
  readonly guards: number;
  readonly keeps: number;
  readonly packed: Packed;
}

/** What the rules say of a kind of path: a list for each access they speak of. */
interface Said {
  readonly lists: readonly (readonly Ruling[] | undefined)[];
}

/**
 * Writes the automaton of paths.
 * @param clauses in the order in which they decide
 * @param fallbacks by access
 * @throws HardeningError PATTERN or PATTERNS
 */
export function writePaths(
  clauses: readonly MaskedClause[],
  fallbacks: readonly Fallback[],
  pages: ProfilePages,
  limits?: AutomatonLimits,
): PathTables {
  const labels = new PathLabels(clauses, fallbacks);
  const dfa = automatonOf(labels.patterns(), (accepts) => labels.labelOf(accepts), limits);
  const defaults = fallbacks.map((fallback) => rulingsOf([], fallback));
  const order = new Map<number, number>();
  for (const [i, { id }] of clauses.entries()) if (!order.has(id)) order.set(id, i);
  const denials: Denials[] = labels.said.map(({ lists }) =>
    denialsOf(
      lists.map((list, access) => list ?? defaults[access]!),
      (rule) => order.get(rule)!,
    ),
  );
  const fallback = movingOf(denials[0]!);
  const movingOfState = movings(dfa, denials);
  const listOf = (list: readonly Ruling[]): number => (list.length === 0 ? 0 : pages.rulings(list));
  const references = labels.said.map(({ lists }) =>
    lists.map((list) => (list === undefined ? 0 : pages.rulings(list))),
  );
  const matchOf = (state: number): number => {
    const label = dfa.labels[state]!;
    const moving = movingOfState(state);
    if (label === 0 && sameMoving(moving, fallback)) return 0;
    const { guards, keeps } = moving;
    return pages.match({ rulings: references[label]!, moving: listOf(moving.list), guards, keeps, executables: 0n });
  };
  // Rules without a path leave the automaton with a start that leads nowhere.
  const packed = dfa.bytes.length === 0 ? { start: 0, states: 0, cells: 0 } : pack(dfa, matchOf, pages);
  return {
    start: packed.start,
    accesses: spokenOf([{ lists: defaults }, ...labels.said]),
    defaults: defaults.map((list) => (allowsAll(list) ? 0 : pages.rulings(list))),
    moving: listOf(fallback.list),
    guards: fallback.guards,
    keeps: fallback.keeps,
    packed,
  };
}

function spokenOf(said: readonly Said[]): number {
  return FILE_ACCESSES.reduce(
    (bits, _, access) =>
      said.some(({ lists }) => lists[access] !== undefined && !allowsAll(lists[access])) ? bits | (1 << access) : bits,
    0,
  );
}

function sameMoving(a: Moving, b: Moving): boolean {
  return (
    a.guards === b.guards &&
    a.keeps === b.keeps &&
    a.list.length === b.list.length &&
    a.list.every((ruling, i) => ruling.rule === b.list[i]!.rule && ruling.executables === b.list[i]!.executables)
  );
}

/** Numbers for what is said of paths: one for each set of targets that match. */
class PathLabels {
  /** By label; 0 is nothing. */
  readonly said: Said[] = [{ lists: FILE_ACCESSES.map(() => undefined) }];
  /** By the targets that match. */
  readonly #labels = new Map<string, number>();
  /** By what is said. */
  readonly #lists = new Map<string, number>();
  readonly #targets: { clause: MaskedClause; target: PathTarget }[];
  readonly #fallbacks: readonly Fallback[];

  constructor(clauses: readonly MaskedClause[], fallbacks: readonly Fallback[]) {
    this.#fallbacks = fallbacks;
    this.#targets = clauses.flatMap((clause) =>
      clause.targets.filter((target) => target.type === 'paths').map((target) => ({ clause, target })),
    );
  }

  /** The target's number doubled is what its paths accept, one more what its exceptions do. */
  *patterns(): Generator<Pattern> {
    for (const [i, { target }] of this.#targets.entries()) {
      for (const text of target.paths) yield { text, accept: 2 * i };
      for (const text of target.except) yield { text, accept: 2 * i + 1 };
    }
  }

  labelOf(accepts: readonly number[]): number {
    const found = new Set(accepts);
    const matched = accepts.filter((accept) => accept % 2 === 0 && !found.has(accept + 1));
    if (matched.length === 0) return 0;
    const key = matched.join();
    const known = this.#labels.get(key);
    if (known !== undefined) return known;
    const targets = matched.map((accept) => this.#targets[accept / 2]!);
    const lists = FILE_ACCESSES.map((access, i) => {
      const clauses = targets.filter(({ target }) => target.access.includes(access)).map(({ clause }) => clause);
      return clauses.length === 0 ? undefined : rulingsOf(clauses, this.#fallbacks[i]!);
    });
    // Many sets of rules come down to the same: then the first of them decides everything.
    const text = lists.map((list) => (list === undefined ? '' : keyOfRulings(list))).join(' ');
    const label = this.#lists.get(text) ?? this.said.push({ lists }) - 1;
    this.#lists.set(text, label);
    this.#labels.set(key, label);
    return label;
  }
}

type PathTarget = Extract<Clause['targets'][number], { type: 'paths' }>;
