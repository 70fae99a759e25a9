import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Conntrack, installQueueRule, PacketQueue, type QueueVerdict } from '../../../src/netfilter/index.ts';
import { native } from '../../../src/netfilter/native.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { describeInside } from './inside.ts';
import { type Arrivals, MARK, markDatagrams, QUEUE, Road, unmarkDatagrams } from './road.ts';

const CHILD = join(import.meta.dirname, 'abuse.child.ts');
const nothing = (): void => {};
const OPTIONS = { number: QUEUE, maxPackets: 16, onPackets: nothing, onError: nothing };

describeInside('The binding to packet queues', import.meta.filename, () => {
  let road: Road;
  let uninstall: () => Promise<void>;

  before(async () => {
    road = await Road.build();
    await markDatagrams();
    const rule = await installQueueRule({ mark: MARK, queue: QUEUE, bypass: false });
    uninstall = () => rule.remove();
  });
  afterEach(() => road.clear());
  after(async () => {
    await uninstall();
    await unmarkDatagrams();
    road.close();
  });

  it('refuses wrong options, and holds nothing of what it refused', () => {
    const wrong: [string, unknown[]][] = [
      ['number', [-1, 65_536, 1.5, '5114', undefined, null, NaN]],
      ['maxPackets', [0, -1, 2 ** 32, '1', undefined]],
      ['copyBytes', [0, 65_532, '100', null]],
      ['receiveBufferBytes', [0, -1, 2 ** 31]],
      ['onPackets', [undefined, null, 'function', {}]],
      ['onError', [undefined, 1]],
    ];
    for (const [key, values] of wrong) {
      for (const value of values) {
        assert.throws(() => PacketQueue.open({ ...OPTIONS, [key]: value } as never), { code: 'ARGUMENT' }, key);
      }
    }
    for (const options of [undefined, null, 7]) {
      assert.throws(() => PacketQueue.open(options as never), { code: 'ARGUMENT' });
    }
    for (const key of ['failOpen', 'conntrack']) {
      assert.throws(() => PacketQueue.open({ ...OPTIONS, [key]: 'yes' } as never), { code: 'ERR_NETFILTER_ARGUMENT' });
    }
    road.keep(PacketQueue.open(OPTIONS));
  });

  it('refuses wrong verdicts whole: of several, none is given', async () => {
    const lines = await road.listen();
    const arrivals = road.queue();
    const send = await road.sender();
    await send('held');
    await arrivals.count(1);
    const { id, packet } = arrivals.packets[0]!;
    const wrong: [unknown, unknown][] = [
      [-1, { action: 'accept' }],
      [2 ** 32, { action: 'accept' }],
      ['1', { action: 'accept' }],
      [id, undefined],
      [id, null],
      [id, {}],
      [id, { action: 'steal' }],
      [id, { action: 'toString' }],
      [id, { action: '__proto__' }],
      [id, { action: 'accept', mark: -1 }],
      [id, { action: 'accept', mark: '1' }],
      [id, { action: 'accept', packet: 'x' }],
      [id, { action: 'accept', packet: new Uint8Array(0) }],
      [id, { action: 'accept', packet: packet.subarray(1) }],
      [id, { action: 'accept', packet: packet.subarray(0, 27) }],
      [id, { action: 'accept', packet: Buffer.concat([packet, packet]) }],
      [id, { action: 'accept', packet: largePacket(65_532) }],
    ];
    for (const [number, verdict] of wrong) {
      assert.throws(() => arrivals.queue.verdict(number as number, verdict as QueueVerdict), { code: 'ARGUMENT' });
      const two = [
        [id, { action: 'accept' }],
        [number, verdict],
      ] as never;
      assert.throws(() => arrivals.queue.verdicts(two), { code: 'ARGUMENT' });
    }
    for (const entries of [undefined, 7]) assert.throws(() => arrivals.queue.verdicts(entries as never), TypeError);
    arrivals.queue.verdicts([]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(lines.all, []);
    assert.equal(arrivals.queue.statistics().waiting, 1);
    arrivals.queue.verdict(id, { action: 'accept' });
    await lines.count(1);
  });

  it('is closed for every use, and for the addon too', () => {
    const queue = PacketQueue.open(OPTIONS);
    queue.close();
    queue.close();
    assert.equal(queue.closed, true);
    const uses = [
      () => queue.verdict(1, { action: 'drop' }),
      () => queue.verdicts([[1, { action: 'drop' }]]),
      () => queue.statistics(),
    ];
    for (const use of uses) assert.throws(use, { code: 'CLOSED', message: /queue 5114: it is closed/ });
    const opened = native.openQueue(QUEUE, 1, 100, false, false, 65_536);
    assert.ok(typeof opened !== 'number');
    native.close(opened.handle);
    native.close(opened.handle);
    assert.throws(() => native.queueCounters(opened.handle), { code: 'ERR_NETFILTER_CLOSED' });
  });

  it('can be closed, opened again and given verdicts from inside its own callback', async () => {
    const lines = await road.listen();
    const send = await road.sender();
    let second: Arrivals | undefined;
    const first = road.keep(
      PacketQueue.open({
        ...OPTIONS,
        onPackets: (packets) => {
          first.verdict(packets[0]!.id, { action: 'accept' });
          first.close();
          assert.throws(() => first.verdict(packets[0]!.id, { action: 'accept' }), { code: 'CLOSED' });
          second = road.queue();
        },
      }),
    );
    await send('first');
    await lines.count(1);
    await send('second');
    await waitFor('the second queue', () => second?.packets.length === 1);
    second!.queue.verdict(second!.packets[0]!.id, { action: 'accept' });
    await lines.count(2);
    assert.deepEqual(lines.texts, ['first', 'second']);
  });

  it('never takes one handle for another, nor buffers that are too small', () => {
    const opened = native.openQueue(QUEUE, 1, 100, false, false, 65_536);
    const sender = native.openSender();
    assert.ok(typeof opened !== 'number' && typeof sender !== 'number');
    const queue = opened.handle;
    const conntrack = native.openConntrack();
    assert.ok(typeof conntrack !== 'number');
    const words = new Uint32Array(641);
    const calls: (() => unknown)[] = [
      () => native.readQueue(sender.handle as never, words, []),
      () => native.sendVerdicts(sender.handle as never, words, 1, []),
      () => native.watchQueue(sender.handle as never, nothing, true),
      () => native.sendPacket(queue as never, Buffer.alloc(40, 0x45), 0),
      () => native.close({} as never),
      () => native.close(undefined as never),
      () => native.queueCounters(7 as never),
      () => native.readQueue(queue, new Uint32Array(640), []),
      () => native.readQueue(queue, Buffer.alloc(641 * 4) as never, []),
      () => native.readQueue(queue, words, {} as never),
      () => native.sendVerdicts(queue, new Uint32Array(4), 1, []),
      () => native.sendVerdicts(queue, words, 0xffffffff, []),
      () => native.sendVerdicts(queue, Uint32Array.of(1, 7, 0, 0, 0), 1, []),
      () => native.sendVerdicts(queue, Uint32Array.of(1, 1, 0, 0, 1), 1, []),
      () => native.sendVerdicts(queue, Uint32Array.of(1, 1, 0, 0, 0xffffffff), 1, []),
      () => native.sendVerdicts(queue, Uint32Array.of(1, 1, 0, 0, 1), 1, ['x' as never]),
      () => native.sendVerdicts(queue, Uint32Array.of(1, 1, 0, 0, 1), 1, [new Uint8Array(65_532)]),
      () => native.watchQueue(queue, 'function' as never, true),
      () => native.sendPacket(sender.handle, Buffer.alloc(19, 0x45), 0),
      () => native.sendPacket(sender.handle, Buffer.alloc(39, 0x65), 0),
      () => native.deleteEmptyTable(false, 'x'.repeat(256)),
      () => native.deleteEmptyTable(false, ''),
      () => native.findOriginal(sender.handle as never, Buffer.alloc(80)),
      () => native.findOriginal(conntrack, Buffer.alloc(79)),
      () => native.findOriginal(conntrack, 'x' as never),
    ];
    for (const call of calls) assert.throws(call, { code: 'ERR_NETFILTER_ARGUMENT' }, String(call));
    const moved = new Uint32Array(5);
    structuredClone(moved.buffer, { transfer: [moved.buffer] });
    assert.throws(() => native.sendVerdicts(queue, moved, 1, []), { code: 'ERR_NETFILTER_ARGUMENT' });
    native.close(queue);
    native.close(sender.handle);
    native.close(conntrack);
    assert.throws(() => native.findOriginal(conntrack, Buffer.alloc(80)), { code: 'ERR_NETFILTER_CLOSED' });
  });

  it('asks connection tracking about what is a packet, and finds nothing of what never was', () => {
    const conntrack = road.keep(Conntrack.open());
    const about = { protocol: 17, sourcePort: 1, destinationPort: 2 };
    for (const packet of [Buffer.alloc(28, 0x45), Buffer.alloc(0), 'x' as never]) {
      assert.throws(() => conntrack.originalOf({ ...about, packet }), { code: 'ARGUMENT' });
    }
    const packet = largePacket(28);
    for (const protocol of [0, 6, 17, 132, 255]) {
      assert.equal(conntrack.originalOf({ ...about, packet, protocol }), undefined);
    }
    conntrack.close();
    conntrack.close();
    assert.throws(() => conntrack.originalOf({ ...about, packet }), { code: 'CLOSED' });
  });

  it('survives an array of packets that takes everything away while it is read', () => {
    const opened = native.openQueue(QUEUE, 1, 100, false, false, 65_536);
    assert.ok(typeof opened !== 'number');
    const words = Uint32Array.of(1, 1, 0, 0, 1, 2, 1, 0, 0, 2);
    const evil: Uint8Array[] = [];
    Object.defineProperty(evil, 0, {
      get() {
        structuredClone(words.buffer, { transfer: [words.buffer] });
        return Buffer.alloc(100);
      },
    });
    Object.defineProperty(evil, 1, {
      get() {
        native.close(opened.handle);
        return Buffer.alloc(100);
      },
    });
    assert.equal(native.sendVerdicts(opened.handle, words, 2, evil), -108);
  });

  it('works in a worker as in the main thread, and its end frees the queue', async function () {
    this.timeout(120_000);
    const send = await road.sender();
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(CHILD, { argv: ['worker'] });
      const heard = (word: string): Promise<void> =>
        new Promise((resolve, reject) => {
          worker.on('message', (said) => said === word && resolve()).once('error', reject);
        });
      const open = heard('open');
      const packets = heard('packets');
      await open;
      await send('for the worker');
      await packets;
      await worker.terminate();
    }
    // Closed with the last worker, or this would be refused.
    await waitFor('the queue', () => !readFileSync('/proc/thread-self/net/netfilter/nfnetlink_queue', 'latin1'));
    road.queue();
  });

  const scenes: [string, string, readonly string[]][] = [
    ['exits at once with an open queue', 'exit', []],
    ['ends by itself when its queues do not keep it alive', 'idle', []],
    ['ends when its last queue is closed', 'close', []],
    ['gives back senders it forgot, and never a queue that is open', 'garbage', ['--expose-gc']],
    ['survives collection while packets are read and released', 'collect', ['--expose-gc']],
    ['dies of the exception its handler throws', 'throw', []],
  ];
  for (const [title, name, flags] of scenes) {
    it(`belongs to a process that ${title}`, function () {
      this.timeout(120_000);
      const result = spawnSync(process.execPath, [...process.execArgv, ...flags, CHILD, name, road.far.ipv4], {
        encoding: 'utf8',
        timeout: 120_000,
      });
      const output = `${result.stdout}${result.stderr}`;
      assert.equal(result.signal, null, output);
      if (name === 'throw') assert.match(output, /thrown by the handler/);
      else assert.equal(output, `${name} done\n`);
      assert.equal(result.status, name === 'throw' ? 1 : 0, output);
    });
  }
});

/** An IPv4 packet by its header, of so many bytes. */
function largePacket(bytes: number): Buffer {
  const packet = Buffer.alloc(bytes);
  packet[0] = 0x45;
  packet.writeUInt16BE(bytes, 2);
  return packet;
}
