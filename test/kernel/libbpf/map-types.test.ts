import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import {
  type BpfMap,
  bytesLayout,
  MapOfMaps,
  openPidfd,
  PerCpuMap,
  possibleCpus,
  StorageMap,
  TypedMap,
  U32,
  U64,
} from '../../../src/libbpf/index.ts';
import { compileBefore, create, keep, key, loadSampler, PairLayout } from './sampler.ts';

describe('Per-CPU maps', () => {
  const cpus = possibleCpus();

  for (const type of ['percpu_array', 'percpu_hash', 'lru_percpu_hash'] as const) {
    it(`of type ${type} have a value for every CPU`, () => {
      const map = create({ type, valueSize: 12 });
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
    const perCpu = create({ type: 'percpu_array' });
    const plain = create({});
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
      const map = create({ type, keySize: 0, valueSize: 1, maxEntries: 2 });
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
    const map = create({});
    map.set(key(1), Buffer.from('takeaway'));
    assert.equal(map.take(key(1))?.toString(), 'takeaway');
    assert.equal(map.take(key(1)), undefined);
  });
});

describe('An LRU map', () => {
  it('makes room by forgetting', () => {
    const map = create({ type: 'lru_hash', maxEntries: 100 });
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
    const first = create({ maxEntries: 8 });
    const second = create({ maxEntries: 8 });
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
    const wrong = create({ keySize: 16 });
    const outer = new MapOfMaps(loaded.map('outer'), U32);
    assert.throws(() => outer.set(1, wrong), { code: 'MAP_WRITE', errno: 'EINVAL' });
    assert.throws(() => new MapOfMaps(wrong, U32), { code: 'ARGUMENT', message: /type hash/ });
    assert.throws(() => wrong.getInner(Buffer.alloc(16)), { code: 'ARGUMENT' });
    assert.throws(() => outer.set(1, {} as BpfMap), { code: 'ARGUMENT' });
  });

  it('can be made without an object file', () => {
    const inner = create({});
    const map = create({ type: 'array_of_maps', keySize: 4, valueSize: 4, maxEntries: 2, inner });
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
