import { FILE_ACCESSES, type FileAccess } from '../model/hardening.ts';
import { Verdict } from '../model/verdict.ts';
import { lowestReachable, predecessorsOf, reachable, stepOf } from './automaton/graph.ts';
import type { Dfa } from './automaton/index.ts';
import type { Ruling } from './rulings.ts';

const SLASH = 0x2f;
const NONE = 0x7fffffff;

/** What an object could be used for that lies elsewhere: nobody may take it from where that is denied him to where not. */
export const USES: readonly FileAccess[] = ['read', 'write', 'create', 'delete', 'attributes', 'execute', 'connect'];

/** Numbers of those accesses. */
const ACCESSES = USES.map((access) => FILE_ACCESSES.indexOf(access));

/** An enforced denial: its place in the order of rules, the rule, and whom it is for. */
export interface Denial {
  readonly order: number;
  readonly rule: number;
  readonly mask: bigint;
}

/** What is denied of objects of which the rules say the same. */
export interface Denials {
  /** Accesses as bits: denied to somebody. */
  readonly guards: number;
  /** Denied to everybody. */
  readonly keeps: number;
  /** By rules, the first to decide first. */
  readonly rules: readonly Denial[];
  /** Something is denied by default. */
  readonly byDefault: boolean;
}

/** What a directory takes along is judged by: `moving`, `guards` and `keeps` of `struct match`. */
export interface Moving {
  readonly list: readonly Ruling[];
  readonly guards: number;
  readonly keeps: number;
}

/**
 * What the lists of an object deny.
 * @param lists by access
 * @param orderOf the place of a rule in the order in which rules decide
 */
export function denialsOf(lists: readonly (readonly Ruling[])[], orderOf: (rule: number) => number): Denials {
  let guards = 0;
  let keeps = 0;
  let byDefault = false;
  const rules = new Map<string, Denial>();
  for (const access of ACCESSES) {
    const list = lists[access]!.filter(({ verdict }) => verdict !== Verdict.None);
    const denied = list.filter(({ verdict }) => verdict === Verdict.Deny);
    if (denied.length > 0) guards |= 1 << access;
    if (denied.length === list.length) keeps |= 1 << access;
    for (const { rule, executables: mask } of denied) {
      if (rule === 0) byDefault = true;
      else rules.set(`${rule} ${mask}`, { order: orderOf(rule), rule, mask });
    }
  }
  return { guards, keeps, rules: [...rules.values()].sort((a, b) => a.order - b.order), byDefault };
}

/** Where the same holds of all that lies below. */
export function movingOf({ rules, byDefault, guards, keeps }: Denials): Moving {
  return { list: guards === 0 ? [] : movingList(rules, byDefault), guards, keeps };
}

/**
 * What is denied of what lies below, for every state. What is denied of the object itself the kernel asks its own lists.
 * @param denials by label of the automaton; that of label 0 is the defaults'
 */
export function movings(dfa: Dfa, denials: readonly Denials[]): (state: number) => Moving {
  const fallback = movingOf(denials[0]!);
  if (denials.every(({ guards }) => guards === 0)) return () => fallback;
  const before = predecessorsOf(dfa);
  const below = Uint32Array.from({ length: dfa.size }, (_, state) => stepOf(dfa, state, SLASH));
  /** Several accesses are mostly denied by the same rules. */
  const known = new Map<string, Uint8Array>();
  const reaches = (holds: (one: Denials) => boolean): Uint8Array => {
    const labels = denials.map((one) => (holds(one) ? 1 : 0));
    const key = labels.join('');
    const reached = known.get(key) ?? reachable(before, (state) => labels[dfa.labels[state]!] === 1);
    known.set(key, reached);
    return reached;
  };
  const guards = new Uint32Array(dfa.size);
  const keeps = new Uint32Array(dfa.size);
  for (const access of ACCESSES) {
    const bit = 1 << access;
    const some = reaches((one) => (one.guards & bit) !== 0);
    const notAll = reaches((one) => (one.keeps & bit) === 0);
    for (let state = 0; state < dfa.size; state++) {
      if (some[below[state]!] === 1) guards[state]! |= bit;
      if (notAll[below[state]!] === 0) keeps[state]! |= bit;
    }
  }
  const defaults = reaches((one) => one.byDefault);
  const firsts = firstDenials(dfa, before, denials);
  return (state) => {
    if (guards[state] === 0) return { list: [], guards: 0, keeps: 0 };
    const list = movingList(firsts(below[state]!), defaults[below[state]!] === 1);
    return { list, guards: guards[state]!, keeps: keeps[state]! };
  };
}

/** For each bearer the first denial of those that can be reached from a state. */
function firstDenials(
  dfa: Dfa,
  before: ReturnType<typeof predecessorsOf>,
  denials: readonly Denials[],
): (state: number) => readonly Denial[] {
  const all = new Map<number, Denial>();
  for (const { rules } of denials) for (const rule of rules) all.set(rule.order, rule);
  const lowest = (means: (denial: Denial) => boolean): Int32Array => {
    const byLabel = denials.map(({ rules }) => rules.find(means)?.order ?? NONE);
    const own = Int32Array.from({ length: dfa.size }, (_, state) => byLabel[dfa.labels[state]!]!);
    return lowestReachable(before, own, NONE);
  };
  const everybody = lowest(({ mask }) => mask === 0n);
  const used = [...all.values()].reduce((bits, { mask }) => bits | mask, 0n);
  const bits: Int32Array[] = [];
  for (let bit = 0n; bit < 64n; bit++) {
    if ((used & (1n << bit)) !== 0n) bits.push(lowest(({ mask }) => (mask & (1n << bit)) !== 0n));
  }
  return (state) => {
    const found = new Map<number, Denial>();
    for (const best of [everybody, ...bits]) {
      const denial = all.get(best[state]!);
      if (denial !== undefined) found.set(denial.order, denial);
    }
    return [...found.values()].sort((a, b) => a.order - b.order);
  };
}

/** The denials as rulings, up to the first that means everybody. */
function movingList(denials: readonly Denial[], byDefault: boolean): readonly Ruling[] {
  const list: Ruling[] = [];
  let settled = 0n;
  for (const { rule, mask } of denials) {
    if (mask !== 0n && (mask & ~settled) === 0n) continue;
    list.push(same(mask, rule, Verdict.Deny));
    if (mask === 0n) return list;
    settled |= mask;
  }
  list.push(same(0n, 0, byDefault ? Verdict.Deny : Verdict.Allow));
  return list;
}

function same(executables: bigint, rule: number, verdict: number): Ruling {
  return { executables, rule, stagedRule: rule, verdict, stagedVerdict: verdict };
}
