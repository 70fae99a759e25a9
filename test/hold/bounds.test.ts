import assert from 'node:assert/strict';
import type { DropReason, HoldOptions } from '../../src/hold/index.ts';
import { datagram, Rig, ROOM, wait } from './setting.ts';

describe('the bounds of the hold', () => {
  let rigs: Rig[] = [];
  const rig = (options?: Partial<HoldOptions>): Rig => {
    const made = new Rig(options);
    rigs.push(made);
    return made;
  };
  afterEach(() => {
    for (const { hold } of rigs) hold.close();
    rigs = [];
  });

  const bounds: readonly (readonly [DropReason, Partial<HoldOptions['limits']>, Buffer, Buffer])[] = [
    ['peer-full', { perPeer: { ...ROOM, packets: 2 } }, datagram('3', 4002), datagram('x', 1, '10.1.0.2', '10.2.0.4')],
    [
      'endpoint-full',
      { perEndpoint: { ...ROOM, packets: 2 } },
      datagram('3', 1, '10.1.0.2', '10.2.0.4'),
      datagram('x', 1, '10.1.0.3'),
    ],
    ['peer-full', { perPeer: { ...ROOM, bytes: 60 } }, datagram('3', 4002), datagram('x', 1, '10.1.0.2', '10.2.0.4')],
    ['endpoint-full', { perEndpoint: { ...ROOM, bytes: 60 } }, datagram('3'), datagram('x', 1, '10.1.0.3')],
  ];
  for (const [reason, limit, tooMuch, other] of bounds) {
    it(`drops the newest with ${reason} by ${JSON.stringify(limit)}, and room comes back`, async () => {
      const made = rig({ limits: { node: ROOM, perEndpoint: ROOM, perPeer: ROOM, ...limit } });
      made.queue.arrive([datagram('1'), datagram('2', 4001), tooMuch, other]);
      assert.equal(made.dropped(reason), 1);
      assert.deepEqual(
        made.told.map((told) => [told.reason, told.packets, told.bytes]),
        [[reason, 1, 29]],
      );
      assert.ok(!made.hold.held().some(({ id }) => id === made.told[0]!.flow.id), 'reported as a flow of its own');
      assert.equal(made.flows.length, 3);
      made.hold.release(made.flows[1]!.id);
      made.queue.arrive([tooMuch]);
      assert.equal(made.dropped(reason), 1);
      made.queue.arrive([datagram('9', 4009)]);
      assert.equal(made.dropped(reason), 2, 'and no more room than there was');
    });
  }

  it('drops the newest with node-full', () => {
    const made = rig({ limits: { node: { packets: 2, bytes: 1000 }, perEndpoint: ROOM, perPeer: ROOM } });
    made.queue.arrive([datagram('1'), datagram('2', 1, '10.1.0.3'), datagram('3', 2, '10.1.0.3')]);
    assert.equal(made.dropped('node-full'), 1);
    assert.ok(made.queue.options.maxPackets > 2, 'the kernel is not full before the hold is');
  });

  it('reports too much once a second for each flow, and misses none', async () => {
    const made = rig({ limits: { node: ROOM, perEndpoint: ROOM, perPeer: { ...ROOM, packets: 1 } } });
    made.queue.arrive([datagram('1'), datagram('2'), datagram('3'), datagram('4')]);
    made.queue.arrive([datagram('5')]);
    assert.deepEqual(
      made.told.map(({ packets }) => packets),
      [1],
    );
    await wait(1100);
    assert.deepEqual(
      made.told.map(({ packets, bytes }) => [packets, bytes]),
      [
        [1, 29],
        [3, 87],
      ],
    );
    assert.equal(made.dropped('peer-full'), 4);
  });
});
