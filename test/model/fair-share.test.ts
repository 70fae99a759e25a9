import assert from 'node:assert/strict';
import { fairShare } from '../../src/model/fair-share.ts';

const of = (owner: string, many: number): string[] => Array.from({ length: many }, (_, i) => `${owner}${i}`);
const share = (items: readonly string[], room: number) => fairShare(items, room, (item) => item.slice(0, 1)).toSorted();

describe('room that is shared', () => {
  it('is for all where it is enough', () => {
    const items = [...of('a', 2), ...of('b', 3)];
    assert.equal(
      fairShare(items, 5, (item) => item),
      items,
    );
  });

  const cases: readonly { name: string; many: Record<string, number>; room: number; taken: Record<string, number> }[] =
    [
      { name: 'leaves who has few all of his', many: { a: 2, z: 1_000 }, room: 10, taken: { a: 2, z: 8 } },
      {
        name: 'is divided evenly by who has many',
        many: { a: 50, b: 1, c: 90 },
        room: 21,
        taken: { a: 10, b: 1, c: 10 },
      },
      { name: 'may be too little for everybody', many: { a: 3, b: 3, c: 3 }, room: 2, taken: { b: 1, c: 1 } },
      { name: 'may be none', many: { a: 3 }, room: 0, taken: {} },
    ];
  for (const { name, many, room, taken } of cases) {
    it(name, () => {
      const [given, wanted] = [many, taken].map((one) => Object.entries(one).flatMap(([owner, n]) => of(owner, n)));
      assert.deepEqual(share(given!, room), wanted!.toSorted());
    });
  }
});
