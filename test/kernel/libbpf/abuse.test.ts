import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import {
  BpfLink,
  BpfMap,
  BpfProgram,
  enableStatistics,
  RingBuffer,
  TypedMap,
  U32,
  U64,
} from '../../../src/libbpf/index.ts';
import { native } from '../../../src/libbpf/native.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { compileBefore, keep, loadSampler, openSampler, PACKET } from './sampler.ts';

const CHILD = join(import.meta.dirname, 'abuse.child.ts');

/** Runs a scene of abuse.child.ts in a process of its own. */
function scene(name: string, ...flags: string[]): { status: number | null; signal: string | null; output: string } {
  const result = spawnSync(process.execPath, [...process.execArgv, ...flags, CHILD, name], {
    encoding: 'utf8',
    timeout: 120_000,
  });
  return { status: result.status, signal: result.signal, output: `${result.stdout}${result.stderr}` };
}

describe('What is closed', () => {
  compileBefore();

  it('stays closed, may be closed again and refuses every use', () => {
    const loaded = loadSampler('count_exec', 'pass_on');
    const map = BpfMap.create({ type: 'hash', name: 'map', keySize: 4, valueSize: 4, maxEntries: 4 });
    const program = BpfProgram.openById(loaded.program('pass_on').id);
    const link = loaded.program('count_exec').attach();
    const ring = new RingBuffer(loaded.map('events'), { onBatch: () => {} });
    const opened = openSampler();
    const four = Buffer.alloc(4);
    const uses: [{ close(): void }, readonly (() => unknown)[]][] = [
      [
        map,
        [
          () => map.get(four),
          () => map.set(four, four),
          () => map.delete(four),
          () => map.take(four),
          () => map.setBatch(four, four, 1),
          () => map.deleteBatch(four, 1),
          () => [...map.entries()],
          () => map.count(),
          () => map.freeze(),
          () => map.pin('/sys/fs/bpf/x'),
          () => map.unpin(),
          () => openSampler().maps.get('pairs')?.setInnerShape(map),
          () => new TypedMap(map, U32, U32).get(1),
        ],
      ],
      [
        program,
        [
          () => program.id,
          () => program.fd,
          () => program.info(),
          () => program.testRun({ data: PACKET }),
          () => program.attach(),
          () => program.attachTcx({ ifindex: 1, direction: 'ingress' }),
          () => program.attachClsact({ ifindex: 0x7ffffffe, direction: 'ingress', priority: 1, handle: 1 }),
          () => program.attachCgroup('/sys/fs', 'cgroup_inet_egress'),
          () => program.pin('/sys/fs/bpf/x'),
        ],
      ],
      [
        link,
        [
          () => link.id,
          () => link.info(),
          () => link.update(loaded.program('count_exec')),
          () => link.detach(),
          () => link.unpin(),
        ],
      ],
      [ring, [() => ring.pause(), () => ring.resume(), () => ring.drain(), () => ring.status()]],
      [
        opened,
        [() => opened.load(), () => opened.maps.get('pairs')!.maxEntries, () => opened.programs.get('send')!.autoload],
      ],
      [loaded, [() => loaded.map('pairs'), () => loaded.program('pass_on')]],
    ];
    for (const [one, calls] of uses) {
      one.close();
      one.close();
      for (const call of calls) {
        assert.throws(call, { code: 'CLOSED' }, String(call));
      }
    }
  });

  it('is closed for the addon too', () => {
    const map = BpfMap.create({ type: 'hash', name: 'map', keySize: 4, valueSize: 4, maxEntries: 4 });
    const handle = map.handle();
    map.close();
    native.close(handle);
    assert.throws(() => native.mapDelete(handle, Buffer.alloc(4)), {
      code: 'ERR_BPF_CLOSED',
      message: 'this map is closed',
    });
  });
});

describe('A handle', () => {
  compileBefore();

  it('of one kind is never taken for another', () => {
    const loaded = keep(loadSampler('pass_on', 'count_exec'));
    const link = native.openRawTracepoint(loaded.program('count_exec').handle(), undefined);
    const ring = native.openRing(loaded.map('events').handle());
    const statistics = keep(enableStatistics());
    assert.ok(!statistics.closed && typeof link !== 'number' && typeof ring !== 'number');
    const netlink = native.openNetlink(0, 0, undefined);
    const poll = native.createPoll(ring, () => {});
    const handles: Record<string, unknown> = {
      map: loaded.map('pairs').handle(),
      program: loaded.program('pass_on').handle(),
      link,
      ring,
      netlink,
      poll,
    };
    const takers: [string, (handle: never) => unknown][] = [
      ['map', (handle) => native.mapInfo(handle)],
      ['map', (handle) => native.mapLookup(handle, Buffer.alloc(4), Buffer.alloc(16), 0)],
      ['map', (handle) => native.mapLookupBatch(handle, Buffer.alloc(4), true, Buffer.alloc(4), Buffer.alloc(16), 1)],
      ['program', (handle) => native.programInfo(handle)],
      ['program', (handle) => native.testRun(handle, PACKET, undefined, 0, undefined, undefined)],
      ['link', (handle) => native.linkInfo(handle)],
      ['ring', (handle) => native.ringStatus(handle)],
      ['ring', (handle) => native.consumeRing(handle, Buffer.alloc(64), new Uint32Array(2))],
      ['netlink', (handle) => native.receiveNetlink(handle, Buffer.alloc(64), false)],
      ['poll', (handle) => native.pausePoll(handle)],
      ['object', (handle) => native.objectMaps(handle)],
    ];
    for (const [kind, take] of takers) {
      for (const [name, handle] of Object.entries(handles)) {
        if (name === kind) take(handle as never);
        else
          assert.throws(
            () => take(handle as never),
            { code: 'ERR_BPF_ARGUMENT', message: /must be a / },
            `${name} as ${kind}`,
          );
      }
    }
    for (const handle of Object.values(handles)) native.close(handle as never);
  });

  it('is given buffers that are large enough or none of its calls is made', () => {
    const map = keep(BpfMap.create({ type: 'hash', name: 'map', keySize: 4, valueSize: 4, maxEntries: 4 }));
    const handle = map.handle();
    const [four, short] = [Buffer.alloc(4), Buffer.alloc(3)];
    const huge = 0xffffffff;
    for (const call of [
      () => native.mapLookup(handle, four, short, 0),
      () => native.mapUpdate(handle, short, four, 0),
      () => native.mapNextKey(handle, four, short),
      () => native.mapLookupBatch(handle, short, true, four, four, 1),
      () => native.mapLookupBatch(handle, four, true, four, four, huge),
      () => native.mapUpdateBatch(handle, four, four, huge, 0),
      () => native.mapDeleteBatch(handle, four, huge),
      () => native.mapDeleteBatch(handle, four, 0),
    ]) {
      assert.throws(call, { code: 'ERR_BPF_ARGUMENT' });
    }
    const moved = Buffer.from(new ArrayBuffer(4));
    structuredClone(moved.buffer, { transfer: [moved.buffer] });
    assert.throws(() => native.mapDelete(handle, moved), { code: 'ERR_BPF_ARGUMENT' });
    assert.equal(native.mapDelete(handle, Buffer.from(new SharedArrayBuffer(4))), -2);
  });
});

describe('A ring buffer', () => {
  compileBefore();

  it('whose handler takes the buffer away ends with an error, not a crash', () => {
    const loaded = keep(loadSampler('send'));
    const ring = keep(
      new RingBuffer(loaded.map('events'), {
        onBatch: ({ buffer }) => void structuredClone(buffer.buffer, { transfer: [buffer.buffer as ArrayBuffer] }),
      }),
    );
    loaded.program('send').testRun({ data: PACKET, repeat: 3 });
    assert.throws(() => ring.drain(), { code: 'ERR_BPF_ARGUMENT' });
  });
});

describe('The binding in a worker', () => {
  compileBefore();

  it('works as in the main thread, and its end takes nothing with it', async function () {
    this.timeout(120_000);
    const loaded = keep(loadSampler('send'));
    const seen: bigint[] = [];
    const ring = keep(
      new RingBuffer(loaded.map('events'), {
        onBatch: (batch) => {
          for (let i = 0; i < batch.count; i++) seen.push(U64.read(batch.buffer, batch.offset(i)));
        },
      }),
    );
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(CHILD, { argv: ['worker'] });
      const answer = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
      assert.equal(answer, 'reading');
      // With its ring open and full of records.
      await worker.terminate();
    }
    loaded.program('send').testRun({ data: PACKET, repeat: 4 });
    await waitFor('the records', () => seen.length === 4);
    assert.ok(!ring.closed);
  });
});

describe('A process', () => {
  compileBefore();

  const scenes: [string, string, readonly string[]][] = [
    ['exits at once with an open ring buffer', 'exit', []],
    ['ends by itself when its ring buffers do not keep it alive', 'idle', []],
    ['ends when its last ring buffer is closed', 'close', []],
    ['gives back what it forgot to close, but never detaches for it', 'garbage', ['--expose-gc']],
    ['survives collection while it reads, iterates and closes', 'collect', ['--expose-gc']],
    ['dies of the exception its handler throws', 'throw', []],
  ];
  for (const [title, name, flags] of scenes) {
    it(title, function () {
      this.timeout(120_000);
      const { status, signal, output } = scene(name, ...flags);
      assert.equal(signal, null, output);
      if (name === 'throw') assert.match(output, /thrown by the handler/);
      else assert.equal(output, `${name} done\n`);
      assert.equal(status, name === 'throw' ? 1 : 0, output);
    });
  }
});

describe('A link', () => {
  compileBefore();

  it('is refused a program that is none', () => {
    const loaded = keep(loadSampler('count_exec'));
    const link = loaded.program('count_exec').attach();
    for (const nonsense of [undefined, {}, loaded.map('pairs')])
      assert.throws(() => link.update(nonsense as never), Error);
    link.close();
    for (const path of ['', 'a\0b', 7, undefined])
      assert.throws(() => BpfLink.openPinned(path as string), { code: 'ARGUMENT' });
  });
});
