import assert from 'node:assert/strict';
import { NetfilterError, PacketSender } from '../../../src/netfilter/index.ts';
import { type Frame, ipv4, ipv6 } from '../../rig/packets.ts';
import { run } from '../../rig/process.ts';
import { udp } from '../../rig/transports.ts';
import { describeInside } from './inside.ts';
import { PORT, Road } from './road.ts';

function refusedWith(code: string, errno?: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof NetfilterError, String(error));
    assert.deepEqual([error.code, error.errno], [code, errno], error.message);
    return true;
  };
}

describeInside('A packet sender', import.meta.filename, () => {
  let road: Road;

  const datagram = (family: 4 | 6, source: string, payload: Buffer, to?: string): Frame => {
    const body = udp({ sourcePort: 53, destinationPort: PORT }, payload);
    return family === 4
      ? ipv4({ source, destination: to ?? road.far.ipv4 }, body)
      : ipv6({ source, destination: to ?? road.far.ipv6 }, body);
  };

  before(async () => {
    road = await Road.build();
    // What comes from nowhere is not refused by the far end's own routes.
    await road.far.run(['ip', '-6', 'route', 'replace', 'default', 'via', 'fe80::1', 'dev', 'eth0']);
  });
  afterEach(() => road.clear());
  after(() => road.close());

  for (const [family, source, destination] of [
    [4, '198.51.100.7', '203.0.113.1'],
    [6, '2001:db8:1::7', '2001:db8:2::1'],
  ] as const) {
    it(`sends whole packets of IPv${family} from any address`, async () => {
      const lines = await road.listen(family);
      const sender = road.keep(PacketSender.open());
      assert.deepEqual(sender.families, [4, 6]);
      for (const text of ['one', 'two', 'three']) sender.send(datagram(family, source, Buffer.from(text)).bytes);
      await lines.count(3);
      assert.deepEqual(lines.all, ['3 one', '3 two', '5 three']);
    });

    it(`gives each packet of IPv${family} its own mark, and none to the next`, async () => {
      const tool = family === 4 ? 'iptables-legacy' : 'ip6tables-legacy';
      const rule = (mark: string): string[] => ['OUTPUT', '-p', 'udp', '-m', 'mark', '--mark', mark, '-j', 'DROP'];
      await run([tool, '-t', 'raw', '-A', ...rule('0xabcdef01')]);
      try {
        const lines = await road.listen(family);
        const sender = road.keep(PacketSender.open());
        sender.send(datagram(family, source, Buffer.from('free')).bytes);
        assert.throws(
          () => sender.send(datagram(family, source, Buffer.from('stopped')).bytes, 0xabcdef01),
          refusedWith('SEND', 'EPERM'),
        );
        sender.send(datagram(family, source, Buffer.from('other')).bytes, 0xabcdef02);
        sender.send(datagram(family, source, Buffer.from('free again')).bytes);
        await lines.count(3);
        assert.deepEqual(lines.texts, ['free', 'other', 'free again']);
      } finally {
        await run([tool, '-t', 'raw', '-D', ...rule('0xabcdef01')]);
      }
    });

    it(`sends packets of IPv${family} as large as the way takes, and says when one is larger`, async () => {
      const lines = await road.listen(family);
      const sender = road.keep(PacketSender.open());
      const most = 1500 - (family === 4 ? 28 : 48);
      sender.send(datagram(family, source, Buffer.alloc(most, 'a')).bytes);
      for (const size of [most + 1, 65_535 - (family === 4 ? 28 : 48)]) {
        const { bytes } = datagram(family, source, Buffer.alloc(size, 'b'));
        assert.throws(() => sender.send(bytes), refusedWith('TOO_LARGE', 'EMSGSIZE'), `${size} bytes`);
      }
      await lines.count(1);
      assert.deepEqual(lines.all, [`${most} ${'a'.repeat(40)}`]);
    });

    it(`sends packets of IPv${family} with 60,000 bytes where the way takes them`, async () => {
      await road.node.namespace.ip([`link set ${road.far.outside.name} mtu 65535`]);
      await road.far.namespace.ip(['link set eth0 mtu 65535']);
      try {
        const lines = await road.listen(family);
        const sender = road.keep(PacketSender.open());
        sender.send(datagram(family, source, Buffer.alloc(60_000, 'c')).bytes);
        await lines.count(1);
        assert.deepEqual(lines.all, [`60000 ${'c'.repeat(40)}`]);
      } finally {
        await road.node.namespace.ip([`link set ${road.far.outside.name} mtu 1500`]);
        await road.far.namespace.ip(['link set eth0 mtu 1500']);
      }
    });

    it(`says when there is no way for a packet of IPv${family}`, () => {
      const sender = road.keep(PacketSender.open());
      const { bytes } = datagram(family, source, Buffer.from('x'), destination);
      assert.throws(
        () => sender.send(bytes),
        (error: unknown) => {
          refusedWith('SEND', 'ENETUNREACH')(error);
          assert.match(
            (error as Error).message,
            new RegExp(`send a packet of ${bytes.length} bytes to ${destination}:`),
          );
          return true;
        },
      );
    });
  }

  it('refuses what is no whole packet, and sends the next', async () => {
    const lines = await road.listen();
    const sender = road.keep(PacketSender.open());
    const { bytes } = datagram(4, '198.51.100.7', Buffer.from('right'));
    const wrong: unknown[] = [
      undefined,
      'packet',
      [...bytes],
      new Uint16Array(bytes),
      Buffer.alloc(0),
      bytes.subarray(0, 19),
      bytes.subarray(0, bytes.length - 1),
      Buffer.concat([bytes, Buffer.alloc(1)]),
      Buffer.from([0x4f, ...bytes.subarray(1)]),
      Buffer.from([0x44, ...bytes.subarray(1)]),
      Buffer.from([0x55, ...bytes.subarray(1)]),
      Buffer.from([0x65, ...bytes.subarray(1)]),
      datagram(6, '2001:db8::1', Buffer.alloc(0)).bytes.subarray(0, 39),
      Buffer.alloc(70_000, 0x45),
    ];
    for (const packet of wrong) assert.throws(() => sender.send(packet as Buffer), { code: 'ARGUMENT' });
    for (const mark of [-1, 1.5, 2 ** 32, '1', null]) {
      assert.throws(() => sender.send(bytes, mark as number), { code: 'ARGUMENT' });
    }
    sender.send(bytes);
    await lines.count(1);
    assert.deepEqual(lines.texts, ['right']);
  });

  it('stays closed, may be closed again and refuses every use', () => {
    const sender = PacketSender.open();
    sender.close();
    sender.close();
    assert.equal(sender.closed, true);
    assert.throws(() => sender.send(datagram(4, '198.51.100.7', Buffer.from('x')).bytes), { code: 'CLOSED' });
  });
});
