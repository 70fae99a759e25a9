import type { Dfa } from './dfa.ts';
import { classesOf } from './refine.ts';

/**
 * Makes states one that lead to the same and say the same: the fewest states there can be, unless those that are on
 * circles would take too long to compare.
 */
export function minimise(dfa: Dfa): Dfa {
  const { result, circles } = mergeLeavesFirst(dfa);
  if (!circles) return result;
  const classes = classesOf(result);
  if (classes === undefined) return result;
  const standing = new Uint32Array(result.size);
  const firsts = new Map<number, number>();
  for (let state = 0; state < result.size; state++) {
    const first = firsts.get(classes[state]!) ?? state;
    firsts.set(classes[state]!, first);
    standing[state] = first;
  }
  return renumbered(result, standing);
}

/** One pass from the leaves up. It is exact for states that are on no circle but one of their own. */
function mergeLeavesFirst(dfa: Dfa): { result: Dfa; circles: boolean } {
  const { size, first, bytes, targets, defaults, labels } = dfa;
  const { order, alone } = leavesFirst(dfa);
  /** Which state stands for each. */
  const standing = new Uint32Array(size);
  const known = new Map<string, number>();
  const row: number[] = [];
  for (const state of order) {
    standing[state] = state;
    if (alone[state] === 0 || state === 0) continue;
    row.length = 0;
    const named = (target: number): number => (target === state ? -1 : standing[target]!);
    row.push(labels[state]!, named(defaults[state]!));
    for (let i = first[state]!; i < first[state + 1]!; i++) row.push(bytes[i]!, named(targets[i]!));
    const key = row.join();
    const like = known.get(key);
    if (like === undefined) known.set(key, state);
    else standing[state] = like;
  }
  return { result: renumbered(dfa, standing), circles: alone.includes(0) };
}

/** Keeps the states that stand for others, in their order. */
function renumbered(dfa: Dfa, standing: Uint32Array): Dfa {
  const { size, first } = dfa;
  const numbers = new Uint32Array(size);
  let next = 0;
  for (let state = 0; state < size; state++) if (standing[state] === state) numbers[state] = next++;
  const nameOf = (state: number): number => numbers[standing[state]!]!;
  const result = {
    start: nameOf(dfa.start),
    size: next,
    first: [0],
    bytes: [] as number[],
    targets: [] as number[],
    defaults: [] as number[],
    labels: [] as number[],
  };
  for (let state = 0; state < size; state++) {
    if (standing[state] !== state) continue;
    const fallback = nameOf(dfa.defaults[state]!);
    result.defaults.push(fallback);
    result.labels.push(dfa.labels[state]!);
    for (let i = first[state]!; i < first[state + 1]!; i++) {
      const target = nameOf(dfa.targets[i]!);
      // States that have become one with the default need no transition of their own.
      if (target === fallback) continue;
      result.bytes.push(dfa.bytes[i]!);
      result.targets.push(target);
    }
    result.first.push(result.bytes.length);
  }
  return result;
}

/** The states, each after all it leads to; and whether a state leads back to itself by no other (Tarjan). */
function leavesFirst({ size, first, targets, defaults }: Dfa): { order: readonly number[]; alone: Uint8Array } {
  const order: number[] = [];
  const alone = new Uint8Array(size);
  const index = new Uint32Array(size);
  const low = new Uint32Array(size);
  const open = new Uint8Array(size);
  const stack: number[] = [];
  const path: number[] = [];
  /** The next transition to follow of each state on the path; the last one is the default. */
  const at = new Uint32Array(size);
  let count = 0;
  const enter = (state: number): void => {
    index[state] = low[state] = ++count;
    open[state] = 1;
    at[state] = first[state]!;
    stack.push(state);
    path.push(state);
  };
  for (let root = 0; root < size; root++) {
    if (index[root] !== 0) continue;
    enter(root);
    while (path.length > 0) {
      const state = path[path.length - 1]!;
      const end = first[state + 1]!;
      if (at[state]! <= end) {
        const next = at[state]! < end ? targets[at[state]!]! : defaults[state]!;
        at[state]!++;
        if (index[next] === 0) enter(next);
        else if (open[next] === 1) low[state] = Math.min(low[state]!, index[next]!);
        continue;
      }
      path.pop();
      const before = path[path.length - 1];
      if (before !== undefined) low[before] = Math.min(low[before]!, low[state]!);
      if (low[state] !== index[state]) continue;
      const single = stack[stack.length - 1] === state;
      for (let one = stack.pop()!; ; one = stack.pop()!) {
        open[one] = 0;
        alone[one] = single ? 1 : 0;
        order.push(one);
        if (one === state) break;
      }
    }
  }
  return { order, alone };
}
