import assert from 'node:assert/strict';
import { compile } from '../../src/compile/compiler.ts';
import { evaluate, type RuleRef } from '../../src/compile/evaluate.ts';
import { explain } from '../../src/compile/explain.ts';
import { lookup } from '../../src/compile/lookup.ts';
import { verdictName } from '../../src/model/verdict.ts';
import { type Case, type Check, type ExpectedRule, isExpected, loadCases } from './cases.ts';

const cases = loadCases();

function assertRule(
  found: { policy: string; name: string } | undefined,
  expected: ExpectedRule | undefined,
  check: Check,
) {
  if (expected === undefined || found === undefined) assert.equal(found, expected, check.text);
  else assert.ok(isExpected(expected, found), `${check.text}: decided by ${found.policy}/${found.name}`);
}

function byEvaluator(one: Case, check: Check): void {
  const { enforced, staged } = evaluate(one, check.question);
  assert.equal(enforced.action, check.verdict, check.text);
  assertRule(enforced.decidedBy, check.by, check);
  assert.equal(staged.action, check.stagedVerdict, `staged: ${check.text}`);
  assertRule(staged.decidedBy, check.stagedBy, check);
}

function byTables(one: Case): void {
  const tables = compile(one);
  for (const check of one.checks) {
    const found = lookup(tables, check.question);
    assert.equal(verdictName(found.verdict), check.verdict, check.text);
    assertRule(ruleOf(tables.rules.get(found.rule), check), check.by, check);
    assert.equal(verdictName(found.stagedVerdict), check.stagedVerdict, `staged: ${check.text}`);
    assertRule(ruleOf(tables.rules.get(found.stagedRule), check), check.stagedBy, check);
    assert.equal(explain(one, tables, check.question).disagreement, undefined, check.text);
  }
}

function ruleOf(info: RuleRef | undefined, check: Check): RuleRef | undefined {
  if (info !== undefined) assert.equal(info.direction, check.direction, check.text);
  return info;
}

describe('the truth tables', () => {
  it('are many', () => assert.ok(cases.length >= 60, `${cases.length} cases`));

  it('have a name each', () => {
    const names = cases.map((one) => one.name);
    assert.deepEqual(names, [...new Set(names)]);
  });

  for (const one of cases) {
    it(`${one.file.replace('.yaml', '')}: ${one.name}`, () => {
      for (const check of one.checks) byEvaluator(one, check);
      byTables(one);
    });
  }
});
