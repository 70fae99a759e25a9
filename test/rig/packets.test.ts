import assert from 'node:assert/strict';
import {
  arp,
  ethernet,
  type Frame,
  fragments,
  ipv4,
  ipv6,
  optionsHeader,
  Protocol,
  routingHeader,
  type Transport,
  vlan,
} from './packets.ts';
import { attempt, run } from './process.ts';
import { icmpEcho, icmpError, icmpv6Echo, icmpv6Error, neighbour, sctp, tcp, udp } from './transports.ts';
import { addressBytes, checksum, crc32c } from './wire.ts';

const over4 = (transport: Transport): Frame => ipv4({ source: '10.0.0.2', destination: '10.0.0.3' }, transport);
const over6 = (transport: Transport): Frame => ipv6({ source: 'fd00::2', destination: 'fd00::3' }, transport);

/** What tcpdump, which is not ours, reads in a frame. It says "incorrect" or "bad" of wrong checksums. */
async function decode(frame: Frame): Promise<string> {
  const packet = ethernet({}, frame);
  const file = Buffer.alloc(40);
  file.writeUInt32LE(0xa1b2c3d4, 0);
  file.writeUInt16LE(2, 4);
  file.writeUInt16LE(4, 6);
  file.writeUInt32LE(65535, 16);
  file.writeUInt32LE(1, 20);
  file.writeUInt32LE(packet.length, 32);
  file.writeUInt32LE(packet.length, 36);
  return run(['tcpdump', '-nn', '-vvv', '-t', '-r', '-'], { input: Buffer.concat([file, packet]) });
}

describe('packets', () => {
  before(async function () {
    const found = await attempt(['tcpdump', '--version']).catch(() => undefined);
    if (found?.status !== 0) this.skip();
  });

  const cases: readonly (readonly [string, Frame, RegExp])[] = [
    [
      'TCP over IPv4',
      over4(tcp({ flags: ['SYN'] })),
      /10\.0\.0\.2\.40000 > 10\.0\.0\.3\.80: Flags \[S\], cksum \w+ \(correct\)/,
    ],
    [
      'TCP over IPv6',
      over6(tcp({ flags: ['SYN', 'ACK'] })),
      /fd00::2\.40000 > fd00::3\.80: Flags \[S\.\], cksum \w+ \(correct\)/,
    ],
    ['UDP over IPv4', over4(udp({ destinationPort: 9 }, Buffer.from('odd'))), /\[udp sum ok\] UDP, length 3/],
    ['UDP over IPv6', over6(udp({ destinationPort: 9 }, Buffer.from('odd'))), /\[udp sum ok\] UDP, length 3/],
    ['SCTP', over4(sctp({ destinationPort: 7 })), /10\.0\.0\.3\.7: sctp.*\[INIT\]/s],
    ['ICMP echo', over4(icmpEcho({ id: 77 })), /ICMP echo request, id 77/],
    ['ICMPv6 echo', over6(icmpv6Echo({ id: 77, reply: true })), /\[icmp6 sum ok\] ICMP6, echo reply, id 77/],
    [
      'an ICMP error about a packet',
      over4(icmpError({ type: 3, code: 4, word: 1400 }, over4(udp({ destinationPort: 53 })))),
      /unreachable - need to frag \(mtu 1400\).*\n.*10\.0\.0\.2\.40000 > 10\.0\.0\.3\.53/s,
    ],
    [
      'an ICMPv6 error about a packet',
      over6(icmpv6Error({ type: 2, word: 1280 }, over6(udp({ destinationPort: 53 })))),
      /\[icmp6 sum ok\] ICMP6, packet too big, mtu 1280/,
    ],
    [
      'a neighbour solicitation',
      over6(neighbour(135, 'fd00::3', '02:00:00:00:00:01')),
      /\[icmp6 sum ok\].*who has fd00::3/,
    ],
    [
      'a neighbour advertisement',
      over6(neighbour(136, 'fd00::3', '02:00:00:00:00:01')),
      /\[icmp6 sum ok\].*tgt is fd00::3/,
    ],
    ['an ARP request', arp({ sender: '10.0.0.2', target: '10.0.0.3' }), /Request who-has 10\.0\.0\.3 tell 10\.0\.0\.2/],
    ['a VLAN tag', vlan({ id: 7 }, over4(tcp({}))), /10\.0\.0\.2\.40000/],
    [
      'IPv4 options',
      ipv4({ source: '10.0.0.2', destination: '10.0.0.3', options: Buffer.from([7, 3, 4]) }, udp({})),
      /options \(RR.*\[udp sum ok\]/s,
    ],
    [
      'IPv6 extension headers',
      ipv6(
        {
          source: 'fd00::2',
          destination: 'fd00::3',
          extensions: [
            optionsHeader(Protocol.HopByHop),
            routingHeader(2, 0, ['fd00::3']),
            optionsHeader(Protocol.Destination, 16),
          ],
        },
        udp({ destinationPort: 5353 }, Buffer.from('x')),
      ),
      /HBH.*RT6.*DSTOPT.*5353: \[udp sum ok/s,
    ],
  ];
  for (const [name, frame, expected] of cases) {
    it(`builds ${name} as others read it`, async () => {
      const text = await decode(frame);
      assert.match(text, expected);
      assert.doesNotMatch(text, /bad cksum|incorrect/);
    });
  }

  for (const [family, whole] of [
    ['IPv4', over4(udp({}, Buffer.alloc(100, 'x')))],
    ['IPv6', over6(udp({}, Buffer.alloc(100, 'x')))],
  ] as const) {
    it(`cuts an ${family} packet into fragments that others put in order`, async () => {
      const pieces = fragments(whole, 48, 9);
      assert.equal(pieces.length, 3);
      const texts = await Promise.all(pieces.map(decode));
      assert.match(texts[0]!, family === 'IPv4' ? /id 9, offset 0, flags \[\+\]/ : /frag \(0x00000009:0\|48\)/);
      assert.match(texts[2]!, family === 'IPv4' ? /id 9, offset 96, flags \[none\]/ : /frag \(0x00000009:96\|12\)/);
      const header = family === 'IPv4' ? 20 : 48;
      const bodies = Buffer.concat(pieces.map((piece) => piece.bytes.subarray(header)));
      assert.deepEqual(bodies, whole.bytes.subarray(family === 'IPv4' ? 20 : 40));
    });
  }

  it('keeps what is overridden', () => {
    const { bytes } = ipv4(
      {
        source: '1.2.3.4',
        destination: '5.6.7.8',
        version: 5,
        headerLength: 4,
        totalLength: 9,
        checksum: 1,
        protocol: 200,
      },
      tcp({ dataOffset: 2, checksum: 3 }),
    );
    assert.equal(bytes[0], 0x54);
    assert.equal(bytes.readUInt16BE(2), 9);
    assert.equal(bytes.readUInt16BE(10), 1);
    assert.equal(bytes[9], 200);
    assert.equal(bytes[20 + 12], 0x20);
    assert.equal(bytes.readUInt16BE(20 + 16), 3);
  });
});

describe('wire', () => {
  it('reads addresses in every notation and refuses what is none', () => {
    assert.deepEqual([...addressBytes('10.0.0.255')], [10, 0, 0, 255]);
    assert.equal(addressBytes('::').toString('hex'), '0'.repeat(32));
    assert.equal(addressBytes('fd00::1:2').toString('hex'), `fd00${'0'.repeat(20)}00010002`);
    assert.equal(addressBytes('1:2:3:4:5:6:7:8').toString('hex'), '00010002000300040005000600070008');
    assert.equal(addressBytes('::ffff:1.2.3.4').toString('hex'), `${'0'.repeat(20)}ffff01020304`);
    for (const bad of ['1.2.3', '1:2', ':::1:2:3:4:5:6:7:8:9']) assert.throws(() => addressBytes(bad), RangeError);
  });

  it('computes the checksums of known vectors', () => {
    assert.equal(checksum(Buffer.from('0001f203f4f5f6f7', 'hex')), 0x220d); // RFC 1071, section 3
    assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa); // RFC 3720, appendix B.4
  });
});
