import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DECISION_TABLES, exceeds, RowCount, type TableRows } from '../../src/compile/rows.ts';
import { beyondShares, type Demand, rememberedClasses, type SizedClass } from '../../src/compile/shares.ts';

const CLOSED_PEERS = 4;

/** Classes that sets of any owner may have. */
const classes = fc.uniqueArray(
  fc.record({ id: fc.bigInt(1n, 40n), ports: fc.nat(30), ranges: fc.nat(10) }, { noNullPrototype: true }),
  { minLength: 1, maxLength: 30, selector: ({ id }) => id },
);

const demandsOf = (pool: readonly SizedClass[]): fc.Arbitrary<Demand[]> =>
  fc
    .array(
      fc.record({
        owner: fc.constantFrom('', 'a', 'b', 'c', 'd'),
        more: fc.nat(60),
        networks: fc.oneof(fc.nat(10), fc.nat(100)),
        lists: fc.array(fc.subarray([...pool]), { maxLength: 2 }),
      }),
      { minLength: 1, maxLength: 20 },
    )
    .map((sets) =>
      sets.map(({ owner, more, networks, lists }, i) => ({
        key: `set ${i}`,
        owner,
        peers: CLOSED_PEERS + more,
        networks,
        closedPeers: CLOSED_PEERS,
        classes: lists,
      })),
    );

const rooms: fc.Arbitrary<TableRows> = fc
  .tuple(fc.integer({ min: CLOSED_PEERS * 20, max: 600 }), fc.nat(400), fc.nat(300), fc.nat(100))
  .map(([peers, networks, ports, ranges]) => ({ peers, networks, ports, ranges }));

/** Slow and obvious. */
function rowsOf(demands: readonly Demand[], closed: ReadonlySet<string>): TableRows {
  const sum = new RowCount();
  const known = new Map<bigint, SizedClass>();
  for (const { key, peers, networks, closedPeers, classes: lists } of demands) {
    if (closed.has(key)) sum.add({ peers: closedPeers });
    else {
      sum.add({ peers, networks });
      for (const one of lists.flat()) known.set(one.id, one);
    }
  }
  for (const { ports, ranges } of known.values()) sum.add({ ports, ranges });
  return sum;
}

describe('room in the decision tables', () => {
  const cases = fc.tuple(classes.chain(demandsOf), rooms);

  it('is kept to, whatever is wanted, and nobody is closed while there is enough', () => {
    fc.assert(
      fc.property(cases, ([demands, room]) => {
        const closed = beyondShares(demands, room);
        assert.ok(!exceeds(rowsOf(demands, closed), room));
        assert.equal(closed.size > 0, exceeds(rowsOf(demands, new Set()), room));
      }),
      { numRuns: 2_000 },
    );
  });

  it('is there for everybody who wants no more than an equal part of it', () => {
    fc.assert(
      fc.property(cases, ([demands, room]) => {
        const closed = beyondShares(demands, room);
        const owners = Map.groupBy(demands, ({ owner }) => owner);
        const forClosed = demands.length * CLOSED_PEERS;
        for (const [owner, sets] of owners) {
          const rows = rowsOf(sets, new Set());
          const wanted = { ...rows, peers: rows.peers - sets.length * CLOSED_PEERS };
          const part = { ...room, peers: room.peers - forClosed };
          if (DECISION_TABLES.some((table) => wanted[table] > Math.floor(part[table] / owners.size))) continue;
          assert.ok(!sets.some(({ key }) => closed.has(key)), `${owner} wants no more than his part`);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('is divided the same way in whatever order it is asked for', () => {
    fc.assert(
      fc.property(cases, ([demands, room]) => {
        assert.deepEqual(beyondShares(demands.toReversed(), room), beyondShares(demands, room));
      }),
      { numRuns: 500 },
    );
  });

  it('is divided the same way when what is closed is known by what is remembered of it', () => {
    fc.assert(
      fc.property(cases, ([demands, room]) => {
        const closed = beyondShares(demands, room);
        const again = demands.map((one, i) =>
          closed.has(one.key) ? { ...one, classes: rememberedClasses(BigInt(1_000 + i), one.classes) } : one,
        );
        assert.deepEqual(beyondShares(again, room), closed);
      }),
      { numRuns: 500 },
    );
  });

  it('is for the small ones of whoever wants too much', () => {
    const set = (owner: string, networks: number): Demand => ({
      key: `${owner} ${networks}`,
      owner,
      peers: CLOSED_PEERS,
      networks,
      closedPeers: CLOSED_PEERS,
      classes: [],
    });
    const demands = [set('shop', 40), set('evil', 70), set('evil', 30), set('evil', 20), set('evil', 90)];
    const room = { peers: 100, networks: 100, ports: 100, ranges: 100 };
    assert.deepEqual(beyondShares(demands, room), new Set(['evil 70', 'evil 90']));
    assert.deepEqual(beyondShares(demands.slice(0, 2), room), new Set(['evil 70']));
    assert.deepEqual(beyondShares([set('shop', 100)], room), new Set());
  });
});

describe('what is remembered of a closed set', () => {
  it('is each of its classes, or what they are together where they are many', () => {
    const many = (count: number) => Array.from({ length: count }, (_, i) => ({ id: BigInt(i), ports: 2, ranges: 1 }));
    assert.equal(rememberedClasses(7n, [many(10), many(12)]).flat().length, 12);
    assert.deepEqual(rememberedClasses(7n, [many(10), many(2_000)]), [[{ id: 7n, ports: 4_000, ranges: 2_000 }]]);
  });
});
