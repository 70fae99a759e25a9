import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  BPF_F_NO_PREALLOC,
  BpfMap,
  type Layout,
  type MapDefinition,
  TypedMap,
  U32,
  U64,
} from '../../../src/libbpf/index.ts';
import { create, keep, key, useBpffs } from './sampler.ts';

describe('A map', () => {
  const pins = useBpffs();

  it('gives back what was set, and undefined for what was not', () => {
    const map = create({});
    map.set(key(1), Buffer.from('12345678'));
    assert.equal(map.get(key(1))?.toString(), '12345678');
    assert.equal(map.get(key(2)), undefined);
    assert.equal(map.delete(key(1)), true);
    assert.equal(map.delete(key(1)), false);
    assert.equal(map.count(), 0);
  });

  it('creates or replaces only, when told so', () => {
    const map = create({});
    const value = Buffer.alloc(8);
    assert.throws(() => map.set(key(1), value, 'exist'), {
      code: 'MAP_WRITE',
      errno: 'ENOENT',
      message: /the key is not there/,
    });
    map.set(key(1), value, 'create');
    assert.throws(() => map.set(key(1), value, 'create'), {
      code: 'MAP_WRITE',
      errno: 'EEXIST',
      message: /there already/,
    });
    map.set(key(1), value, 'exist');
    assert.throws(() => map.set(key(1), value, 'maybe' as 'any'), { code: 'ARGUMENT', message: /any, create, exist/ });
  });

  it('says how many elements it holds when it is full', () => {
    for (const type of ['hash', 'lpm_trie'] as const) {
      const map = create({ type, keySize: 8, maxEntries: 2, flags: BPF_F_NO_PREALLOC });
      const keyOf = (n: number) => Buffer.from([32, 0, 0, 0, n, 0, 0, 0]);
      for (const n of [1, 2]) map.set(keyOf(n), Buffer.alloc(8));
      assert.throws(
        () => map.set(keyOf(3), Buffer.alloc(8)),
        { code: 'MAP_FULL', message: /at most 2 elements/ },
        type,
      );
      const keys = Buffer.concat([3, 4].map(keyOf));
      assert.throws(
        () => map.setBatch(keys, Buffer.alloc(16), 2),
        { code: 'MAP_FULL', message: /element 0 of 2/ },
        type,
      );
    }
  });

  it('refuses keys and values of another size', () => {
    const map = create({});
    for (const size of [0, 3, 5, 1 << 20]) {
      const attempts = [
        () => map.get(Buffer.alloc(size)),
        () => map.delete(Buffer.alloc(size)),
        () => map.set(Buffer.alloc(size), Buffer.alloc(8)),
        () => map.set(key(1), Buffer.alloc(size)),
        () => map.getInto(key(1), Buffer.alloc(size)),
        () => map.take(Buffer.alloc(size)),
      ];
      for (const attempt of attempts) assert.throws(attempt, { code: 'ARGUMENT', message: /bytes are wanted, not/ });
    }
    const others: unknown[] = [undefined, null, 7, 'four', [1, 2, 3, 4], new ArrayBuffer(4), new Uint16Array(2)];
    for (const value of others) {
      assert.throws(() => map.get(value as Buffer), { code: 'ARGUMENT' });
    }
  });

  it('is the same map through a pin and by its id', () => {
    const map = create({});
    map.pin(pins.path('map'));
    map.set(key(1), Buffer.from('shared!!'));
    const pinned = keep(BpfMap.openPinned(pins.path('map')));
    const byId = keep(BpfMap.openById(map.id));
    assert.equal(pinned.get(key(1))?.toString(), 'shared!!');
    assert.equal(byId.get(key(1))?.toString(), 'shared!!');
    assert.throws(() => map.pin(pins.path('map')), { code: 'PIN', errno: 'EEXIST' });
    pinned.unpin();
    assert.throws(() => BpfMap.openPinned(pins.path('map')), { code: 'NOT_FOUND' });
    assert.throws(() => map.unpin(), { code: 'PIN' }, 'somebody else has unpinned it');
    assert.throws(() => create({}).unpin(), { code: 'PIN', message: /not pinned/ });
  });

  it('can be frozen', () => {
    const map = create({});
    map.freeze();
    assert.throws(() => map.set(key(1), Buffer.alloc(8)), { code: 'PERMISSION', errno: 'EPERM' });
  });

  it('is refused by the kernel with a typed error', () => {
    assert.throws(() => create({ keySize: 0 }), { code: 'MAP_CREATE', errno: 'EINVAL' });
    assert.throws(() => create({ type: 'tree' as 'hash' }), { code: 'ARGUMENT', message: /hash, array/ });
    assert.throws(() => create({ name: 'no blanks' }), { code: 'ARGUMENT' });
    assert.throws(() => BpfMap.openById(0xffffffff), { code: 'NOT_FOUND' });
  });
});

describe('Elements in batches', () => {
  /** Types with and without batches in the kernel must not differ. */
  const types: [string, Partial<MapDefinition>][] = [
    ['hash', { type: 'hash' }],
    ['LRU hash', { type: 'lru_hash', maxEntries: 40_000 }],
    ['array', { type: 'array' }],
    ['LPM trie', { type: 'lpm_trie', keySize: 8, flags: BPF_F_NO_PREALLOC }],
  ];
  const COUNT = 10_000;

  for (const [name, definition] of types) {
    it(`are written, read and deleted like single ones in a map of type ${name}`, () => {
      const map = create({ maxEntries: COUNT, ...definition });
      const keyLayout: Layout<number> =
        map.keySize === 4
          ? U32
          : {
              name: 'lpm',
              size: 8,
              read: (buffer, offset) => buffer.readUInt32BE(offset + 4),
              write: (value, buffer, offset) => {
                buffer.writeUInt32LE(32, offset);
                buffer.writeUInt32BE(value, offset + 4);
              },
            };
      const typed = new TypedMap(map, keyLayout, U64);
      const wanted = new Map(Array.from({ length: COUNT }, (_, i) => [i, BigInt(i) * 3n]));
      assert.equal(typed.setAll(wanted), COUNT);
      assert.deepEqual(new Map(typed.entries()), wanted);
      assert.equal(map.count(), COUNT);
      assert.equal([...typed.keys()].length, COUNT);
      assert.equal(typed.get(77), 231n);
      if (definition.type === 'array') return;
      const odd = [...wanted.keys()].filter((n) => n % 2 === 1);
      assert.equal(typed.deleteAll([...odd, ...odd.slice(0, 10), COUNT + 1]), odd.length, 'absent ones do not count');
      assert.equal(map.count(), COUNT / 2);
      assert.equal(typed.deleteAll([]), 0);
      assert.equal(typed.setAll([]), 0);
    });
  }

  it('behave like a Map under any sequence of operations', () => {
    const step = fc.oneof(
      fc.tuple(
        fc.constant('set'),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 50 }), fc.bigInt({ min: 0n, max: 99n })), { maxLength: 20 }),
      ),
      fc.tuple(
        fc.constant('delete'),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 50 }), fc.constant(0n)), { maxLength: 20 }),
      ),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 10 }), (steps) => {
        const map = create({});
        const typed = new TypedMap(map, U32, U64);
        const model = new Map<number, bigint>();
        for (const [what, entries] of steps) {
          if (what === 'set') {
            assert.equal(typed.setAll(entries), entries.length);
            for (const [k, v] of entries) model.set(k, v);
          } else {
            const keys = entries.map(([k]) => k);
            assert.equal(typed.deleteAll(keys), keys.filter((k) => model.delete(k)).length);
          }
          assert.deepEqual(
            new Map([...typed.entries()].sort(([a], [b]) => a - b)),
            new Map([...model].sort(([a], [b]) => a - b)),
          );
        }
      }),
      { numRuns: 50 },
    );
  });

  it('must be as many as they are said to be', () => {
    const map = create({});
    assert.throws(() => map.setBatch(Buffer.alloc(4), Buffer.alloc(16), 2), {
      code: 'ARGUMENT',
      message: /2 keys of 4 bytes/,
    });
    assert.throws(() => map.setBatch(Buffer.alloc(8), Buffer.alloc(8), 2), {
      code: 'ARGUMENT',
      message: /2 values of 8 bytes/,
    });
    assert.throws(() => map.deleteBatch(Buffer.alloc(4), 2), { code: 'ARGUMENT' });
    assert.throws(() => map.deleteBatch(Buffer.alloc(4), -1), { code: 'ARGUMENT' });
    assert.equal(map.deleteBatch(Buffer.alloc(0), 0), 0);
  });
});

describe('Iterating', () => {
  for (const type of ['hash', 'lpm_trie'] as const) {
    const make = (maxEntries: number) => create({ type, keySize: 8, maxEntries, flags: BPF_F_NO_PREALLOC });
    const keyOf = (n: number) => {
      const bytes = Buffer.from([32, 0, 0, 0, 0, 0, 0, 0]);
      bytes.writeUInt32BE(n, 4);
      return bytes;
    };

    it(`over a ${type} that is emptied meanwhile ends`, () => {
      const map = keep(make(20_000));
      for (let n = 0; n < 20_000; n++) map.set(keyOf(n), Buffer.alloc(8));
      let seen = 0;
      for (const [found] of map.entries()) {
        seen++;
        map.delete(found);
      }
      assert.equal(seen, 20_000);
      assert.equal(map.count(), 0);
    });

    it(`over a ${type} that grows and shrinks meanwhile shows each lasting element once`, () => {
      const map = keep(make(30_000));
      for (let n = 0; n < 10_000; n++) map.set(keyOf(n), Buffer.alloc(8));
      const seen = new Map<number, number>();
      let churn = 10_000;
      for (const [found] of map.entries()) {
        const n = found.readUInt32BE(4);
        seen.set(n, (seen.get(n) ?? 0) + 1);
        // Odd ones go, others come and go.
        map.delete(keyOf(n | 1));
        map.set(keyOf(churn), Buffer.alloc(8));
        if (churn > 10_100) map.delete(keyOf(churn - 100));
        churn = churn === 29_000 ? 10_000 : churn + 1;
      }
      for (let n = 0; n < 10_000; n += 2) assert.equal(seen.get(n), 1, `element ${n}`);
      for (const [n, times] of seen) assert.equal(times, 1, `element ${n}`);
    });
  }

  it('keeps the buffers it has given out', () => {
    const map = create({ maxEntries: 10_000 });
    const keys = Array.from({ length: 10_000 }, (_, n) => n);
    new TypedMap(map, U32, U64).setAll(keys.map((n) => [n, BigInt(n)] as const));
    for (const [k, v] of [...map.entries()]) assert.equal(BigInt(k.readUInt32LE()), v.readBigUInt64LE());
  });

  it('over a map that is closed meanwhile raises CLOSED', () => {
    const map = create({ maxEntries: 10_000 });
    const typed = new TypedMap(map, U32, U64);
    typed.setAll(Array.from({ length: 10_000 }, (_, n) => [n, 0n] as const));
    assert.throws(
      () => {
        for (const _ of typed.entries()) map.close();
      },
      { code: 'CLOSED' },
    );
  });

  it('over what has no keys says so', () => {
    const queue = create({ type: 'queue', keySize: 0 });
    assert.throws(() => [...queue.entries()], { code: 'MAP_READ', hint: /no keys to walk/ });
  });
});
