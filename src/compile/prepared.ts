import { type Direction, type Policy, policyKey, policyTitle, ruleName } from '../model/policy.ts';
import { formatSelector } from '../model/selector.ts';
import type { RuleAction } from '../model/verdict.ts';
import { type Claim, preferredRuleId } from './rule-ids.ts';
import {
  type CompiledDirection,
  compileDirection,
  type EarlierDirection,
  type KeyedSelector,
  selectedDirections,
} from './rules.ts';
import { samePolicy } from './same-policy.ts';
import type { RuleInfo } from './tables.ts';

/** A policy in the form sets are made from. */
export class CompiledPolicy {
  readonly infos: readonly RuleInfo[];
  readonly #policy: Policy;
  #egress: CompiledDirection | undefined;
  #ingress: CompiledDirection | undefined;
  #earlier: EarlierDirections;

  /** @param infos of its rules and defaults; egress first */
  constructor(policy: Policy, infos: readonly RuleInfo[], earlier: EarlierDirections) {
    this.#policy = policy;
    this.infos = infos;
    this.#earlier = earlier;
  }

  /** Undefined where the policy does not judge it. Made when first asked for: most of a cluster's select nobody here. */
  directionOf(direction: Direction): CompiledDirection | undefined {
    const made = this.madeOf(direction);
    const part = this.#policy[direction];
    if (made !== undefined || part === undefined) return made;
    const ids = this.infos.filter((info) => info.direction === direction).map(({ id }) => id);
    const compiled = compileDirection(this.#policy, part, ids, this.#earlier[direction]);
    const { [direction]: _, ...rest } = this.#earlier;
    this.#earlier = rest;
    if (direction === 'egress') this.#egress = compiled;
    else this.#ingress = compiled;
    return compiled;
  }

  /** The same, where somebody has asked for it. */
  madeOf(direction: Direction): CompiledDirection | undefined {
    return direction === 'egress' ? this.#egress : this.#ingress;
  }
}

/** Of an earlier version, what was made of it. */
type EarlierDirections = Readonly<Partial<Record<Direction, EarlierDirection>>>;

const NOTHING_EARLIER: EarlierDirections = {};

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
    const { mode, priority } = policy;
    const earlier = before === undefined ? undefined : before.prepared.#policy;
    const known = earlier?.mode === mode && earlier.priority === priority ? before : undefined;
    const name = policyTitle(policy);
    const infos = this.rules.map((rule, i): RuleInfo => {
      const id = numberOf(rule);
      const same = known?.prepared.rules[i] === rule ? known.compiled.infos[i] : undefined;
      if (same?.id === id) return same;
      return { id, policy: name, direction: rule.direction, name: rule.name, action: rule.action, mode, priority };
    });
    return new CompiledPolicy(policy, infos, known === undefined ? NOTHING_EARLIER : earlierOf(known, earlier));
  }
}

function earlierOf({ compiled }: Member, policy: Policy | undefined): EarlierDirections {
  const partOf = (direction: Direction): EarlierDirections => {
    const [source, made] = [policy?.[direction], compiled.madeOf(direction)];
    return source === undefined || made === undefined ? {} : { [direction]: { source, compiled: made } };
  };
  return { ...partOf('egress'), ...partOf('ingress') };
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
