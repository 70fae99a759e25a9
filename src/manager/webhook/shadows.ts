/** Which rules of other policies leave nothing to a policy's, and the other way round. Pure. */
import { ruleCovers } from '../../model/coverage.ts';
import { type Direction, type Policy, policyTitle, type Rule, ruleName } from '../../model/policy.ts';

/** Pairs of rules compared for one answer; beyond them nothing is said. */
const MOST_PAIRS = 200_000;
const DIRECTIONS = ['ingress', 'egress'] as const satisfies readonly Direction[];

/** One line for each rule that can never decide because of another policy, told from the side of `policy`. */
export function shadows(policy: Policy, others: Iterable<Policy>): string[] {
  const lines: string[] = [];
  let left = MOST_PAIRS;
  for (const other of others) {
    if (policy.mode !== 'Enforce' || other.mode !== 'Enforce' || other.priority === policy.priority) continue;
    const [first, second] = other.priority < policy.priority ? [other, policy] : [policy, other];
    if (!ruleCovers(subjectRule(first), subjectRule(second))) continue;
    for (const direction of DIRECTIONS) {
      const [outer, inner] = [first[direction]?.rules ?? [], second[direction]?.rules ?? []];
      left -= outer.length * inner.length;
      if (left < 0) return lines;
      for (const [i, rule] of inner.entries()) {
        // What passes a rule is decided further down.
        const by = outer.findIndex((one) => one.action !== 'Pass' && ruleCovers(one, rule));
        if (by >= 0) lines.push(line(policy, direction, [first, outer[by]!, by], [second, rule, i]));
      }
    }
  }
  return lines;
}

/** A subject as a rule about it, so that one kind of covering is enough. */
function subjectRule({ subject }: Policy): Rule {
  return { action: 'Allow', peers: [{ type: 'workload', selector: subject }] };
}

type Named = readonly [policy: Policy, rule: Rule, index: number];

function line(mine: Policy, direction: Direction, [first, rule, i]: Named, [second, shadowed, j]: Named): string {
  if (mine === second) {
    return (
      `spec.${direction}[${j}]: rule ${ruleName(shadowed, j)} can never decide: ` +
      `rule ${ruleName(rule, i)} (${rule.action}) of ${policyTitle(first)}, priority ${first.priority}, decides first`
    );
  }
  return (
    `spec.${direction}[${i}]: rule ${ruleName(rule, i)} (${rule.action}) leaves nothing to ` +
    `rule ${ruleName(shadowed, j)} of ${policyTitle(second)}, priority ${second.priority}`
  );
}
