import { rankOf } from '../compile/rank.ts';
import { preferredRuleId, RuleNumbers } from '../compile/rule-ids.ts';
import type { HardeningKind, HardeningPolicy, HardeningRule, ReadyRule, Target } from '../model/hardening.ts';
import type { PolicyMode } from '../model/policy.ts';
import { policyName } from '../model/policy.ts';
import type { Action } from '../model/verdict.ts';
import { HardeningError } from './error.ts';

/** Which rule of which policy, as people know it. */
export interface HardeningRuleRef {
  readonly kind: HardeningKind;
  /** Empty for cluster-wide policies. */
  readonly namespace: string;
  readonly policy: string;
  /** Its name, or its index. */
  readonly rule: string;
  /** The ready rule it stands for. */
  readonly ready?: string;
  readonly action: Action;
  readonly mode: PolicyMode;
  readonly priority: number;
}

/** What one rule says, or one ready rule that a rule names. */
export interface Clause extends HardeningRuleRef {
  /** Never 0. */
  readonly id: number;
  /** Lower decides first; among equals, which say the same, the lower id is named. */
  readonly rank: number;
  /** Patterns of executables; empty: whatever runs. */
  readonly executables: readonly string[];
  readonly targets: readonly Target[];
}

export type ReadyRules = ReadonlyMap<string, ReadyRule>;

/**
 * What the policies say, in the order in which it decides: by priority, then Deny before Alert before Allow, then what
 * is enforced before what is staged.
 * @throws HardeningError READY
 */
export function clausesOf(policies: readonly HardeningPolicy[], ready: ReadyRules): readonly Clause[] {
  const numbers = new RuleNumbers<string>();
  const found = policies.flatMap((policy) =>
    policy.rules.flatMap((rule, index) => clausesOfRule(policy, rule, rule.name ?? String(index), ready)),
  );
  const claims = found.map((clause) => {
    const key = keyOf(clause);
    const claim = { key: key.join('\0'), preferredId: numberOf(key), owner: '' };
    numbers.claim(claim);
    return claim;
  });
  numbers.settle();
  return found
    .map((clause, i) => ({ ...clause, id: numbers.numberOf(claims[i]!) }))
    .sort((a, b) => a.rank - b.rank || a.id - b.id);
}

/** The kernel counts what staged rules would have said by the rule's number and one more bit (`violation_key`). */
function numberOf(key: ReturnType<typeof keyOf>): number {
  const number = preferredRuleId(key) & 0x7fff_ffff;
  return number === 0 ? 1 : number;
}

/** What the clause's number is made from. Names hold no NUL, so no two rules share a key. */
function keyOf(ref: HardeningRuleRef) {
  const rule = ref.ready === undefined ? ref.rule : `${ref.rule}\0${ref.ready}`;
  return [ref.kind, ref.namespace, ref.policy, 'hardening', rule] as const;
}

function clausesOfRule(
  policy: HardeningPolicy,
  rule: HardeningRule,
  name: string,
  ready: ReadyRules,
): Omit<Clause, 'id'>[] {
  const base = {
    kind: policy.kind,
    namespace: policy.namespace,
    policy: policy.name,
    rule: name,
    action: rule.action,
    mode: policy.mode,
    priority: policy.priority,
    rank: rankOf(policy.priority, rule.action, policy.mode),
    executables: rule.executables ?? [],
  };
  const own = rule.targets.length === 0 ? [] : [{ ...base, targets: rule.targets }];
  const named = [...new Set(rule.ready)].map((word) => {
    const found = ready.get(word);
    if (found === undefined) {
      throw new HardeningError('READY', {
        attempted: `compile rule "${name}" of ${policy.kind} ${policyName(policy)}`,
        reason: 'there is no such ready rule',
        hint: 'sallyport profile catalogue lists them',
        blamed: [word],
      });
    }
    return { ...base, ready: word, targets: found.targets };
  });
  return [...own, ...named];
}
