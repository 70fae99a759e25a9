/** What of several tiers can decide, and in which order; docs/network-policy.md. */
import { Tier } from '../model/tier.ts';
import { Verdict } from '../model/verdict.ts';
import type { Fallback } from './classes.ts';
import { isAdminRank, RANK_DEFAULT, rankOf } from './rank.ts';
import {
  byPrecedence,
  type CompiledDirection,
  type CompiledRule,
  newSerial,
  type Outcome,
  strictestFallback,
} from './rules.ts';

const NO_RULE: Outcome = { rank: RANK_DEFAULT, rule: 0, verdict: Verdict.Allow };

const isBaseline = (part: CompiledDirection): boolean => part.tier >= Tier.Baseline;

/** Parts that can decide something: the baseline is not asked where a policy before it says what no rule matched. */
export function reachable(parts: readonly CompiledDirection[]): readonly CompiledDirection[] {
  if (!parts.some(isBaseline)) return parts;
  const settled = parts.some(({ mode, fallback }) => mode === 'Enforce' && fallback !== undefined);
  return settled ? parts.filter((part) => !isBaseline(part)) : parts;
}

/** Rules in the order in which they decide, and what holds after them. */
export interface Arrangement {
  readonly rules: readonly CompiledRule[];
  readonly fallback: Fallback;
}

/** @param parts that are all reachable */
export function arrange(parts: readonly CompiledDirection[]): Arrangement {
  const staged = strictestFallback(parts);
  // Where only staged policies have a default the baseline comes after it in the staged layer, and is asked in the other.
  const before = staged !== undefined && parts.some(isBaseline) ? [stagedDefault(staged)] : [];
  const rules = parts.flatMap((part) => part.ordered);
  rules.push(...before);
  // Sorting runs that are in order costs little more than joining them.
  rules.sort(byPrecedence);
  if (before.length > 0) return { rules, fallback: { enforced: NO_RULE, staged: NO_RULE } };
  const enforced = strictestFallback(parts.filter((part) => part.mode === 'Enforce'));
  return { rules, fallback: { enforced: enforced ?? NO_RULE, staged: staged ?? NO_RULE } };
}

/** The same rule for the same default: classes are known by their rules. */
const defaults = new WeakMap<Outcome, CompiledRule>();

/** A staged policy's default as a rule for everybody, after which nothing is asked. */
function stagedDefault(fallback: Outcome): CompiledRule {
  const known = defaults.get(fallback);
  if (known !== undefined) return known;
  const { rule, verdict } = fallback;
  const made: CompiledRule = {
    serial: newSerial(),
    digest: '',
    outcome: { rank: rankOf(0, 'Deny', 'Stage', Tier.Default), rule, verdict },
    staged: true,
    anyPeer: true,
    anyIdentity: false,
    host: false,
    world: false,
    selectors: [],
    networks: [],
    names: [],
  };
  defaults.set(fallback, made);
  return made;
}

/**
 * What is to be known about addresses where an administrator's rule passes somebody by name, and the other way round:
 * the kernel asks about a name and an address apart. Indices are those of the rules.
 */
export interface AdminNetworks {
  /** Rank of the last of administrators' rules that allows or denies addresses; -1: there is none. */
  readonly last: number;
  /** Rules of other tiers that deny addresses. */
  readonly denies: readonly number[];
  /** Administrators' rules that pass addresses. */
  readonly passes: readonly number[];
}

/** @returns undefined where names and addresses can be asked apart, which is nearly always */
export function adminNetworks(rules: readonly CompiledRule[]): AdminNetworks | undefined {
  if (!isAdminRank(rules[0]?.outcome.rank ?? RANK_DEFAULT)) return undefined;
  const [denies, passes]: [number[], number[]] = [[], []];
  let last = -1;
  for (const [i, { outcome, networks }] of rules.entries()) {
    if (networks.length === 0) continue;
    if (!isAdminRank(outcome.rank)) {
      if (outcome.verdict === Verdict.Deny) denies.push(i);
    } else if (outcome.verdict === Verdict.None) passes.push(i);
    else last = Math.max(last, outcome.rank);
  }
  return last < 0 && passes.length === 0 ? undefined : { last, denies, passes };
}
