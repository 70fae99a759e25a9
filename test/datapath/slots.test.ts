import assert from 'node:assert/strict';
import type { Tables } from '../../src/datapath/maps.ts';
import { Slots } from '../../src/datapath/slots.ts';

const LIMIT = 116;
/** A tenth of them all. */
const OWN_FIRST = 105;

/** What of the kernel's tables slots read and write. */
class Rows {
  readonly identities = new Map<bigint, number>();
  readonly subjects = new Map<number, { identity: bigint }>();

  get tables(): Pick<Tables, 'identities' | 'subjects'> {
    const { identities, subjects } = this;
    const table = {
      entries: () => identities.entries(),
      setAll: (rows: Iterable<[bigint, number]>) => [...rows].forEach(([id, slot]) => void identities.set(id, slot)),
      deleteAll: (ids: Iterable<bigint>) => [...ids].forEach((id) => void identities.delete(id)),
    };
    return { identities: table, subjects } as unknown as Pick<Tables, 'identities' | 'subjects'>;
  }
}

const many = (first: number, count: number): bigint[] => Array.from({ length: count }, (_, i) => BigInt(first + i));

describe('slots', () => {
  let now = 0;
  const quarantine = { rest: 10, now: () => now };
  const here =
    (...own: bigint[]) =>
    (identity: bigint) =>
      own.includes(identity);

  it('are there for who runs here, whatever number of others is named, and however often others', () => {
    const rows = new Rows();
    const slots = new Slots(rows.tables, LIMIT, quarantine);
    for (let turn = 0; turn < 3; turn += 1) {
      const others = many(1000 * (turn + 1), 200);
      const assigned = slots.assign([...others, 1n, 2n], here(1n, 2n));
      assert.equal(assigned.size, turn === 0 ? OWN_FIRST - 16 + 2 : 2, 'those of others rest');
      assert.deepEqual([assigned.get(1n), assigned.get(2n)], [OWN_FIRST, OWN_FIRST + 1]);
      assert.deepEqual(new Set(rows.identities.keys()), new Set(assigned.keys()));
      slots.release(slots.withdraw((slot) => slot >= OWN_FIRST).keys());
    }
    now += 10;
    assert.equal(slots.assign([7n], here()).get(7n), 16, 'rested');
  });

  it('are kept by who ran here, by who runs here from now on, and over a restart', () => {
    const rows = new Rows();
    const slots = new Slots(rows.tables, LIMIT, quarantine);
    slots.assign(many(1000, 100), here());
    assert.equal(slots.assign([1n], here(1n)).get(1n), OWN_FIRST);
    assert.equal(slots.assign([1n, 1000n], here(1000n)).get(1n), OWN_FIRST);
    assert.equal(slots.slotOf(1000n), 16);
    for (const [identity, slot] of rows.identities) rows.subjects.set(slot, { identity });
    const next = new Slots(rows.tables, LIMIT, quarantine);
    assert.deepEqual([next.slotOf(1n), next.identityOf(OWN_FIRST)], [OWN_FIRST, 1n]);
    assert.deepEqual([next.slotOf(1000n), next.identityOf(16)], [16, 1000n]);
    assert.equal(next.assign([5000n], here()).get(5000n), undefined);
    assert.equal(next.assign([2n], here(2n)).get(2n), OWN_FIRST + 1);
  });
});
