import assert from 'node:assert/strict';
import type { TakenPacket, TakenPackets } from '../../src/hold/index.ts';
import { parsePacket } from '../../src/hold/packet.ts';
import { udp } from '../rig/transports.ts';
import { AGAIN, datagram, from, Rig, settled, TOKEN } from './setting.ts';

const HOST = '192.0.2.1';

/** What the kernel has taken from its senders, and nobody has read yet. */
class Ring implements TakenPackets {
  readonly #unread: TakenPacket[] = [];
  #listener: (packets: readonly TakenPacket[]) => void = () => {};

  onPackets(listener: (packets: readonly TakenPacket[]) => void): void {
    this.#listener = listener;
  }

  comeUnread(endpoint: string, packets: readonly Buffer[], segment = 0): void {
    this.#unread.push(...packets.map((packet) => ({ endpoint, packet, segment })));
  }

  drain(): void {
    const packets = this.#unread.splice(0);
    if (packets.length > 0) this.#listener(packets);
  }
}

describe('what was taken from its sender', () => {
  let ring: Ring;
  let rig: Rig;
  const take = (texts: readonly string[], endpoint = 'exporter', port = 4000): void => {
    ring.comeUnread(
      endpoint,
      texts.map((text) => datagram(text, port, HOST)),
    );
    ring.drain();
  };
  const begin = (): void => {
    ring = new Ring();
    rig = new Rig({}, { taken: ring });
  };

  beforeEach(begin);
  afterEach(() => rig.hold.close());

  it('is told once, as its sender’s, by no address', () => {
    take(['1', '2']);
    assert.equal(rig.flows.length, 1);
    assert.deepEqual(rig.flows[0], {
      id: 1,
      conversation: {
        protocol: 17,
        source: { address: HOST, port: 4000 },
        destination: { address: '10.2.0.3', port: 53 },
      },
      endpoint: 'exporter',
      tagged: false,
      since: 1_700_000_000_000,
    });
    assert.equal(rig.hold.statistics().packets, 2);
  });

  it('leaves with tokens before it, all of it from here, in order', async () => {
    take(['1', '2']);
    rig.hold.sendToken(1, TOKEN);
    rig.hold.sendToken(1, AGAIN);
    ring.comeUnread('exporter', [datagram('3', 4000, HOST)]);
    assert.equal(rig.hold.release(1), true);
    await settled();
    assert.deepEqual(rig.passed(), ['sent token', 'sent token again', 'sent 1', 'sent 2', 'sent 3']);
    assert.equal(rig.hold.statistics().released, 3n);
  });

  it('leaves without one, where none is needed, and what was on its way follows', async () => {
    take(['1']);
    rig.hold.release(1);
    take(['2']);
    await settled();
    assert.deepEqual(rig.passed(), ['sent 1', 'sent 2']);
  });

  it('is sent to where it was sent before this host rewrote that', async () => {
    rig.queue.original = {
      source: HOST,
      sourcePort: 4000,
      destination: '10.96.0.10',
      destinationPort: 5353,
      protocol: 17,
    };
    take(['1', '2']);
    assert.equal(rig.flows[0]?.addressed, undefined, 'the kernel judges it by whom it leads to');
    rig.hold.sendToken(1, TOKEN);
    rig.hold.release(1);
    await settled();
    const ways = rig.queue.passed.map(({ bytes }) => `${bytes.subarray(16, 20).join('.')}:${bytes.readUInt16BE(22)}`);
    assert.deepEqual(ways, Array(3).fill('10.96.0.10:5353'));
  });

  it('is dropped with what others sent from the same port before, and refused like anything else', () => {
    take(['1']);
    take(['2'], 'another');
    assert.deepEqual(
      rig.told.map(({ flow, reason, packets }) => [flow.id, reason, packets]),
      [[1, 'closed', 1]],
    );
    rig.hold.drop(2, 'refused');
    take(['3'], 'another');
    assert.equal(rig.dropped('refused'), 2);
    assert.deepEqual(rig.passed(), []);
  });

  for (const [family, source, destination] of [
    ['IPv4', HOST, '10.2.0.3'],
    ['IPv6', 'fd00::1', 'fd00::3'],
  ] as const) {
    it(`becomes the datagrams it was to become, over ${family}`, async () => {
      const text = 'aaabbbcc';
      const whole = from(source, udp({ sourcePort: 4000, destinationPort: 53 }, Buffer.from(text)), destination);
      if (family === 'IPv4') whole.writeUInt16BE(0xffff, 4);
      ring.comeUnread('exporter', [whole], 3);
      ring.drain();
      rig.hold.release(1);
      await settled();
      const made = rig.queue.passed.map(({ bytes }) => bytes);
      const expected = ['aaa', 'bbb', 'cc'].map((part) =>
        from(source, udp({ sourcePort: 4000, destinationPort: 53 }, Buffer.from(part)), destination),
      );
      assert.deepEqual(made.map(read), expected.map(read));
      if (family === 'IPv4') {
        assert.deepEqual(
          made.map((bytes) => bytes.readUInt16BE(4)),
          [0xffff, 0, 1],
        );
      }
    });
  }

  it('is refused where it is no packet', () => {
    ring.comeUnread('exporter', [Buffer.alloc(0), Buffer.from('x'), Buffer.alloc(100, 0x45)]);
    ring.comeUnread('exporter', [Buffer.alloc(30, 0x45)], 5);
    ring.drain();
    assert.equal(rig.dropped('malformed'), 4);
    assert.deepEqual(rig.flows, []);
  });

  it('does not outlive the hold', async () => {
    take(['1']);
    rig.hold.close();
    take(['2']);
    await settled();
    assert.deepEqual(rig.passed(), []);
    assert.equal(rig.dropped('closed'), 2);
  });
});

/** All of a datagram but what tells IPv4 packets apart. */
function read(bytes: Buffer): object {
  const packet = parsePacket(bytes);
  if ('malformed' in packet) throw new Error(packet.malformed);
  const { payload, transport, version } = packet;
  return {
    length: version === 4 ? bytes.readUInt16BE(2) : bytes.readUInt16BE(4),
    header: bytes.toString('hex', transport, payload),
    body: bytes.toString('latin1', payload),
  };
}
