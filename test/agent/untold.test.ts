import assert from 'node:assert/strict';
import fc from 'fast-check';
import { withSubjectsOf } from '../../src/agent/untold.ts';
import { compile } from '../../src/compile/compiler.ts';
import { DECISION_TABLES, exceeds, RowCount, rowsOfClass, type TableRows } from '../../src/compile/rows.ts';
import { type PolicyTables, SET_ELSEWHERE } from '../../src/compile/tables.ts';
import { Slot } from '../../src/model/slot.ts';
import { identities, policies } from '../compile/worlds.ts';

function rowsOf({ sets, classes }: PolicyTables): TableRows {
  const sum = new RowCount();
  for (const { peers, networks } of sets.values()) sum.add({ peers: peers.size, networks: networks.length });
  for (const one of classes.values()) sum.add(rowsOfClass(one));
  return sum;
}

const rooms = fc
  .tuple(fc.nat(60), fc.nat(12), fc.nat(20), fc.nat(30))
  .map(([peers, networks, ports, ranges]): TableRows => ({ peers, networks, ports, ranges }));

/** What an earlier agent left, and what this one wants, who has been told of some of them. */
const states = fc.tuple(identities, policies, policies, fc.nat(5), rooms).map(([who, before, after, told, room]) => ({
  current: compile({ policies: before, identities: who }),
  desired: compile({ policies: after, identities: new Map([...who].slice(0, told)), room: { ...room, peers: 96 } }),
  room,
}));

describe('tables with what an earlier agent left', () => {
  it('have no more of it than there is room for, and whoever loses his rules is let nowhere', () => {
    let lost = 0;
    fc.assert(
      fc.property(states, ({ current, desired, room }) => {
        const tables = withSubjectsOf(current, desired, room);
        const most = new RowCount();
        for (const rows of [rowsOf(desired), room]) most.add(rows);
        assert.ok(!exceeds(rowsOf(tables), most));
        for (const [slot, { egress, ingress }] of tables.subjects) {
          const known = desired.subjects.get(slot) ?? current.subjects.get(slot);
          for (const [id, former] of [
            [egress, known?.egress],
            [ingress, known?.ingress],
          ] as const) {
            assert.ok(id === former || id === SET_ELSEWHERE);
            assert.ok(id === 0n || id === SET_ELSEWHERE || tables.sets.has(id));
            if (id === SET_ELSEWHERE) lost += 1;
          }
        }
        for (const { peers, networks } of tables.sets.values()) {
          for (const id of [...peers.values(), ...networks.map((entry) => entry.class)])
            assert.ok(tables.classes.has(id));
        }
      }),
      { numRuns: 500 },
    );
    assert.ok(lost > 50);
  });

  it('let nobody through a closed set because it once let others through', () => {
    let closed = 0;
    fc.assert(
      fc.property(identities, policies, (who, wanted) => {
        const room = Object.fromEntries(DECISION_TABLES.map((table) => [table, 0])) as unknown as TableRows;
        const current = compile({ policies: wanted, identities: who });
        const desired = compile({ policies: wanted, identities: new Map([...who].slice(0, 1)), room });
        const tables = withSubjectsOf(current, desired, rowsOf(current));
        for (const [id, { peers }] of tables.sets) {
          if (desired.sets.get(id)?.closed === undefined) continue;
          closed += 1;
          assert.ok([...peers.keys()].every((slot) => slot < Slot.First));
        }
      }),
      { numRuns: 500 },
    );
    assert.ok(closed > 20);
  });
});
