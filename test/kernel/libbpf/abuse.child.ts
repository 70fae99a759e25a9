/** Scenes for abuse.test.ts, each in a process or a worker of its own: `node abuse.child.ts SCENE`. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort } from 'node:worker_threads';
import {
  BpfLink,
  BpfMap,
  type LoadedObject,
  openObject,
  RingBuffer,
  TypedMap,
  U32,
  U64,
} from '../../../src/libbpf/index.ts';
import { compile } from '../../libbpf/compile.ts';

const PACKET = Buffer.alloc(64);

function load(...programs: string[]): LoadedObject {
  const object = openObject(compile(join(import.meta.dirname, 'sampler.bpf.c')));
  for (const program of object.programs.values()) program.autoload = programs.includes(program.name);
  return object.load();
}

function openRing(loaded: LoadedObject, keepAlive: boolean): RingBuffer {
  loaded.program('send').testRun({ data: PACKET, repeat: 100 });
  return new RingBuffer(loaded.map('events'), { keepAlive, maxBatchBytes: 64, onBatch: () => {} });
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

async function collect(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function runs(loaded: LoadedObject): bigint {
  return new TypedMap(loaded.map(loaded.mapNames.find((name) => name.endsWith('.bss'))!), U32, U64).get(0)!;
}

const SCENES: Readonly<Record<string, () => void | Promise<void>>> = {
  exit() {
    openRing(load('send'), true);
    console.log('exit done');
    process.exit(0);
  },

  idle() {
    openRing(load('send'), false);
    console.log('idle done');
  },

  close() {
    const ring = openRing(load('send'), true);
    setTimeout(() => {
      console.log('close done');
      ring.close();
    }, 20);
  },

  async garbage() {
    load().close();
    await collect();
    const before = descriptors();
    for (let i = 0; i < 20; i++) {
      BpfMap.create({ type: 'hash', name: 'forgotten', keySize: 4, valueSize: 4, maxEntries: 4 });
      load('send');
    }
    assert.ok(descriptors() > before + 40);
    await collect();
    assert.ok(descriptors() <= before + 2, `${descriptors()} descriptors after ${before}`);

    const loaded = load('count_exec');
    const id = loaded.program('count_exec').attach().id;
    await collect();
    const counted = runs(loaded);
    execFileSync('true');
    assert.ok(runs(loaded) > counted, 'the forgotten link still works');
    BpfLink.openById(id).close();
    console.log('garbage done');
  },

  async collect() {
    const loaded = load('send');
    const values = new TypedMap(
      BpfMap.create({ type: 'hash', name: 'map', keySize: 4, valueSize: 8, maxEntries: 10_000 }),
      U32,
      U64,
    );
    values.setAll(Array.from({ length: 10_000 }, (_, i) => [i, BigInt(i)] as const));
    let records = 0;
    for (let round = 0; round < 20; round++) {
      const ring = new RingBuffer(loaded.map('events'), {
        maxBatchBytes: 64,
        onBatch: (batch) => {
          globalThis.gc?.();
          records += batch.count;
          if (records % 7 === 0) ring.close();
        },
      });
      loaded.program('send').testRun({ data: PACKET, repeat: 20 });
      let steps = 0;
      for (const [key] of values.entries()) {
        if (++steps % 1000 === 0) globalThis.gc?.();
        if (steps % 3 === 0) values.delete(key);
      }
      await new Promise((resolve) => setImmediate(resolve));
      ring.close();
    }
    assert.ok(records > 0);
    console.log('collect done');
  },

  throw() {
    const loaded = load('send');
    loaded.program('send').testRun({ data: PACKET });
    new RingBuffer(loaded.map('events'), {
      onBatch: () => {
        throw new Error('thrown by the handler');
      },
    });
  },

  worker() {
    const loaded = load('send');
    const ring = new RingBuffer(loaded.map('events'), {
      maxBatchBytes: 64,
      onBatch: () => {
        // Never comes to an end.
        loaded.program('send').testRun({ data: PACKET, repeat: 4 });
        parentPort?.postMessage('reading');
      },
    });
    loaded.program('send').testRun({ data: PACKET });
    assert.ok(!ring.closed);
  },
};

await SCENES[process.argv[2] ?? '']!();
