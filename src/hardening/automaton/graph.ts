import type { Dfa } from './dfa.ts';

/** Where a byte leads from a state. */
export function stepOf(dfa: Dfa, state: number, byte: number): number {
  let low = dfa.first[state]!;
  const end = dfa.first[state + 1]!;
  let high = end;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (dfa.bytes[middle]! < byte) low = middle + 1;
    else high = middle;
  }
  return low < end && dfa.bytes[low] === byte ? dfa.targets[low]! : dfa.defaults[state]!;
}

/** Who leads to each state, whatever the byte; the dead state too. */
export interface Predecessors {
  /** `size + 1` numbers. */
  readonly first: Uint32Array;
  readonly states: Uint32Array;
}

export function predecessorsOf(dfa: Dfa): Predecessors {
  const { size, first, targets, defaults } = dfa;
  const counts = new Uint32Array(size + 1);
  for (const target of targets) counts[target + 1]!++;
  for (const target of defaults) counts[target + 1]!++;
  for (let i = 0; i < size; i++) counts[i + 1]! += counts[i]!;
  const states = new Uint32Array(targets.length + size);
  const at = counts.slice();
  for (let state = 0; state < size; state++) {
    states[at[defaults[state]!]!++] = state;
    for (let i = first[state]!; i < first[state + 1]!; i++) states[at[targets[i]!]!++] = state;
  }
  return { first: counts, states };
}

/** 1 for every state from which one that holds can be reached, itself included. */
export function reachable({ first, states }: Predecessors, holds: (state: number) => boolean): Uint8Array {
  const reached = new Uint8Array(first.length - 1);
  const queue: number[] = [];
  for (let state = 0; state < reached.length; state++) {
    if (!holds(state)) continue;
    reached[state] = 1;
    queue.push(state);
  }
  for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
    for (let i = first[state]!; i < first[state + 1]!; i++) {
      const before = states[i]!;
      if (reached[before] === 1) continue;
      reached[before] = 1;
      queue.push(before);
    }
  }
  return reached;
}

/**
 * For every state the lowest value of those it can reach, itself included.
 * @param own of each state; `none` where it has no value
 */
export function lowestReachable({ first, states }: Predecessors, own: Int32Array, none: number): Int32Array {
  const best = new Int32Array(own.length).fill(none);
  const seeds = [...own.keys()].filter((state) => own[state] !== none).sort((a, b) => own[a]! - own[b]!);
  const queue: number[] = [];
  for (const seed of seeds) {
    if (best[seed] !== none) continue;
    const value = own[seed]!;
    best[seed] = value;
    queue.push(seed);
    for (let state = queue.pop(); state !== undefined; state = queue.pop()) {
      for (let i = first[state]!; i < first[state + 1]!; i++) {
        const before = states[i]!;
        if (best[before] !== none) continue;
        best[before] = value;
        queue.push(before);
      }
    }
  }
  return best;
}
