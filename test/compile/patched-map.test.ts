import assert from 'node:assert/strict';
import fc from 'fast-check';
import { changedKeys, PatchedMap } from '../../src/compile/patched-map.ts';

interface Value {
  readonly n: number;
}

const VALUES: readonly Value[] = Array.from({ length: 8 }, (_, n) => ({ n }));

/** Some keys, some of which are there, are set to some of a few values, so that what was comes again. */
const change = fc.record({ key: fc.nat(400), value: fc.option(fc.constantFrom(...VALUES), { nil: undefined }) });
const batch = fc.array(change, { maxLength: 8 });

function assertHolds(map: PatchedMap<number, Value>, expected: ReadonlyMap<number, Value>): void {
  assert.equal(map.size, expected.size);
  const entries = new Map(map);
  assert.deepEqual(entries, expected);
  assert.deepEqual([...map.keys()], [...entries.keys()]);
  assert.deepEqual([...map.values()], [...entries.values()]);
  const visited = new Map<number, Value>();
  map.forEach((value, key) => {
    visited.set(key, value);
  });
  assert.deepEqual(visited, expected);
  for (let key = 0; key <= 400; key++) {
    assert.equal(map.has(key), expected.has(key));
    assert.equal(map.get(key), expected.get(key));
  }
}

function differing(a: ReadonlyMap<number, Value>, b: ReadonlyMap<number, Value>): number[] {
  return [...new Set([...a.keys(), ...b.keys()])].filter((key) => a.get(key) !== b.get(key));
}

describe('a map patched again and again', function () {
  this.timeout(120_000);

  it('holds what an ordinary one holds, and so do all that it was made from', () => {
    const batches = fc.array(batch, { minLength: 1_000, maxLength: 1_000, size: 'max' });
    fc.assert(
      fc.property(batches, fc.nat(400), (edits, room) => {
        const versions: { map: PatchedMap<number, Value>; expected: Map<number, Value> }[] = [];
        const first = new Map(Array.from({ length: room }, (_, key) => [key, { n: key }]));
        let [map, expected] = [new PatchedMap<number, Value>(new Map(first)), first];
        for (const [i, changes] of edits.entries()) {
          const editing = map.edit();
          expected = new Map(expected);
          for (const { key, value } of changes) {
            if (value === undefined) editing.delete(key);
            else editing.set(key, value);
            if (value === undefined) expected.delete(key);
            else expected.set(key, value);
            assert.equal(editing.get(key), expected.get(key));
          }
          const next = editing.done();
          assert.equal(next.size, expected.size);
          const changed = changedKeys(map, next);
          const all = new Set(changed);
          if (changed !== undefined) for (const key of differing(map, next)) assert.ok(all.has(key));
          assert.ok(next.patch.size <= Math.max(64, next.base.size / 16));
          map = next;
          if (i % 50 === 0) versions.push({ map, expected });
        }
        for (const version of versions) assertHolds(version.map, version.expected);
      }),
      { numRuns: 5, endOnFailure: true },
    );
  });

  it('is compared by what changed, not by what there is', () => {
    const map = new PatchedMap(new Map(Array.from({ length: 10_000 }, (_, key) => [key, { n: key }])));
    const editing = map.edit();
    editing.set(10_000, { n: 0 });
    editing.delete(17);
    const next = editing.done();
    assert.deepEqual(new Set(changedKeys(map, next)), new Set([10_000, 17]));
    assert.deepEqual(new Set(changedKeys(next, map)), new Set([10_000, 17]));
    assert.deepEqual([next.base, next.size], [map.base, 10_000]);
  });

  it('keeps no trace of what went to and fro', () => {
    let map = new PatchedMap(new Map(Array.from({ length: 1_000 }, (_, key) => [key, { n: key }])));
    const { base } = map;
    const seventeen = map.get(17) ?? assert.fail();
    for (let i = 0; i < 500; i++) {
      const away = map.edit();
      away.delete(17);
      away.set(1_000 + i, { n: i });
      map = away.done();
      const back = map.edit();
      back.set(17, seventeen);
      back.delete(1_000 + i);
      map = back.done();
    }
    assert.equal(map.base, base);
    assert.equal(map.patch.size, 0);
  });

  it('is the same object where an edit changed nothing', () => {
    const one = { n: 1 };
    const map = new PatchedMap(new Map([[1, one]]));
    const editing = map.edit();
    editing.set(1, one);
    editing.delete(2);
    assert.equal(editing.done(), map);
    assert.deepEqual([...(changedKeys(map, map) ?? assert.fail())], []);
  });

  it('has to be compared key by key with any that does not share its base', () => {
    const map = new PatchedMap(new Map([[1, { n: 1 }]]));
    assert.equal(changedKeys(map, new Map(map)), undefined);
    assert.equal(changedKeys(map, new PatchedMap(new Map(map))), undefined);
  });
});
