/**
 * What comes of an administrator's rule that passes: no other of theirs decides, and the tiers below do.
 *
 * The kernel asks what a peer may by its name, and what it may by its address, and takes the answer of lower rank. Where
 * somebody is passed by name before a rule of the same tier for addresses, the answer by name must come before that rule
 * and is given its own rank's place there; what the tiers below say of addresses then comes too late. What they deny
 * is taken for meant, so that nothing is allowed that should not be. The same where an address is passed before a rule
 * for names. The translation tells of such policies (`PASS_BEFORE` in its problems).
 */
import { Verdict } from '../model/verdict.ts';
import type { Beside, PortRule } from './classes.ts';
import { isAdminRank, RANK_DEFAULT } from './rank.ts';
import type { Outcome } from './rules.ts';

/** A layer's rules, taken apart; each list in the order in which they decide. */
export interface Bands {
  /** Of administrators. */
  readonly upper: readonly PortRule[];
  readonly lower: readonly PortRule[];
  /** The lower ones, and those that deny addresses. */
  readonly blind: readonly PortRule[];
  /** Of administrators, which pass addresses. */
  readonly passes: readonly PortRule[];
  /** Rank of the last rule of administrators that allows or denies addresses. */
  readonly last: number;
  readonly fallback: Outcome;
}

/** Whether some rule here passes, or one for addresses may have. */
export function passes(rules: readonly PortRule[], beside: Beside | undefined): boolean {
  // Rules are in order: without one of administrators first there is none.
  if (!isAdminRank(rules[0]?.outcome.rank ?? RANK_DEFAULT)) return false;
  if (beside !== undefined && beside.passes.length > 0) return true;
  return rules.some(({ outcome }) => outcome.verdict === Verdict.None);
}

export function bandsOf(
  rules: readonly PortRule[],
  fallback: Outcome,
  beside: Beside | undefined,
  counts: (rule: PortRule) => boolean,
): Bands {
  const from = rules.findIndex(({ outcome }) => !isAdminRank(outcome.rank));
  const [upper, lower] = from < 0 ? [rules, []] : [rules.slice(0, from), rules.slice(from)];
  const denies = beside?.denies.filter(counts) ?? [];
  const blind = denies.length === 0 ? lower : [...lower, ...denies].sort(byPrecedence);
  return { upper, lower, blind, passes: beside?.passes ?? [], last: beside?.last ?? -1, fallback };
}

/** @param first the rule of a list that is the first to match, where one does */
export function settle(
  { upper, lower, blind, passes, last, fallback }: Bands,
  first: (list: readonly PortRule[]) => Outcome | undefined,
): Outcome {
  const found = first(upper);
  if (found !== undefined && !isPassed(found, first(passes))) return found;
  if (found === undefined || found.rank > last) return first(lower) ?? fallback;
  return { ...(first(blind) ?? fallback), rank: found.rank };
}

/** Who may have been passed by address before is not allowed by name. */
function isPassed({ rank, verdict }: Outcome, byAddress: Outcome | undefined): boolean {
  if (verdict === Verdict.None) return true;
  return verdict !== Verdict.Deny && byAddress !== undefined && byAddress.rank < rank;
}

function byPrecedence(a: PortRule, b: PortRule): number {
  return a.outcome.rank - b.outcome.rank || a.outcome.rule - b.outcome.rule;
}
