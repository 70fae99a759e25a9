import type { HardeningPolicy, Posture } from '../model/hardening.ts';
import { ACTION_ORDER, type Action, Verdict, verdictOf } from '../model/verdict.ts';
import type { Clause } from './clauses.ts';

/** `struct ruling`. */
export interface Ruling {
  /** Bits; 0n: whatever runs. */
  readonly executables: bigint;
  /** 0: a default's. */
  readonly rule: number;
  readonly stagedRule: number;
  /** `Verdict.None`: left to those that follow. */
  readonly verdict: number;
  readonly stagedVerdict: number;
}

/** What no rule spoke about, in both layers. */
export interface Fallback {
  readonly verdict: number;
  readonly stagedVerdict: number;
}

export const ALLOWED: Fallback = { verdict: Verdict.Allow, stagedVerdict: Verdict.Allow };

/** The strictest default of the policies; staged ones count in the staged layer only. */
export function fallbackOf(policies: readonly HardeningPolicy[], posture: Posture): Fallback {
  const strictest = (some: readonly HardeningPolicy[]): Action =>
    some
      .map((policy) => policy.defaults[posture] ?? 'Allow')
      .reduce((a, b) => (ACTION_ORDER[a] <= ACTION_ORDER[b] ? a : b), 'Allow');
  return {
    verdict: verdictOf(strictest(policies.filter((policy) => policy.mode === 'Enforce'))),
    stagedVerdict: verdictOf(strictest(policies)),
  };
}

/** A clause as far as rulings go. */
export interface Say extends Pick<Clause, 'id' | 'action' | 'mode'> {
  /** Bits; 0n: whatever runs. */
  readonly mask: bigint;
}

/**
 * The list of rulings that gives whatever bits a task bears what the first clause that means it says: in the enforced
 * layer of those that are enforced, in the staged layer of all. Ends with the first that means everybody.
 * @param clauses those that match, in the order in which they decide
 */
export function rulingsOf(clauses: readonly Say[], fallback: Fallback): readonly Ruling[] {
  const list: Ruling[] = [];
  /** Bits whose bearers have their answer in a layer already. */
  let settled = 0n;
  let stagedSettled = 0n;
  /** What everybody gets in the staged layer who has nothing there yet. */
  let everybody: { rule: number; verdict: number } | undefined;
  for (const { id, action, mode, mask } of clauses) {
    const verdict = verdictOf(action);
    const enforced = mode === 'Enforce';
    if (mask === 0n && enforced) {
      const staged = everybody ?? { rule: id, verdict };
      list.push({ executables: 0n, rule: id, stagedRule: staged.rule, verdict, stagedVerdict: staged.verdict });
      return list;
    }
    if (mask === 0n) {
      everybody ??= { rule: id, verdict };
      continue;
    }
    const speaks = enforced && (mask & ~settled) !== 0n;
    const speaksStaged = everybody === undefined && (mask & ~stagedSettled) !== 0n;
    const staged = speaksStaged ? { rule: id, verdict } : (everybody ?? { rule: 0, verdict: Verdict.None });
    if (!speaks && !speaksStaged) continue;
    list.push({
      executables: mask,
      rule: speaks ? id : 0,
      stagedRule: staged.rule,
      verdict: speaks ? verdict : Verdict.None,
      stagedVerdict: staged.verdict,
    });
    if (enforced) settled |= mask;
    stagedSettled |= mask;
  }
  const staged = everybody ?? { rule: 0, verdict: fallback.stagedVerdict };
  list.push({
    executables: 0n,
    rule: 0,
    stagedRule: staged.rule,
    verdict: fallback.verdict,
    stagedVerdict: staged.verdict,
  });
  return list;
}

/** True where the list allows everybody everything, in both layers. */
export function allowsAll(list: readonly Ruling[]): boolean {
  return list.every(
    ({ verdict, stagedVerdict }) =>
      (verdict === Verdict.Allow || verdict === Verdict.None) &&
      (stagedVerdict === Verdict.Allow || stagedVerdict === Verdict.None),
  );
}

/** Text by which equal lists are known. */
export function keyOfRulings(list: readonly Ruling[]): string {
  return list
    .map((r) => `${r.executables.toString(16)},${r.rule},${r.stagedRule},${r.verdict}${r.stagedVerdict}`)
    .join(';');
}
