import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import fc from 'fast-check';
import {
  BPF_F_NO_PREALLOC,
  BpfMap,
  bytesLayout,
  type Layout,
  type MapDefinition,
  MapOfMaps,
  openPidfd,
  PerCpuMap,
  possibleCpus,
  StorageMap,
  TypedMap,
  U32,
  U64,
} from '../../../src/libbpf/index.ts';
import { compileBefore, keep, loadSampler, PairLayout, useBpffs } from './sampler.ts';

function create(definition: Partial<MapDefinition>): BpfMap {
  return BpfMap.create({ type: 'hash', name: 'test', keySize: 4, valueSize: 8, maxEntries: 64, ...definition });
}

function key(number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(number);
  return bytes;
}

describe('A map', () => {
  const pins = useBpffs();

  it('gives back what was set, and undefined for what was not', () => {
    const map = keep(create({}));
    map.set(key(1), Buffer.from('12345678'));
    assert.equal(map.get(key(1))?.toString(), '12345678');
    assert.equal(map.get(key(2)), undefined);
    assert.equal(map.delete(key(1)), true);
    assert.equal(map.delete(key(1)), false);
    assert.equal(map.count(), 0);
  });

  it('creates or replaces only, when told so', () => {
    const map = keep(create({}));
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
      const map = keep(create({ type, keySize: 8, maxEntries: 2, flags: BPF_F_NO_PREALLOC }));
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
    const map = keep(create({}));
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
    const map = keep(create({}));
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
    const map = keep(create({}));
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
      const map = keep(create({ maxEntries: COUNT, ...definition }));
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
        const map = keep(create({}));
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
    const map = keep(create({}));
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
    const map = keep(create({ maxEntries: 10_000 }));
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
    const queue = keep(create({ type: 'queue', keySize: 0 }));
    assert.throws(() => [...queue.entries()], { code: 'MAP_READ', hint: /no keys to walk/ });
  });
});

describe('Per-CPU maps', () => {
  const cpus = possibleCpus();

  for (const type of ['percpu_array', 'percpu_hash', 'lru_percpu_hash'] as const) {
    it(`of type ${type} have a value for every CPU`, () => {
      const map = keep(create({ type, valueSize: 12 }));
      const typed = new PerCpuMap(map, U32, bytesLayout(12));
      const values = Array.from({ length: cpus }, (_, cpu) => new Uint8Array(12).fill(cpu + 1));
      typed.set(3, values);
      assert.deepEqual(typed.get(3), values);
      assert.deepEqual(new Map(typed.entries()).get(3), values);
      assert.throws(() => typed.set(3, values.slice(1)), { code: 'ARGUMENT', message: /CPUs/ });
      typed.setAll([[4, values]]);
      assert.deepEqual(typed.get(4), values);
    });
  }

  it('and other maps are not taken for each other', () => {
    const perCpu = keep(create({ type: 'percpu_array' }));
    const plain = keep(create({}));
    assert.throws(() => new TypedMap(perCpu, U32, U64), { code: 'ARGUMENT', message: /PerCpuMap/ });
    assert.throws(() => new PerCpuMap(plain, U32, U64), { code: 'ARGUMENT', message: /type hash/ });
  });
});

describe('Queues and stacks', () => {
  it('give back in their order', () => {
    for (const [type, order] of [
      ['queue', 'ab'],
      ['stack', 'ba'],
    ] as const) {
      const map = keep(create({ type, keySize: 0, valueSize: 1, maxEntries: 2 }));
      map.push(Buffer.from('a'));
      map.push(Buffer.from('b'));
      assert.throws(() => map.push(Buffer.from('c')), { code: 'MAP_FULL' });
      assert.equal(map.peek()?.toString(), order[0]);
      assert.equal(`${map.pop()}${map.pop()}`, order);
      assert.equal(map.pop(), undefined);
    }
  });
});

describe('An element', () => {
  it('can be taken out in one step', () => {
    const map = keep(create({}));
    map.set(key(1), Buffer.from('takeaway'));
    assert.equal(map.take(key(1))?.toString(), 'takeaway');
    assert.equal(map.take(key(1)), undefined);
  });
});

describe('An LRU map', () => {
  it('makes room by forgetting', () => {
    const map = keep(create({ type: 'lru_hash', maxEntries: 100 }));
    const typed = new TypedMap(map, U32, U64);
    typed.setAll(Array.from({ length: 1000 }, (_, n) => [n, BigInt(n)] as const));
    assert.equal(typed.get(999), 999n);
    assert.ok(map.count() <= 100);
  });
});

describe('A map of maps', () => {
  compileBefore();

  it('swaps in whole maps and gives them out again', () => {
    const loaded = keep(loadSampler());
    const outer = new MapOfMaps(loaded.map('outer'), U32);
    const first = keep(create({ maxEntries: 8 }));
    const second = keep(create({ maxEntries: 8 }));
    first.set(key(1), Buffer.from('first---'));
    second.set(key(1), Buffer.from('second--'));
    outer.set(5, first);
    outer.set(5, second);
    const found = keep(outer.get(5));
    assert.equal(found?.id, second.id);
    assert.equal(found?.get(key(1))?.toString(), 'second--');
    assert.deepEqual([...outer.keys()], [5]);
    assert.equal(outer.get(6), undefined);
    assert.equal(outer.delete(5), true);
    assert.equal(outer.delete(5), false);
  });

  it('refuses maps of another shape and what is no map of maps', () => {
    const loaded = keep(loadSampler());
    const wrong = keep(create({ keySize: 16 }));
    const outer = new MapOfMaps(loaded.map('outer'), U32);
    assert.throws(() => outer.set(1, wrong), { code: 'MAP_WRITE', errno: 'EINVAL' });
    assert.throws(() => new MapOfMaps(wrong, U32), { code: 'ARGUMENT', message: /type hash/ });
    assert.throws(() => wrong.getInner(Buffer.alloc(16)), { code: 'ARGUMENT' });
    assert.throws(() => outer.set(1, {} as BpfMap), { code: 'ARGUMENT' });
  });

  it('can be made without an object file', () => {
    const inner = keep(create({}));
    const map = keep(create({ type: 'array_of_maps', keySize: 4, valueSize: 4, maxEntries: 2, inner }));
    const outer = new MapOfMaps(map, U32);
    assert.equal(outer.get(0), undefined);
    outer.set(1, inner);
    const found = keep(outer.get(1));
    assert.equal(found?.id, inner.id);
  });
});

describe('Storage', () => {
  compileBefore();

  it('of tasks is found by a pidfd', () => {
    const loaded = keep(loadSampler());
    const tasks = new StorageMap(loaded.map('tasks'), U64);
    const self = openPidfd(process.pid);
    try {
      assert.equal(tasks.get(self), undefined);
      tasks.set(self, 7n);
      assert.equal(tasks.get(self), 7n);
      assert.throws(() => tasks.set(self, 8n, 'create'), { code: 'MAP_WRITE', errno: 'EEXIST' });
      assert.equal(tasks.delete(self), true);
      assert.equal(tasks.delete(self), false);
    } finally {
      closeSync(self);
    }
  });

  it('of sockets is found by a socket', async () => {
    const loaded = keep(loadSampler());
    const sockets = new StorageMap(loaded.map('sockets'), U64);
    const server = await new Promise<Server>((resolve) => {
      const listening = createServer().listen(0, '127.0.0.1', () => resolve(listening));
    });
    try {
      const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
      sockets.set(fd, 9n);
      assert.equal(sockets.get(fd), 9n);
    } finally {
      server.close();
    }
  });

  it('refuses descriptors of something else', () => {
    const loaded = keep(loadSampler());
    const tasks = new StorageMap(loaded.map('tasks'), U64);
    const file = openSync('/dev/null', 'r');
    try {
      for (const fd of [file, -1, 0x7fffffff])
        assert.throws(() => tasks.set(fd, 1n), { code: 'MAP_WRITE', errno: 'EBADF' }, `${fd}`);
      assert.throws(() => tasks.get(1.5), { code: 'LAYOUT' });
    } finally {
      closeSync(file);
    }
    assert.throws(() => [...loaded.map('tasks').entries()], { code: 'MAP_READ' });
    assert.throws(() => new StorageMap(loaded.map('pairs'), PairLayout), { code: 'ARGUMENT' });
  });
});
