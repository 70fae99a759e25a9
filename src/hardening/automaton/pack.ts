import { CELL_BITS, CELL_BYTES, CELLS, MATCH_HEAD, MATCH_SINK, viewOfPage } from '../format.ts';
import type { ProfilePages } from '../pages.ts';
import { DEAD, type Dfa } from './dfa.ts';
import { Places } from './places.ts';

/** States nearest the start that are put beside each other: every path goes through some of them. */
const NEAR = 600;
/** Pages that rows may still be put into. */
const OPEN = 3;
/** A row that fits nowhere in a page this full closes it. */
const FULL = 0.97;

/** Where an automaton lies in its pages. */
export interface Packed {
  /** Number of the start. */
  readonly start: number;
  readonly states: number;
  readonly cells: number;
}

/**
 * Writes the rows of an automaton into pages: one between the cells of others, at the first place where it fits.
 * @param matchOf reference of the match of each state, 0 for none
 * @throws HardeningError PATTERNS where there are too many pages
 */
export function pack(dfa: Dfa, matchOf: (state: number) => number, pages: ProfilePages): Packed {
  const order = nearFirst(dfa);
  const numbers = new Uint32Array(dfa.size);
  let open: { page: number; places: Places }[] = [];
  let cells = 0;
  for (const state of order) {
    const offsets = [0, ...dfa.bytes.slice(dfa.first[state]!, dfa.first[state + 1]!)];
    cells += offsets.length;
    let base = -1;
    let page = 0;
    for (const one of open) {
      base = one.places.take(offsets);
      page = one.page;
      if (base >= 0) break;
    }
    if (base < 0) {
      open = open.filter(({ places }) => places.used < CELLS * FULL).slice(1 - OPEN);
      page = pages.addPage();
      const places = new Places();
      open.push({ page, places });
      base = places.take(offsets);
    }
    numbers[state] = (page << CELL_BITS) | base;
  }
  const views = new Map<number, DataView>();
  for (const state of order) {
    const page = numbers[state]! >>> CELL_BITS;
    const view = views.get(page) ?? viewOfPage(pages.pages[page]!);
    views.set(page, view);
    writeRow(view, dfa, state, numbers, matchOf(state));
  }
  return { start: numbers[dfa.start]!, states: order.length, cells };
}

function writeRow(view: DataView, dfa: Dfa, state: number, numbers: Uint32Array, match: number): void {
  const base = numbers[state]! & (CELLS - 1);
  const write = (cell: number, next: number, owner: number): void => {
    view.setUint32(cell * CELL_BYTES, next, true);
    view.setUint32(cell * CELL_BYTES + 4, owner, true);
  };
  const fallback = dfa.defaults[state]!;
  const [from, end] = [dfa.first[state]!, dfa.first[state + 1]!];
  const sink = fallback === state && from === end;
  write(base, numbers[fallback]!, MATCH_HEAD | (sink ? MATCH_SINK : 0) | match);
  for (let i = from; i < end; i++) write(base + dfa.bytes[i]!, numbers[dfa.targets[i]!]!, base);
}

/** All states that can be reached: those near the start by distance, the others branch by branch. */
function nearFirst(dfa: Dfa): number[] {
  const seen = new Uint8Array(dfa.size);
  seen[DEAD] = 1;
  seen[dfa.start] = 1;
  const order = [dfa.start];
  const visit = (state: number, found: (next: number) => void): void => {
    for (let i = dfa.first[state]!; i <= dfa.first[state + 1]!; i++) {
      const next = i < dfa.first[state + 1]! ? dfa.targets[i]! : dfa.defaults[state]!;
      if (seen[next] === 1) continue;
      seen[next] = 1;
      found(next);
    }
  };
  let at = 0;
  for (; at < order.length && order.length < NEAR; at++) visit(order[at]!, (next) => order.push(next));
  const near = order.length;
  for (; at < near; at++) {
    const stack = [order[at]!];
    for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
      if (state !== order[at]) order.push(state);
      visit(state, (next) => stack.push(next));
    }
  }
  return order;
}
