import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IdentityIndex } from '../../src/compile/identity-index.ts';
import { Roster } from '../../src/compile/roster.ts';
import { type Here, Selection } from '../../src/compile/selection.ts';
import { Shelf } from '../../src/compile/shelf.ts';
import { inputs } from './worlds.ts';

const EVERYBODY: Here = { has: () => true, moved: [] };

describe('what the compiler remembers', () => {
  it('is nothing when there are no policies any more', () => {
    fc.assert(
      fc.property(inputs, ({ policies, identities }) => {
        const index = new IdentityIndex();
        const [roster, selection, shelf] = [new Roster(), new Selection(index), new Shelf(index)];
        const change = index.update(identities);
        selection.update(roster.update(policies), change, EVERYBODY);
        const keys = [...identities].flatMap(([slot, { ports }]) => [
          shelf.take(selection.partsOf(slot, 'egress'), undefined),
          shelf.take(selection.partsOf(slot, 'ingress'), ports),
        ]);
        shelf.settle(change);
        assert.equal(shelf.sets.size, new Set(keys.filter((key) => key !== '')).size);

        for (const key of keys) shelf.giveBack(key);
        selection.update(roster.update([]), index.update(identities), EVERYBODY);
        shelf.settle(index.update(identities));
        assert.deepEqual([index.watched, shelf.sets.size, shelf.classes.size, roster.rules.size], [0, 0, 0, 0]);
      }),
      { numRuns: 1_000 },
    );
  });

  it('is not built where it is given back before it was', () => {
    fc.assert(
      fc.property(inputs, ({ policies, identities }) => {
        const index = new IdentityIndex();
        const [selection, shelf] = [new Selection(index), new Shelf(index)];
        const change = index.update(identities);
        selection.update(new Roster().update(policies), change, EVERYBODY);
        for (const [slot, { ports }] of identities)
          shelf.giveBack(shelf.take(selection.partsOf(slot, 'ingress'), ports));
        shelf.settle(change);
        assert.deepEqual([shelf.sets.size, shelf.classes.size], [0, 0]);
      }),
      { numRuns: 300 },
    );
  });
});
