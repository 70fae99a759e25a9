import assert from 'node:assert/strict';
import { keepLast } from '../../src/model/keep-last.ts';

describe('keepLast', () => {
  it('gives the same object for the same arguments, and another one for others', () => {
    const pair = keepLast((a: object, b: object) => ({ a, b }));
    const [one, other] = [{}, {}];
    const first = pair(one, other);
    assert.deepEqual(first, { a: one, b: other });
    assert.equal(pair(one, other), first);
    const second = pair(other, one);
    assert.notEqual(second, first);
    assert.equal(second.a, other);
    assert.notEqual(pair(one, other), first, 'only the last one is kept');
  });

  it('tells arguments that are left out from others', () => {
    const listed = keepLast((...items: readonly number[]) => items);
    assert.deepEqual([listed(1), listed(1, 2), listed(1)], [[1], [1, 2], [1]]);
  });

  it('keeps nothing of what failed', () => {
    let calls = 0;
    const fails = keepLast((_: number) => {
      calls += 1;
      if (calls === 1) throw new Error('once');
      return calls;
    });
    assert.throws(() => fails(1), /once/);
    assert.equal(fails(1), 2);
    assert.equal(fails(1), 2);
  });
});
