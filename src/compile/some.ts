/**
 * The most that any identity may: what `Slot.Some` is asked while nobody knows yet who is at the other end. It must
 * allow whatever somebody could be allowed, and may allow more: the real decision follows, before any payload.
 */
import { Verdict } from '../model/verdict.ts';
import type { Fallback, PortRule } from './classes.ts';
import { isAdminRank } from './rank.ts';
import type { CompiledRule, Outcome, PortSpan } from './rules.ts';

/** What a class is built from, and text that is the same for the same class. */
export interface SomePeer {
  readonly rules: readonly PortRule[];
  readonly fallback: Fallback;
  readonly ingredients: string;
}

/** A rule as it is seen without knowing the peer; rules that say the same have the same key. */
interface Seen {
  readonly key: string;
  readonly rule: PortRule;
}

/** Of rules that are no longer in any policy nothing is kept. */
const known = new WeakMap<CompiledRule, Seen | 'nothing'>();

/**
 * Rules that allow an identity, whoever it is, and those that deny every identity. That a rule denies some by name is no
 * reason to refuse the others. Allowed is allowed, by whatever rule: policies that differ in nothing else make one class.
 * Whom an administrator's rule passes no later one of them denies, by name or by address.
 * @param rules in the order in which they decide
 */
export function somePeer(rules: readonly CompiledRule[], fallback: Fallback): SomePeer {
  const seen = new Map<string, PortRule>();
  let passed: number | undefined;
  for (const rule of rules) {
    if (rule.outcome.verdict === Verdict.None) passed ??= rule.outcome.rank;
    const found = seenOf(rule);
    if (found === 'nothing' || (passed !== undefined && isAdminDeny(rule.outcome))) continue;
    const [key, before] = passed === undefined ? [found.key, found.rule] : asPassed(found, passed);
    if (!seen.has(key)) seen.set(key, before);
  }
  const general = {
    enforced: rankedBefore(generalized(fallback.enforced), passed),
    staged: rankedBefore(generalized(fallback.staged), passed),
  };
  return {
    rules: [...seen.values()],
    fallback: general,
    ingredients: [JSON.stringify(general), ...seen.keys()].join('\n'),
  };
}

function isAdminDeny({ rank, verdict }: Outcome): boolean {
  return verdict === Verdict.Deny && isAdminRank(rank);
}

function asPassed({ key, rule }: Seen, passed: number): readonly [key: string, rule: PortRule] {
  return [`${key} ${passed}`, { ...rule, outcome: rankedBefore(rule.outcome, passed) }];
}

/** What is allowed after somebody was passed is allowed whatever administrators say of addresses. */
function rankedBefore(outcome: Outcome, passed: number | undefined): Outcome {
  if (passed === undefined || outcome.verdict === Verdict.Deny || outcome.rank < passed) return outcome;
  return { ...outcome, rank: passed };
}

function seenOf(rule: CompiledRule): Seen | 'nothing' {
  let seen = known.get(rule);
  if (seen === undefined) {
    seen = see(rule);
    known.set(rule, seen);
  }
  return seen;
}

function see({ outcome, staged, anyPeer, anyIdentity, selectors, spans, names }: CompiledRule): Seen | 'nothing' {
  if (outcome.verdict === Verdict.None) return 'nothing';
  const allows = outcome.verdict !== Verdict.Deny;
  if (!anyPeer && !anyIdentity && !(allows && selectors.length > 0)) return 'nothing';
  const general = generalized(outcome);
  // A port's name may stand for any port of the peer; what is denied by such a name may be denied to nobody.
  const named = allows ? names.map(({ protocol }): PortSpan => ({ protocol, first: 0, last: 65_535 })) : [];
  const all = spans === undefined ? undefined : [...spans, ...named];
  const key = JSON.stringify([general, staged, all?.map(({ protocol, first, last }) => [protocol, first, last])]);
  return { key, rule: all === undefined ? { outcome: general, staged } : { outcome: general, staged, spans: all } };
}

function generalized(outcome: Outcome): Outcome {
  if (outcome.verdict === Verdict.Deny) return { rank: outcome.rank, rule: outcome.rule, verdict: outcome.verdict };
  return { rank: outcome.rank, rule: 0, verdict: Verdict.Allow };
}
