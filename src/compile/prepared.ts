import { policyHash } from '../model/manifest.ts';
import { type Policy, policyKey, policyName, ruleName } from '../model/policy.ts';
import { formatSelector } from '../model/selector.ts';
import { preferredRuleId } from './rule-ids.ts';
import { type CompiledDirection, compileDirection, type KeyedSelector, selectedDirections } from './rules.ts';
import type { RuleInfo } from './tables.ts';

/** A policy in the form sets are made from. */
export interface CompiledPolicy {
  readonly infos: readonly RuleInfo[];
  readonly egress?: CompiledDirection;
  readonly ingress?: CompiledDirection;
}

export type UnnumberedRule = Omit<RuleInfo, 'id'> & { readonly key: string; readonly preferredId: number };

/** What can be said of a policy without knowing the others: all but its rules' final numbers. */
export class PreparedPolicy {
  readonly key: string;
  readonly subject: KeyedSelector;
  /** Rules and default of each direction the policy selects, egress first. */
  readonly rules: readonly UnnumberedRule[];
  readonly #policy: Policy;
  #hash: string | undefined;

  constructor(policy: Policy) {
    this.#policy = policy;
    this.key = policyKey(policy);
    this.subject = { key: formatSelector(policy.subject), selector: policy.subject };
    this.rules = unnumberedRules(policy);
  }

  /** Of the policy's content. */
  get hash(): string {
    this.#hash ??= policyHash(this.#policy);
    return this.#hash;
  }

  /** With the numbers its rules were given. */
  compile(numberOf: (rule: UnnumberedRule) => number): CompiledPolicy {
    const { egress, ingress } = this.#policy;
    const ids = this.rules.map(numberOf);
    const ofEgress = egress === undefined ? 0 : egress.rules.length + 1;
    return {
      infos: this.rules.map(({ key: _, preferredId, ...info }, i) => ({ id: ids[i] ?? preferredId, ...info })),
      ...(egress === undefined ? {} : { egress: compileDirection(this.#policy, egress, ids) }),
      ...(ingress === undefined ? {} : { ingress: compileDirection(this.#policy, ingress, ids.slice(ofEgress)) }),
    };
  }
}

function unnumberedRules(policy: Policy): UnnumberedRule[] {
  const { kind, namespace, name, mode, priority } = policy;
  return selectedDirections(policy).flatMap((direction) => {
    const part = policy[direction];
    const rules = (part?.rules ?? []).map((rule, i) => ({ name: ruleName(rule, i), action: rule.action }));
    return [...rules, { name: 'default', action: part?.default ?? 'Deny' }].map((rule) => {
      const key = [kind, namespace, name, direction, rule.name] as const;
      const known = { policy: policyName(policy), direction, ...rule, mode, priority };
      return { ...known, key: key.join('\0'), preferredId: preferredRuleId(key) };
    });
  });
}
