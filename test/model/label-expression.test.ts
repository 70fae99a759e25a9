import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  excludes,
  formatExpression,
  type LabelExpression,
  meets,
  sortedExpressions,
} from '../../src/model/label-expression.ts';
import { NameSet } from '../../src/model/name-set.ts';
import type { WorkloadSelector } from '../../src/model/selector.ts';
import { formatSelector, selectorsIntersect, selects, selectsEverything } from '../../src/model/selector.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 1500);
const ANY = { workload: { namespace: '*', kind: '*', name: '*' }, container: '*', labels: {} };

function expression(key: string, operator: LabelExpression['operator'], ...values: string[]): LabelExpression {
  return { key, operator, values };
}

describe('expressions on labels', () => {
  const rows: [LabelExpression, Record<string, string>, boolean][] = [
    [expression('tier', 'In', 'back', 'front'), { tier: 'front' }, true],
    [expression('tier', 'In', 'back', 'front'), { tier: 'middle' }, false],
    [expression('tier', 'In', 'back', 'front'), {}, false],
    [expression('tier', 'NotIn', 'back', 'front'), { tier: 'middle' }, true],
    [expression('tier', 'NotIn', 'back', 'front'), { tier: 'front' }, false],
    [expression('tier', 'NotIn', 'back', 'front'), {}, true],
    [expression('tier', 'Exists'), { tier: '' }, true],
    [expression('tier', 'Exists'), { other: '' }, false],
    [expression('tier', 'DoesNotExist'), { other: '' }, true],
    [expression('tier', 'DoesNotExist'), { tier: '' }, false],
    [expression('toString', 'Exists'), {}, false],
    [expression('constructor', 'DoesNotExist'), {}, true],
    [expression('tier', 'In', ''), { tier: '' }, true],
  ];
  for (const [one, labels, met] of rows) {
    it(`${formatExpression(one)} is ${met ? '' : 'not '}met by ${JSON.stringify(labels)}`, () => {
      assert.equal(meets(one, labels), met);
      const identity = { workload: { namespace: 'a', kind: 'b', name: 'c' }, container: '', labels };
      assert.equal(selects({ ...ANY, expressions: [one] }, identity), met);
    });
  }

  it('are told apart by their texts', () => {
    const all = [
      expression('a', 'In', 'b'),
      expression('a', 'NotIn', 'b'),
      expression('a', 'In', 'b', 'c'),
      expression('a', 'Exists'),
      expression('a', 'DoesNotExist'),
      expression('b', 'Exists'),
    ];
    assert.equal(new Set(all.map(formatExpression)).size, all.length);
    const texts = all.map((one) => formatSelector({ ...ANY, expressions: [one] }));
    assert.equal(new Set([...texts, formatSelector({ ...ANY, labels: { a: 'b' } })]).size, all.length + 1);
    assert.deepEqual(sortedExpressions([...all, ...all]), sortedExpressions(all.toReversed()));
  });

  it('narrow what means everything', () => {
    assert.equal(selectsEverything(ANY), true);
    assert.equal(selectsEverything({ ...ANY, expressions: [expression('a', 'DoesNotExist')] }), false);
    assert.equal(selectsEverything({ ...ANY, namespaces: new NameSet(['a']) }), false);
  });
});

const arbitrary: fc.Arbitrary<LabelExpression> = fc
  .record({
    key: fc.constantFrom('k', 'l'),
    operator: fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist'),
    values: fc.uniqueArray(fc.constantFrom('x', 'y', 'z'), { minLength: 1 }),
  })
  .map(({ key, operator, values }) => ({
    key,
    operator,
    values: operator === 'In' || operator === 'NotIn' ? values.sort() : [],
  }));

const value = fc.constantFrom(undefined, 'x', 'y', 'z', 'w');
const given = fc
  .record({ k: value, l: value, namespace: fc.constantFrom('a', 'b', 'c') })
  .map(({ k, l, namespace }) => ({
    workload: { namespace, kind: 'Pod', name: 'p' },
    container: '',
    labels: { ...(k === undefined ? {} : { k }), ...(l === undefined ? {} : { l }) } as Record<string, string>,
  }));

const selector: fc.Arbitrary<WorkloadSelector> = fc
  .record({
    namespace: fc.constantFrom('*', 'a'),
    names: fc.option(fc.subarray(['a', 'b', 'c']), { nil: undefined }),
    label: value,
    expressions: fc.array(arbitrary, { maxLength: 3 }),
  })
  .map(({ namespace, names, label, expressions }) => ({
    workload: { namespace, kind: '*', name: '*' },
    ...(names === undefined || namespace !== '*' ? {} : { namespaces: new NameSet(names) }),
    container: '*',
    labels: (label === undefined ? {} : { k: label }) as Record<string, string>,
    ...(expressions.length === 0 ? {} : { expressions: sortedExpressions(expressions) }),
  }));

describe('selectors with expressions', () => {
  it('never seem apart where somebody is meant by both', () => {
    fc.assert(
      fc.property(selector, selector, given, (a, b, identity) => {
        if (selects(a, identity) && selects(b, identity)) assert.ok(selectorsIntersect(a, b));
        assert.equal(selectorsIntersect(a, b), selectorsIntersect(b, a));
      }),
      { numRuns: RUNS },
    );
  });

  it('mean the same where their texts are the same', () => {
    fc.assert(
      fc.property(selector, selector, given, (a, b, identity) => {
        if (formatSelector(a) === formatSelector(b)) assert.equal(selects(a, identity), selects(b, identity));
      }),
      { numRuns: RUNS },
    );
  });

  it('exclude one another only where nobody meets both', () => {
    fc.assert(
      fc.property(arbitrary, arbitrary, given, (a, b, { labels }) => {
        if (excludes(a, b)) assert.ok(!(meets(a, labels) && meets(b, labels)));
      }),
      { numRuns: RUNS },
    );
  });
});

describe('sets of names', () => {
  it('are the same in any order, and told apart by their texts', () => {
    const many = Array.from({ length: 100 }, (_, i) => `ns-${i}`);
    assert.ok(new NameSet(many).equals(new NameSet([...many.toReversed(), 'ns-1'])));
    assert.ok(!new NameSet(many).equals(new NameSet(many.slice(1))));
    assert.ok(!new NameSet([]).equals(new NameSet(['a'])));
    assert.ok(new NameSet(many).text.length < 64);
    assert.equal(new NameSet(many).size, 100);
    assert.equal(new NameSet([]).has(''), false);
  });
});
