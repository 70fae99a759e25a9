import assert from 'node:assert/strict';
import type { HoldEdges, HoldOptions } from '../../src/hold/index.ts';
import { parsePacket } from '../../src/hold/packet.ts';
import { claimPayload, withPayload } from '../../src/hold/rewrite.ts';
import { icmpEcho, sctp, tcp, udp } from '../rig/transports.ts';
import { AGAIN, datagram, from, Rig, settled, TOKEN, wait } from './setting.ts';

describe('the hold', () => {
  let rigs: Rig[] = [];
  const rig = (options?: Partial<HoldOptions>, edges?: Partial<HoldEdges>): Rig => {
    const made = new Rig(options, edges);
    rigs.push(made);
    return made;
  };
  afterEach(() => {
    for (const { hold } of rigs) hold.close();
    rigs = [];
  });

  it('tells once of a burst, and lets nothing through', () => {
    const { queue, flows, hold } = rig();
    queue.arrive([datagram('1'), datagram('2')]);
    queue.arrive([datagram('3')]);
    assert.deepEqual(flows, [
      {
        id: 1,
        conversation: {
          protocol: 17,
          source: { address: '10.1.0.2', port: 4000 },
          destination: { address: '10.2.0.3', port: 53 },
        },
        tagged: false,
        since: 1_700_000_000_000,
      },
    ]);
    assert.deepEqual(queue.passed, []);
    assert.deepEqual(hold.held(), flows);
    const { flows: count, packets, bytes, received, released } = hold.statistics();
    assert.deepEqual([count, packets, bytes, received, released], [1, 3, 87, 3n, 0n]);
  });

  it('tells apart what differs in a port, a protocol or an address, and joins A and AAAA', () => {
    const { queue, flows } = rig();
    queue.arrive([
      ...[datagram('A'), datagram('AAAA'), datagram('x', 4001), datagram('x', 4000, '10.1.0.3')],
      ...[datagram('x', 4000, '10.1.0.2', '10.2.0.4'), from('fd00::2', udp({ sourcePort: 4000 }), 'fd00::3')],
      from('10.1.0.2', tcp({ sourcePort: 4000, destinationPort: 53, flags: ['SYN'] })),
    ]);
    assert.equal(flows.length, 6);
  });

  it('sends the token in the place of the first packet, and clears only its own bit of the mark', async () => {
    const { queue, flows, hold } = rig();
    queue.arrive([datagram('1')], { mark: 0x4000_5080 });
    assert.equal(hold.sendToken(flows[0]!.id, TOKEN), true);
    await settled();
    const packet = parsePacket(datagram('1'));
    assert.ok(!('malformed' in packet));
    assert.deepEqual(queue.passed, [
      { how: 'accepted', bytes: withPayload(packet, claimPayload(TOKEN)), mark: 0x4000_4080 },
    ]);
  });

  it('clears the uppermost bit too', async () => {
    const { queue, flows, hold } = rig({ mark: 0x8000_0000 });
    queue.arrive([datagram('1')], { mark: 0xc000_0001 });
    hold.release(flows[0]!.id);
    await settled();
    assert.equal(queue.passed[0]!.mark, 0x4000_0001);
  });

  it('sends tokens, then everything in order, each packet as the container made it', async () => {
    const made = rig();
    const { queue, hold } = made;
    queue.arrive([datagram('1'), datagram('2')]);
    assert.equal(hold.sendToken(1, TOKEN), true);
    assert.equal(hold.sendToken(1, AGAIN), true);
    queue.arrive([datagram('3')]);
    assert.equal(hold.release(1), true);
    await settled();
    assert.deepEqual(made.passed(), ['accepted token', 'sent token again', 'sent 1', 'sent 2', 'sent 3']);
    assert.deepEqual(
      queue.passed.slice(2).map(({ bytes }) => bytes),
      ['1', '2', '3'].map((text) => datagram(text)),
    );
    assert.deepEqual(
      queue.passed.slice(1).map(({ mark }) => mark),
      [0, 0, 0, 0],
    );
    assert.equal(queue.waiting, 0);
    assert.equal(hold.statistics().released, 3n);
    assert.deepEqual([hold.release(1), hold.sendToken(1, TOKEN), hold.drop(1, 'refused')], [false, false, false]);
  });

  it('accepts the first as it is where no token was sent, and sends the others after it', async () => {
    const made = rig();
    made.queue.arrive([datagram('1'), datagram('2'), datagram('3')]);
    made.hold.release(1);
    await settled();
    assert.deepEqual(made.passed(), ['accepted 1', 'sent 2', 'sent 3']);
  });

  const TUPLE = {
    source: '10.1.0.2',
    sourcePort: 4000,
    destination: '10.96.0.10',
    destinationPort: 5353,
    protocol: 17,
  };

  it('sends toward where the container sent, before this host rewrote that', async () => {
    const made = rig();
    made.queue.arrive([datagram('1'), datagram('2')], { original: TUPLE });
    made.hold.sendToken(1, TOKEN);
    made.hold.sendToken(1, AGAIN);
    made.hold.release(1);
    await settled();
    const ways = made.queue.passed.map(({ bytes }) => `${bytes.subarray(16, 20).join('.')}:${bytes.readUInt16BE(22)}`);
    assert.deepEqual(ways, ['10.2.0.3:53', ...Array(3).fill('10.96.0.10:5353')]);
    assert.deepEqual(made.flows[0]!.conversation.destination, { address: '10.2.0.3', port: 53 });
    assert.deepEqual(made.flows[0]!.addressed, { address: '10.96.0.10', port: 5353 });
  });

  it('asks connection tracking where the queue does not tell, once the first packet has gone on', async () => {
    for (const token of [true, false]) {
      const made = rig();
      made.queue.conntrack = false;
      const asking = new Rig({}, { queue: (o) => made.queue.open(o), sender: made.queue, conntrack: () => made.queue });
      made.queue.arrive([datagram('1'), datagram('2'), datagram('3')]);
      assert.equal(made.queue.asked, 0, 'nobody would find it yet');
      assert.equal(asking.flows[0]!.addressed, undefined);
      assert.equal(asking.flows[0]!.untold, true);
      made.queue.original = TUPLE;
      if (token) asking.hold.sendToken(1, TOKEN);
      asking.hold.release(1);
      assert.equal(made.queue.asked, 1, 'all of one conversation');
      made.queue.arrive([datagram('4')]);
      await settled();
      const ways = made.queue.passed.map(
        ({ bytes }) => `${bytes.subarray(16, 20).join('.')}:${bytes.readUInt16BE(22)}`,
      );
      assert.deepEqual(ways, ['10.2.0.3:53', ...Array(token ? 4 : 3).fill('10.96.0.10:5353')]);
      assert.equal(made.queue.passed[0]!.how, 'accepted');
    }
  });

  it('sends to where it leads what connection tracking does not know, and tells once that it cannot be asked', async () => {
    const made = rig();
    made.queue.conntrack = false;
    let asked = 0;
    const conntrack = {
      originalOf: () => {
        asked += 1;
        if (asked > 1) throw new Error('asked in vain');
        return undefined;
      },
      close: () => undefined,
    };
    const asking = new Rig({}, { queue: (o) => made.queue.open(o), sender: made.queue, conntrack: () => conntrack });
    for (const port of [4000, 4001, 4002]) {
      made.queue.arrive([datagram('1', port), datagram('2', port)]);
      asking.hold.release(asking.flows.at(-1)!.id);
    }
    await settled();
    const ways = made.queue.passed.map(({ bytes }) => bytes.subarray(16, 20).join('.'));
    assert.deepEqual(ways, Array(6).fill('10.2.0.3'));
    assert.deepEqual(
      asking.errors.map(({ message }) => message),
      ['asked in vain'],
    );
  });

  for (const [name, original] of [
    ['an answer', { ...TUPLE, source: '10.2.0.3', sourcePort: 53, destination: '10.96.0.10' }],
    ['a packet of another port', { ...TUPLE, sourcePort: 4001 }],
    ['a packet of another protocol', { ...TUPLE, protocol: 6 }],
  ] as const) {
    it(`takes for its own destination no other connection's: ${name}`, async () => {
      const made = rig();
      made.queue.arrive([datagram('1'), datagram('2')], { original });
      made.hold.release(1);
      await settled();
      assert.deepEqual(made.queue.passed[1]!.bytes, datagram('2'));
      assert.equal(made.flows[0]!.addressed, undefined);
    });
  }

  it('has no token for what has no place for one, and keeps it', async () => {
    const made = rig();
    made.queue.arrive([from('10.1.0.2', sctp({})), from('10.1.0.2', tcp({ flags: ['ACK'] })), datagram('x')]);
    assert.deepEqual(
      [1, 2, 3].map((id) => made.hold.sendToken(id, TOKEN)),
      [false, false, true],
    );
    assert.throws(() => made.hold.sendToken(3, Buffer.alloc(15)), RangeError);
    assert.equal(made.hold.held().length, 3);
  });

  it('knows a SYN that bears a tag', () => {
    const { queue, flows } = rig();
    const options = Buffer.from('fe145a11'.padEnd(40, '0'), 'hex');
    queue.arrive([from('10.1.0.2', tcp({ flags: ['SYN'], options })), from('10.1.0.2', icmpEcho())]);
    assert.deepEqual(
      flows.map(({ tagged }) => tagged),
      [true, false],
    );
  });

  it('takes no packet for tagged because another one of its flow was', async () => {
    const options = Buffer.from('fe145a11'.padEnd(40, '0'), 'hex');
    const tagged = from('10.1.0.2', tcp({ flags: ['SYN'], options }));
    for (const other of [
      from('10.1.0.2', tcp({ flags: ['SYN'], options }, Buffer.from('payload'))),
      from('10.1.0.2', tcp({ flags: ['SYN'] })),
      from('10.1.0.2', tcp({ flags: ['ACK'] }, Buffer.from('payload'))),
    ]) {
      const made = rig();
      made.queue.arrive([tagged, tagged]);
      assert.equal(made.flows[0]!.tagged, true);
      made.queue.arrive([other]);
      assert.equal(made.flows[0]!.tagged, false);
      made.hold.drop(1, 'unreachable');
      // Nor does one that went on because nobody could be asked speak for what comes after it.
      made.queue.arrive([tagged]);
      made.hold.release(2);
      made.queue.arrive([other]);
      await settled();
      assert.equal(made.queue.passed.length, 1);
      assert.deepEqual([made.flows.length, made.flows[2]!.tagged], [3, false]);
    }
  });

  it('takes what came unread along on release: nothing that comes later may overtake it', () => {
    const { queue, flows, hold } = rig();
    queue.arrive([datagram('1')]);
    hold.sendToken(flows[0]!.id, TOKEN);
    queue.comeUnread([datagram('2'), datagram('3')]);
    hold.release(flows[0]!.id);
    const texts = queue.passed.slice(1).map(({ bytes }) => bytes.subarray(28).toString());
    assert.deepEqual(texts, ['1', '2', '3']);
  });

  it('lets what was on its way follow for a second, in order', async () => {
    let now = 0;
    const made = rig({}, { monotonic: () => now });
    made.queue.arrive([datagram('1')]);
    made.hold.release(1);
    made.queue.arrive([datagram('2'), datagram('3')]);
    now = 999;
    made.queue.arrive([datagram('4')]);
    await settled();
    assert.deepEqual(made.passed(), ['accepted 1', 'sent 2', 'sent 3', 'sent 4']);
    now = 1001;
    made.queue.arrive([datagram('5')]);
    assert.equal(made.flows.length, 2);
    assert.equal(made.queue.waiting, 1);
  });

  it('drops what follows a refusal for a second, and asks again then', () => {
    let now = 0;
    const made = rig({}, { monotonic: () => now });
    made.queue.arrive([datagram('1'), datagram('2')]);
    assert.equal(made.hold.drop(1, 'refused'), true);
    made.queue.arrive([datagram('3')]);
    assert.deepEqual(
      made.told.map(({ reason, packets, bytes }) => [reason, packets, bytes]),
      [['refused', 2, 58]],
    );
    assert.equal(made.dropped('refused'), 3);
    now = 1001;
    made.queue.arrive([datagram('4')]);
    assert.equal(made.flows.length, 2);
    assert.equal(made.queue.passed.length, 0);
  });

  it('asks at once again where nobody could be asked', () => {
    const made = rig();
    made.queue.arrive([datagram('1')]);
    made.hold.drop(1, 'unreachable');
    made.queue.arrive([datagram('2')]);
    assert.equal(made.flows.length, 2);
  });

  it('never lets one endpoint go on because another had its address', () => {
    const made = rig();
    made.queue.arrive([datagram('1')]);
    made.owners.set('10.1.0.2', 'thief');
    made.queue.arrive([datagram('2')]);
    assert.deepEqual(
      made.told.map(({ flow, reason }) => [flow.id, reason]),
      [[1, 'closed']],
    );
    assert.equal(made.hold.release(1), false);
    made.hold.release(2);
    made.owners.set('10.1.0.2', 'web');
    made.queue.arrive([datagram('3')]);
    assert.deepEqual(made.passed(), ['accepted 2']);
    assert.equal(made.flows.length, 3);
  });

  it('drops what is malformed, and what nobody here has sent', () => {
    const made = rig();
    made.queue.arrive([datagram('1').subarray(0, 20), datagram('1', 4000, '10.1.0.9')]);
    made.queue.arrive([datagram('cut')], { length: 4000 });
    assert.equal(made.dropped('malformed'), 3);
    assert.deepEqual([made.flows, made.queue.waiting, made.queue.passed], [[], 0, []]);
  });

  it('drops a flow when its deadline has passed, counted from its first packet', async () => {
    const made = rig({ deadline: 60 });
    made.queue.arrive([datagram('1')]);
    await wait(40);
    made.queue.arrive([datagram('2'), datagram('x', 4001)]);
    assert.ok(made.hold.statistics().oldest >= 30);
    await wait(40);
    assert.deepEqual(
      made.told.map(({ flow, reason, packets }) => [flow.id, reason, packets]),
      [[1, 'expired', 2]],
    );
    await wait(40);
    assert.equal(made.dropped('expired'), 3);
    assert.deepEqual([made.queue.waiting, made.queue.passed, made.hold.statistics().oldest], [0, [], 0]);
  });

  it('may be asked from within its own callbacks', async () => {
    const made: Rig = rig({
      onFlow: (flow) => {
        made.hold.sendToken(flow.id, TOKEN);
        made.hold.release(flow.id);
      },
    });
    made.queue.arrive([datagram('1'), datagram('2')]);
    assert.deepEqual(made.passed(), ['accepted token', 'sent 1', 'sent 2']);
  });

  it('gives the verdicts of a wake-up together, and those of a read', async () => {
    const made = rig();
    made.queue.arrive(Array.from({ length: 50 }, (_, n) => datagram('x', 5000 + (n % 10))));
    assert.deepEqual(made.queue.calls, [40]);
    for (const { id } of made.flows) made.hold.sendToken(id, TOKEN);
    await settled();
    assert.deepEqual(made.queue.calls, [40, 10]);
  });

  it('cuts what does not fit through a socket, as the network would have', async () => {
    const made = rig();
    made.queue.mtu = 1280;
    const large = 'x'.repeat(3000);
    made.queue.arrive([datagram('1'), datagram(large)]);
    made.hold.release(1);
    await settled();
    assert.deepEqual(made.passed(), ['accepted 1', ...Array(3).fill('sent fragment')]);
    assert.equal(made.hold.statistics().released, 2n);
  });

  it('counts what cannot be sent', async () => {
    const made = rig();
    made.queue.unreachable = true;
    made.queue.arrive([datagram('1'), datagram('2')]);
    made.hold.sendToken(1, TOKEN);
    made.hold.sendToken(1, AGAIN);
    made.hold.release(1);
    await settled();
    assert.equal(made.dropped('unreachable'), 2);
    assert.equal(made.hold.statistics().released, 0n);
  });

  it('drops everything when it is closed, once', () => {
    const made = rig();
    made.queue.arrive([datagram('1'), datagram('2', 4001)]);
    made.hold.close();
    made.hold.close();
    assert.deepEqual(
      made.told.map(({ reason }) => reason),
      ['closed', 'closed'],
    );
    assert.deepEqual([made.queue.dropped, made.queue.passed, made.queue.closed], [[1, 2], [], 2]);
    assert.equal(made.hold.release(1), false);
    assert.deepEqual(made.hold.held(), []);
  });

  it('refuses a mark that is not one bit', () => {
    for (const mark of [0, 3, -1, 1.5, 2 ** 32]) assert.throws(() => rig({ mark }), RangeError);
  });

  it('closes the sender where the queue cannot be opened', () => {
    let closed = 0;
    const close = () => {
      closed += 1;
    };
    const queue = (): never => {
      throw new Error('busy');
    };
    assert.throws(() => new Rig({}, { queue, sender: { send: () => {}, close } }), /busy/);
    assert.equal(closed, 1);
  });
});
