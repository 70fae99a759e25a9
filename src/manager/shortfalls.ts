/** Nodes whose agent sees fewer containers of a policy than run there: of a runtime it does not ask, or cannot see into. */

/** What a node reports of a policy, and what its kubelet says. */
export interface Shortfall {
  readonly node: string;
  /** Containers its agent sees. */
  readonly reported: number;
  /** Containers that run. */
  readonly running: number;
  /** Pods they are in. */
  readonly pods: number;
}

/** What was found of one policy. */
export interface FoundShortfalls {
  readonly short: readonly Shortfall[];
  /** Nodes that have the policy, short of containers or not. */
  readonly settled: ReadonlySet<string>;
  /** Was said when it was last written: by a former leader, where this one looks for the first time. */
  readonly said: boolean;
}

/** By policy, by node. */
export type Lasting = ReadonlyMap<string, ReadonlyMap<string, Shortfall>>;

/**
 * How long a node must be short of containers before it is said, and not be so before it is unsaid: kubelets and agents tell
 * of a container's beginning and end seconds apart. Milliseconds.
 */
export const LASTING_MS = 60_000;

interface Known {
  readonly shortfall: Shortfall;
  /** Without a look between at which it was not so. */
  readonly since: number;
  readonly seen: number;
  readonly lasting: boolean;
}

/** Remembers between looks which nodes are short of containers, and for how long. */
export class Shortfalls {
  #known = new Map<string, ReadonlyMap<string, Known>>();

  /**
   * @param found all policies there are; others are forgotten
   * @param now milliseconds of a clock that never jumps
   */
  look(found: ReadonlyMap<string, FoundShortfalls>, now: number): Lasting {
    const before = this.#known;
    this.#known = new Map();
    const lasting = new Map<string, ReadonlyMap<string, Shortfall>>();
    for (const [policy, one] of found) {
      const nodes = next(before.get(policy), one, now);
      if (nodes.size === 0) continue;
      this.#known.set(policy, nodes);
      const told = [...nodes].flatMap(([node, known]) => (known.lasting ? [[node, known.shortfall] as const] : []));
      if (told.length > 0) lasting.set(policy, new Map(told));
    }
    return lasting;
  }
}

function next(
  before: ReadonlyMap<string, Known> | undefined,
  { short, settled, said }: FoundShortfalls,
  now: number,
): Map<string, Known> {
  const nodes = new Map<string, Known>();
  for (const shortfall of short) {
    const known = before?.get(shortfall.node);
    const since = known?.since ?? now;
    const lasting = known?.lasting === true || (before === undefined && said) || now - since >= LASTING_MS;
    nodes.set(shortfall.node, { shortfall, since, seen: now, lasting });
  }
  for (const [node, known] of before ?? []) {
    // Whoever begins is seen by agents first, and may hide for a moment who is not seen at all.
    const held = known.lasting && settled.has(node) && now - known.seen < LASTING_MS;
    if (held && !nodes.has(node)) nodes.set(node, known);
  }
  return nodes;
}
