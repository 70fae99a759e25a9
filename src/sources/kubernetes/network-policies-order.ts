/** What only several administrators' policies together show. */
import type { Policy, Rule } from '../../model/policy.ts';
import { selectorsIntersect } from '../../model/selector.ts';
import { Findings, type TranslationProblem } from './network-policies-reading.ts';

/** Policies of one sort that are compared with each other; beyond, only each with itself. */
const MOST_COMPARED = 500;

/** Where rules of a policy stand in the order of all; absent where it has none of the sort. */
interface Places {
  readonly policy: Policy;
  /** The first that passes somebody known by name, or known by address. */
  readonly passesNames?: number;
  readonly passesAddresses?: number;
  /** The last that allows or denies somebody known by name, or known by address. */
  readonly judgesNames?: number;
  readonly judgesAddresses?: number;
}

/** @param policies AdminNetworkPolicies */
export function problemsOfOrder(policies: readonly Policy[]): TranslationProblem[] {
  const findings = new Map(policies.map((policy) => [policy, new Findings(policy)]));
  for (const group of Map.groupBy(policies, ({ priority }) => priority).values()) {
    for (const [one, other] of pairs(group, group)) {
      if (group.indexOf(one) >= group.indexOf(other) || !selectorsIntersect(one.subject, other.subject)) continue;
      findings
        .get(other)
        ?.add('SAME_PRIORITY', 'warning', 'spec.priority', `${one.priority}, which ${one.name} has too`, 'another one');
    }
  }
  const places = policies.map(placesOf);
  const passing = places.filter((one) => one.passesNames !== undefined || one.passesAddresses !== undefined);
  const judging = places.filter((one) => one.judgesNames !== undefined || one.judgesAddresses !== undefined);
  for (const [one, other] of pairs(passing, judging)) {
    if (one !== other && !selectorsIntersect(one.policy.subject, other.policy.subject)) continue;
    const add = (found: string) =>
      findings.get(one.policy)?.add('PASS_BEFORE', 'warning', 'spec.egress', found, 'rules for one or the other');
    const whose = one === other ? 'one' : `one of ${other.policy.name}`;
    if (before(one.passesNames, other.judgesAddresses)) {
      add(`a rule that passes by name before ${whose} for addresses: lower tiers' rules for addresses only deny there`);
    }
    if (before(one.passesAddresses, other.judgesNames)) {
      add(
        `a rule that passes addresses before ${whose} that allows or denies by name: it may deny more than it should`,
      );
    }
  }
  return [...findings.values()].flatMap(({ problems }) => problems);
}

function* pairs<T>(some: readonly T[], others: readonly T[]): Generator<[T, T]> {
  if (some.length * others.length > MOST_COMPARED ** 2) {
    for (const one of some) yield [one, one];
    return;
  }
  for (const one of some) for (const other of others) yield [one, other];
}

function before(a: number | undefined, b: number | undefined): boolean {
  return a !== undefined && b !== undefined && a < b;
}

const named = (rule: Rule): boolean => rule.peers?.some(({ type }) => type !== 'network') ?? true;
const addressed = (rule: Rule): boolean => rule.peers?.some(({ type }) => type === 'network') ?? false;

function placesOf(policy: Policy): Places {
  const rules = (policy.egress?.rules ?? []).map((rule, i) => ({ rule, place: policy.priority * 1000 + i }));
  const passes = rules.filter(({ rule }) => rule.action === 'Pass');
  const judges = rules.filter(({ rule }) => rule.action !== 'Pass');
  const [passesNames, passesAddresses] = [named, addressed].map((is) => passes.find(({ rule }) => is(rule))?.place);
  const [judgesNames, judgesAddresses] = [named, addressed].map((is) => judges.findLast(({ rule }) => is(rule))?.place);
  return {
    policy,
    ...(passesNames === undefined ? {} : { passesNames }),
    ...(passesAddresses === undefined ? {} : { passesAddresses }),
    ...(judgesNames === undefined ? {} : { judgesNames }),
    ...(judgesAddresses === undefined ? {} : { judgesAddresses }),
  };
}
