import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Allocator } from '../../src/datapath/allocator.ts';

describe('numbers', () => {
  it('are given in order, and again only when all others were', () => {
    const numbers = new Allocator<string>(1, 4);
    assert.deepEqual(
      ['a', 'b', 'a'].map((key) => numbers.assign(key)),
      [1, 2, 1],
    );
    numbers.release('a');
    assert.equal(numbers.keyOf(1), undefined);
    assert.deepEqual(
      ['c', 'd', 'e'].map((key) => numbers.assign(key)),
      [3, 1, undefined],
    );
  });

  it('that were given back rest before another has them, and are their owner’s at any time', () => {
    let now = 0;
    const numbers = new Allocator<string>(1, 3, { rest: 10, now: () => now });
    numbers.assign('a');
    numbers.assign('b');
    numbers.release('a');
    now = 9;
    assert.equal(numbers.assign('c'), undefined, 'in quarantine');
    assert.equal(numbers.assign('a'), 1);
    numbers.release('a');
    now = 18;
    assert.equal(numbers.assign('c'), undefined, 'it began anew');
    now = 19;
    assert.equal(numbers.assign('c'), 1);
    assert.equal(numbers.assign('a'), undefined, 'it is another’s now');
    assert.deepEqual([numbers.keyOf(1), numbers.numberOf('a')], ['c', undefined]);
  });

  it('of an earlier life are taken over, and those between them rest', () => {
    let now = 0;
    const numbers = new Allocator<string>(16, 20, { rest: 10, now: () => now });
    for (const [key, number] of [
      ['a', 18],
      ['b', 18],
      ['a', 17],
      ['c', 3],
      ['d', 20],
    ] as const)
      numbers.adopt(key, number);
    assert.deepEqual([...numbers.entries()], [['a', 18]]);
    assert.deepEqual(
      ['x', 'y'].map((key) => numbers.assign(key)),
      [19, undefined],
    );
    now = 10;
    assert.deepEqual(
      ['y', 'z', 'w'].map((key) => numbers.assign(key)),
      [16, 17, undefined],
    );
  });

  it('are never two keys’, nor another’s while they rest', () => {
    const steps = fc.array(fc.record({ key: fc.nat(9), act: fc.constantFrom('assign', 'release', 'wait') }), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(steps, (path) => {
        let now = 0;
        const numbers = new Allocator<number>(1, 6, { rest: 5, now: () => now });
        const left = new Map<number, { key: number; at: number }>();
        for (const { key, act } of path) {
          const held = numbers.numberOf(key);
          if (act === 'wait') now += 1;
          else if (act === 'release') {
            if (held !== undefined) left.set(held, { key, at: now });
            numbers.release(key);
          } else {
            const number = numbers.assign(key);
            if (held !== undefined) assert.equal(number, held);
            const before = number === undefined || held !== undefined ? undefined : left.get(number);
            if (before !== undefined) assert.ok(before.key === key || now - before.at >= 5);
          }
          const all = [...numbers.entries()];
          assert.equal(new Set(all.map(([, number]) => number)).size, all.length);
          for (const [owner, number] of all) assert.equal(numbers.keyOf(number), owner);
        }
      }),
    );
  });
});
