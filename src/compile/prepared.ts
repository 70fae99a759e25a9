import { type Direction, type Policy, policyKey, policyTitle, ruleName } from '../model/policy.ts';
import { formatSelector } from '../model/selector.ts';
import type { RuleAction } from '../model/verdict.ts';
import { type Claim, preferredRuleId } from './rule-ids.ts';
import { type CompiledDirection, compileDirection, type KeyedSelector, selectedDirections } from './rules.ts';
import { samePolicy } from './same-policy.ts';
import type { RuleInfo } from './tables.ts';

/** A policy in the form sets are made from. */
export interface CompiledPolicy {
  readonly infos: readonly RuleInfo[];
  readonly egress?: CompiledDirection;
  readonly ingress?: CompiledDirection;
}

/** A rule, or a default, as it asks for a number; owned by its policy's key. */
export interface UnnumberedRule extends Claim<string> {
  readonly direction: Direction;
  readonly name: string;
  readonly action: RuleAction;
}

/** A policy with its rules numbered. Another object when anything about it changes. */
export interface Member {
  readonly prepared: PreparedPolicy;
  readonly compiled: CompiledPolicy;
}

/**
 * What can be said of a policy without knowing the others: all but its rules' final numbers. Whatever an earlier
 * version of the policy had that is the same is the same object.
 */
export class PreparedPolicy {
  readonly key: string;
  readonly subject: KeyedSelector;
  /** Rules of each direction the policy selects, and its default unless that passes; egress first. */
  readonly rules: readonly UnnumberedRule[];
  readonly #policy: Policy;

  /** @param before an earlier version, of the same key */
  constructor(policy: Policy, before?: PreparedPolicy) {
    this.#policy = policy;
    this.key = policyKey(policy);
    this.subject = { key: formatSelector(policy.subject), selector: policy.subject };
    this.rules = unnumberedRules(policy, before?.rules ?? []);
  }

  /** Whether a policy of the same key makes the same tables. */
  says(policy: Policy): boolean {
    return samePolicy(this.#policy, policy);
  }

  /**
   * With the numbers its rules were given.
   * @param before what became of an earlier version, or of this one with other numbers
   */
  compile(numberOf: (rule: UnnumberedRule) => number, before?: Member): CompiledPolicy {
    const policy = this.#policy;
    const { egress, ingress, mode, priority } = policy;
    const ids = this.rules.map(numberOf);
    const ofEgress = egress === undefined ? 0 : egress.rules.length + (egress.default === 'Pass' ? 0 : 1);
    const earlier = before === undefined ? undefined : before.prepared.#policy;
    const comparable = earlier !== undefined && earlier.mode === mode && earlier.priority === priority;
    const known = comparable ? before : undefined;
    const partOf = (direction: Direction) => {
      const [source, compiled] = [earlier?.[direction], known?.compiled[direction]];
      return source === undefined || compiled === undefined ? undefined : { source, compiled };
    };
    const name = policyTitle(policy);
    const infos = this.rules.map((rule, i): RuleInfo => {
      const id = ids[i] ?? rule.preferredId;
      const same = known?.prepared.rules[i] === rule ? known.compiled.infos[i] : undefined;
      if (same?.id === id) return same;
      return { id, policy: name, direction: rule.direction, name: rule.name, action: rule.action, mode, priority };
    });
    return {
      infos,
      ...(egress === undefined ? {} : { egress: compileDirection(policy, egress, ids, partOf('egress')) }),
      ...(ingress === undefined
        ? {}
        : { ingress: compileDirection(policy, ingress, ids.slice(ofEgress), partOf('ingress')) }),
    };
  }
}

function unnumberedRules(policy: Policy, before: readonly UnnumberedRule[]): UnnumberedRule[] {
  const rules: UnnumberedRule[] = [];
  const { kind, namespace, name } = policy;
  const owner = policyKey(policy);
  for (const direction of selectedDirections(policy)) {
    const add = (rule: string, action: RuleAction): void => {
      const known = before[rules.length];
      if (known?.direction === direction && known.name === rule && known.action === action) {
        rules.push(known);
        return;
      }
      const key = [kind, namespace, name, direction, rule] as const;
      const preferredId = preferredRuleId(key);
      rules.push({ key: key.join('\0'), preferredId, owner, direction, name: rule, action });
    };
    const part = policy[direction];
    for (const [i, rule] of (part?.rules ?? []).entries()) add(ruleName(rule, i), rule.action);
    if (part !== undefined && part.default !== 'Pass') add('default', part.default);
  }
  return rules;
}
