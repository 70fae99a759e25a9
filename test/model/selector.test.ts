import assert from 'node:assert/strict';
import fc from 'fast-check';
import { deriveIdentity } from '../../src/model/identity.ts';
import {
  formatSelector,
  selectorsIntersect,
  selects,
  selectsEverything,
  type WorkloadSelector,
} from '../../src/model/selector.ts';
import { SelectorIndex } from '../../src/model/selector-index.ts';
import { formatWorkload, parseWorkload } from '../../src/model/workload.ts';

function selector(text: string, container = '*', labels: Record<string, string> = {}): WorkloadSelector {
  const workload = parseWorkload(text);
  assert.ok(workload, text);
  return { workload, container, labels };
}

const api = deriveIdentity('test', {
  workload: { namespace: 'shop', kind: 'Service', name: 'api' },
  container: 'app',
  labels: { tier: 'back', team: 'one' },
});

describe('workload references', () => {
  it('take the namespace they are given where they name none', () => {
    assert.deepEqual(parseWorkload('Service/web', 'shop'), { namespace: 'shop', kind: 'Service', name: 'web' });
    assert.deepEqual(parseWorkload('other/Service/web', 'shop')?.namespace, 'other');
    assert.equal(parseWorkload('Service/web'), undefined);
  });

  it('refuse what is none', () => {
    const bad = [
      '',
      'web',
      '/web',
      'a/b/c/d',
      'Service/',
      'a//b',
      'Service/we b',
      'Service/wéb',
      'Service/web\n',
      'a\\b/c',
    ];
    for (const text of [...bad, `Service/${'x'.repeat(254)}`, `${'x'.repeat(64)}/Service/x`]) {
      assert.equal(parseWorkload(text, 'shop'), undefined, text);
    }
  });

  it('come back from their text', () => {
    const text = 'shop/Unit/getty@tty?.service';
    const parsed = parseWorkload(text);
    assert.ok(parsed);
    assert.equal(formatWorkload(parsed), text);
  });
});

describe('selectors', () => {
  const cases: [WorkloadSelector, boolean][] = [
    [selector('shop/Service/api'), true],
    [selector('*/*/*'), true],
    [selector('sh?p/Serv*/a*i'), true],
    [selector('shop/Service/web'), false],
    [selector('shop/Deployment/api'), false],
    [selector('other/Service/api'), false],
    [selector('shop/Service/api', 'app'), true],
    [selector('shop/Service/api', 'side*'), false],
    [selector('shop/Service/api', '*', { tier: 'back' }), true],
    [selector('shop/Service/api', '*', { tier: 'back', team: 'one' }), true],
    [selector('shop/Service/api', '*', { tier: 'front' }), false],
    [selector('shop/Service/api', '*', { other: 'back' }), false],
    [selector('shop/Service/api', '*', { toString: 'back' }), false],
  ];
  for (const [one, expected] of cases) {
    it(`${expected ? 'means' : 'does not mean'} shop/Service/api[app] by ${formatSelector(one)}`, () => {
      assert.equal(selects(one, api), expected);
    });
  }

  it('matches the empty container of a shared sandbox by a star only', () => {
    const sandbox = { ...api, container: '' };
    assert.equal(selects(selector('shop/Service/api'), sandbox), true);
    assert.equal(selects(selector('shop/Service/api', '?*'), sandbox), false);
  });

  it('knows when it means every identity there can be', () => {
    assert.equal(selectsEverything(selector('*/*/*')), true);
    assert.equal(selectsEverything(selector('*/**/*')), true);
    assert.equal(selectsEverything(selector('*/*/?*')), false);
    assert.equal(selectsEverything(selector('*/*/*', 'app')), false);
    assert.equal(selectsEverything(selector('*/*/*', '*', { a: 'b' })), false);
  });

  it('cannot mean the same identity as one that asks for another value of a label', () => {
    const back = selector('*/*/*', '*', { tier: 'back' });
    assert.equal(selectorsIntersect(back, selector('*/*/*', '*', { tier: 'front' })), false);
    assert.equal(selectorsIntersect(back, selector('*/*/*', '*', { team: 'one' })), true);
  });
});

describe('a selector index', () => {
  it('finds exactly the selectors that intersect', () => {
    const part = fc.constantFrom('a', 'b', 'ab', '*', 'a*', '?');
    const any = fc
      .record({ namespace: part, kind: part, name: part, container: part })
      .map(({ container, ...workload }): WorkloadSelector => ({ workload, container, labels: {} }));
    fc.assert(
      fc.property(fc.array(any, { maxLength: 12 }), any, (all, one) => {
        const index = new SelectorIndex<number>();
        for (const [i, each] of all.entries()) index.add(each, i);
        const expected = all.flatMap((each, i) => (selectorsIntersect(each, one) ? [i] : []));
        assert.deepEqual(
          [...index.intersecting(one)].sort((a, b) => a - b),
          expected,
        );
      }),
      { numRuns: 2_000 },
    );
  });
});
