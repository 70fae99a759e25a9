import assert from 'node:assert/strict';
import { once } from 'node:events';
import { BpfMap, type LoadedObject, type RecordBatch, RingBuffer, U64 } from '../../../src/libbpf/index.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { compileBefore, keep, loadSampler, openSampler, PACKET } from './sampler.ts';

/** The first word of each record. */
function numbers(batch: RecordBatch): number[] {
  return Array.from({ length: batch.count }, (_, i) => Number(U64.read(batch.buffer, batch.offset(i))));
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

/** Sends records; returns how many found room, by the last run's word alone. */
function send(loaded: LoadedObject, count: number): void {
  loaded.program('send').testRun({ data: PACKET, repeat: count });
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('A ring buffer', () => {
  compileBefore();

  it('delivers all records of a wake-up at once and in order', async () => {
    const loaded = keep(loadSampler('send'));
    const batches: number[][] = [];
    const ring = keep(new RingBuffer(loaded.map('events'), { onBatch: (batch) => batches.push(numbers(batch)) }));
    send(loaded, 1000);
    await waitFor('a batch', () => batches.length > 0);
    assert.deepEqual(batches, [range(0, 1000)]);
    send(loaded, 3);
    await waitFor('another batch', () => batches.length > 1);
    assert.deepEqual(batches[1], [1000, 1001, 1002]);
    assert.equal(ring.status().available, 0);
  });

  it('delivers at most so many bytes in a turn, and the rest in the next', async () => {
    const loaded = keep(loadSampler('send'));
    const batches: number[][] = [];
    let turns = 0;
    const ring = keep(
      new RingBuffer(loaded.map('events'), {
        maxBatchBytes: 64,
        onBatch: (batch) => batches.push(numbers(batch)),
      }),
    );
    send(loaded, 10);
    while (batches.flat().length < 10) {
      await turn();
      turns++;
      assert.ok(turns < 1000);
    }
    assert.deepEqual(
      batches.map((batch) => batch.length),
      [2, 2, 2, 2, 2],
      'places for 64 / 32 records',
    );
    assert.deepEqual(batches.flat(), range(0, 10));
    assert.equal(ring.status().oversized, 0);
  });

  it('keeps records while paused and delivers them when resumed', async () => {
    const loaded = keep(loadSampler('send'));
    const seen: number[] = [];
    const ring = keep(new RingBuffer(loaded.map('events'), { onBatch: (batch) => seen.push(...numbers(batch)) }));
    ring.pause();
    ring.pause();
    send(loaded, 5);
    for (let i = 0; i < 20; i++) await turn();
    assert.deepEqual(seen, []);
    assert.equal(ring.status().available, 5 * 24, 'records and their headers');
    ring.resume();
    ring.resume();
    await waitFor('the records', () => seen.length === 5);
  });

  it('loses what finds no room at the producer, and goes on after', () => {
    const loaded = keep(loadSampler('send'));
    const seen: number[] = [];
    const ring = keep(new RingBuffer(loaded.map('events'), { onBatch: (batch) => seen.push(...numbers(batch)) }));
    send(loaded, 5000);
    const { available, capacity } = ring.status();
    assert.equal(capacity, 65536);
    const kept = available / 24;
    assert.ok(kept < 5000 && kept > 2000);
    assert.equal(ring.drain(), kept);
    assert.deepEqual(seen, range(0, kept));
    send(loaded, 2);
    assert.equal(ring.drain(), 2);
    assert.deepEqual(seen.slice(kept), [5000, 5001]);
  });

  it('passes over records that were discarded, across the end of the ring', () => {
    const object = openSampler('send');
    object.setGlobal('record_bytes', U64, 5n);
    const loaded = keep(object.load());
    const seen: number[] = [];
    const ring = keep(new RingBuffer(loaded.map('events'), { onBatch: (batch) => seen.push(...numbers(batch)) }));
    for (let i = 0; i < 10; i++) {
      send(loaded, 1000);
      ring.drain();
    }
    assert.deepEqual(
      seen,
      range(0, 10_000).filter((n) => n % 5 !== 4),
    );
  });

  it('counts records that are longer than a batch, and delivers the others', () => {
    const object = openSampler('send');
    object.setGlobal('record_bytes', U64, 4096n);
    const loaded = keep(object.load());
    const ring = keep(
      new RingBuffer(loaded.map('events'), {
        maxBatchBytes: 4095,
        onBatch: () => assert.fail('nothing fits'),
      }),
    );
    send(loaded, 3);
    assert.equal(ring.drain(), 0);
    assert.deepEqual([ring.status().oversized, ring.status().available], [3, 0]);
  });

  it('stops by an abort signal, by close() in its handler, and any number of times', async () => {
    const loaded = keep(loadSampler('send'));
    const controller = new AbortController();
    const aborted = new RingBuffer(loaded.map('events'), {
      signal: controller.signal,
      onBatch: () => assert.fail('closed'),
    });
    controller.abort();
    assert.ok(aborted.closed);
    aborted.close();
    assert.ok(new RingBuffer(loaded.map('events'), { signal: controller.signal, onBatch: () => {} }).closed);

    let calls = 0;
    const ring = new RingBuffer(loaded.map('events'), {
      maxBatchBytes: 64,
      onBatch: () => {
        calls++;
        ring.close();
      },
    });
    send(loaded, 10);
    await waitFor('closing', () => ring.closed);
    for (let i = 0; i < 20; i++) await turn();
    assert.equal(calls, 1);
    assert.throws(() => ring.pause(), { code: 'CLOSED' });
    assert.throws(() => ring.resume(), { code: 'CLOSED' });
    assert.throws(() => ring.drain(), { code: 'CLOSED' });
    assert.throws(() => ring.status(), { code: 'CLOSED' });
  });

  it('outlives its map and its object', async () => {
    const loaded = loadSampler('send');
    const seen: number[] = [];
    const ring = keep(new RingBuffer(loaded.map('events'), { onBatch: (batch) => seen.push(...numbers(batch)) }));
    send(loaded, 4);
    loaded.close();
    await waitFor('the records', () => seen.length === 4);
    assert.ok(!ring.closed);
  });

  it('makes what its handler throws an uncaught exception, and goes on', async () => {
    const loaded = keep(loadSampler('send'));
    let calls = 0;
    const ring = keep(
      new RingBuffer(loaded.map('events'), {
        onBatch: () => {
          calls++;
          if (calls === 1) throw new Error('handler');
        },
      }),
    );
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    try {
      const caught = once(process, 'uncaughtException');
      send(loaded, 1);
      assert.equal(((await caught) as [Error])[0].message, 'handler');
    } finally {
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
    send(loaded, 1);
    await waitFor('the next batch', () => calls === 2);
    assert.ok(!ring.closed);
  });

  it('is not drained from its own handler', () => {
    const loaded = keep(loadSampler('send'));
    let error: unknown;
    const ring = keep(
      new RingBuffer(loaded.map('events'), {
        onBatch: () => {
          try {
            ring.drain();
          } catch (caught) {
            error = caught;
          }
        },
      }),
    );
    send(loaded, 1);
    ring.drain();
    assert.equal((error as { code: string }).code, 'ARGUMENT');
  });

  it('is made of ring buffer maps only, with options that make sense', () => {
    const loaded = keep(loadSampler());
    const hash = keep(BpfMap.create({ type: 'hash', name: 'hash', keySize: 4, valueSize: 4, maxEntries: 4 }));
    const onBatch = () => {};
    assert.throws(() => new RingBuffer(hash, { onBatch }), { code: 'ARGUMENT', message: /type hash/ });
    assert.throws(() => new RingBuffer({} as BpfMap, { onBatch }), { code: 'ARGUMENT' });
    assert.throws(() => new RingBuffer(loaded.map('events'), { onBatch: 1 as unknown as () => void }), {
      code: 'ARGUMENT',
    });
    assert.throws(() => new RingBuffer(loaded.map('events'), { onBatch, maxBatchBytes: 3 }), { code: 'ARGUMENT' });
  });
});
