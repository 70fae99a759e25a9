import type { LocatedHardeningPolicy } from './located-policy.ts';
import { ruleName } from './policy.ts';
import { duplicates, firstProblems, problemAt, type Surroundings, selectingNothing } from './policy-set.ts';
import type { PolicyProblem } from './problem.ts';
import { suggest } from './suggest.ts';

/**
 * What keeps hardening policies from being enforced together. That several of equal priority contradict each other is
 * no fault here: Deny comes before Alert before Allow, rule by rule.
 * @param ready names of the ready rules there are
 * @param fresh as for `policySetErrors`
 */
export function hardeningSetErrors(
  policies: readonly LocatedHardeningPolicy[],
  ready: ReadonlySet<string>,
  fresh: ReadonlySet<LocatedHardeningPolicy> = new Set(policies),
): PolicyProblem[] {
  return [...firstProblems(duplicates(policies, fresh)), ...firstProblems(unknownReadyRules(fresh, ready))];
}

/** What is probably not meant. */
export function hardeningSetWarnings(
  policies: readonly LocatedHardeningPolicy[],
  surroundings: Surroundings,
): PolicyProblem[] {
  return [...firstProblems(selectingNothing(policies, [...surroundings.identities]))];
}

function* unknownReadyRules(
  policies: Iterable<LocatedHardeningPolicy>,
  ready: ReadonlySet<string>,
): Generator<PolicyProblem> {
  const names = [...ready];
  for (const { policy, origin } of policies) {
    for (const [i, rule] of policy.rules.entries()) {
      for (const [j, name] of rule.ready.entries()) {
        if (ready.has(name)) continue;
        const meant = suggest(name, names);
        const place = { ...origin, ...origin.ready[i]?.[j] };
        yield {
          ...problemAt('UNKNOWN_READY_RULE', 'error', place, `spec.rules[${i}].ready[${j}]`),
          found: `${JSON.stringify(name)} in rule ${ruleName(rule, i)}`,
          wanted: 'a ready rule of the catalogue (see "sallyport profile catalogue")',
          ...(meant === undefined ? {} : { hint: `did you mean ${meant}` }),
        };
      }
    }
  }
}
