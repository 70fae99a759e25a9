import assert from 'node:assert/strict';
import fc from 'fast-check';
import { compile } from '../../src/compile/compiler.ts';
import { diff } from '../../src/compile/diff.ts';
import { roomMade } from '../../src/compile/making-room.ts';
import { type PolicyTables, SET_ELSEWHERE } from '../../src/compile/tables.ts';
import { identities, policies } from './worlds.ts';

/** Two states of the tables of one node. */
const states = fc.tuple(identities, policies, policies, fc.boolean()).map(
  ([who, before, after, same]) =>
    [
      compile({ policies: before, identities: who }),
      compile({
        policies: same ? [...before, ...after.map((one) => ({ ...one, name: `${one.name}x` }))] : after,
        identities: who,
      }),
    ] as const,
);

const operations = (from: PolicyTables, to: PolicyTables): ReadonlySet<string> =>
  new Set(diff(from, to).steps.map(({ op }) => op));

function assertWhole({ subjects, sets, classes }: PolicyTables): void {
  for (const { egress, ingress } of subjects.values()) {
    for (const id of [egress, ingress]) assert.ok(id === 0n || id === SET_ELSEWHERE || sets.has(id));
  }
  for (const { peers, networks } of sets.values()) {
    for (const id of [...peers.values(), ...networks.map((entry) => entry.class)]) assert.ok(classes.has(id));
  }
}

describe('tables that make room for others', () => {
  it('are reached without writing anything, and whoever must wait for his rules is let nowhere', () => {
    fc.assert(
      fc.property(states, ([current, desired]) => {
        const between = roomMade(current, desired, false);
        assertWhole(between);
        for (const op of ['write-classes', 'patch-classes', 'write-sets', 'patch-sets', 'write-rules']) {
          assert.ok(!operations(current, between).has(op), op);
        }
        for (const op of ['delete-classes', 'delete-sets', 'trim-sets', 'delete-rules', 'delete-subjects']) {
          assert.ok(!operations(between, desired).has(op), op);
        }
        for (const [slot, wanted] of desired.subjects) {
          for (const direction of ['egress', 'ingress'] as const) {
            const id = between.subjects.get(slot)?.[direction];
            assert.ok(id === wanted[direction] || id === SET_ELSEWHERE);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it('leave whoever must wait his former rules, where that is enough', () => {
    fc.assert(
      fc.property(states, ([current, desired]) => {
        const between = roomMade(current, desired, true);
        assertWhole(between);
        for (const [slot, wanted] of desired.subjects) {
          for (const direction of ['egress', 'ingress'] as const) {
            const id = between.subjects.get(slot)?.[direction];
            assert.ok(id === wanted[direction] || id === current.subjects.get(slot)?.[direction]);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
