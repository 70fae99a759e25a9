import assert from 'node:assert/strict';
import fc from 'fast-check';
import { conversationKey, conversationOf, type IpPacket, parsePacket } from '../../src/hold/packet.ts';
import { claimPayload, fragments, sendable, withPayload } from '../../src/hold/rewrite.ts';
import {
  fragments as cut,
  type Extension,
  type Frame,
  fragmentHeader,
  ipv4,
  ipv6,
  optionsHeader,
  Protocol,
  raw,
  routingHeader,
  type Transport,
} from '../rig/packets.ts';
import { icmp, icmpEcho, icmpv6, icmpv6Echo, sctp, tcp, udp } from '../rig/transports.ts';
import { checksum } from '../rig/wire.ts';

const FOUR = { source: '10.1.0.2', destination: '10.2.0.3' };
const SIX = { source: 'fd00::2', destination: 'fd00::3' };
const over4 = (transport: Transport): Frame => ipv4(FOUR, transport);
const over6 = (transport: Transport, extensions: readonly Extension[] = []): Frame =>
  ipv6({ ...SIX, extensions }, transport);

const TAG = Buffer.from('fe145a11000000000000000a41deadbeefcafe00', 'hex');
const MSS = Buffer.from([2, 4, 5, 0xb4]);

function parsed(frame: Frame | Buffer): IpPacket {
  const packet = parsePacket(Buffer.isBuffer(frame) ? frame : frame.bytes);
  assert.ok(!('malformed' in packet), JSON.stringify(packet));
  return packet;
}

/** UDP-Lite (RFC 3828) whose checksum covers `coverage` bytes, 0: all. */
function udpLite(coverage: number, payload: Buffer): Transport {
  return {
    protocol: 136,
    encode: ({ source, destination }) => {
      const bytes = Buffer.concat([Buffer.from([0x9c, 0x40, 0, 53, 0, coverage, 0, 0]), payload]);
      const tail = Buffer.alloc(8);
      tail.writeUInt32BE(bytes.length, 0);
      tail[7] = 136;
      const covered = bytes.subarray(0, coverage || bytes.length);
      bytes.writeUInt16BE(checksum(Buffer.concat([source, destination, tail, covered])) || 0xffff, 6);
      return bytes;
    },
  };
}

const body = Buffer.from('an odd number of bytes!');
const WELL_FORMED: readonly (readonly [string, Frame, number])[] = [
  ['UDP', over4(udp({ sourcePort: 4000, destinationPort: 53 }, body)), 6],
  ['UDP over IPv6', over6(udp({ sourcePort: 4000, destinationPort: 53 }, body)), 6],
  ['UDP behind IPv4 options', ipv4({ ...FOUR, options: Buffer.from([7, 3, 4]) }, udp({}, body)), 6],
  [
    'UDP behind extension headers',
    over6(udp({}, body), [optionsHeader(Protocol.HopByHop), routingHeader(2, 0, ['fd00::3'])]),
    6,
  ],
  ['UDP in an atomic fragment', over6(udp({}, body), [{ header: 44, rest: Buffer.alloc(7) }]), 6],
  ['UDP-Lite', over4(udpLite(0, body)), 6],
  ['UDP-Lite of which a part is covered', over4(udpLite(12, body)), 6],
  ['UDP-Lite over IPv6', over6(udpLite(8, body)), 6],
  ['a SYN', over4(tcp({ flags: ['SYN'], options: Buffer.concat([MSS, TAG]) })), 16],
  ['a SYN with payload over IPv6', over6(tcp({ flags: ['SYN'] }, body)), 16],
  ['an ACK', over4(tcp({ flags: ['ACK'] }, body)), 16],
  ['an echo request', over4(icmpEcho({ id: 77 }, body)), 2],
  ['an ICMPv6 echo request', over6(icmpv6Echo({ id: 77 }, body)), 2],
  ['SCTP', over4(sctp({}, body)), 8],
];

describe('a packet that waits', () => {
  for (const [name, frame, place] of WELL_FORMED) {
    it(`gets its checksums completed: ${name}`, () => {
      const packet = parsed(frame);
      const partial = Buffer.from(frame.bytes);
      partial.writeUInt16BE(0xabcd, packet.transport + place);
      if (packet.version === 4) partial.writeUInt16BE(0x1234, 10);
      assert.deepEqual(sendable(parsed(partial)), frame.bytes);
    });
  }

  it('is read without what follows it', () => {
    const frame = over4(udp({}, body));
    assert.deepEqual(parsed(Buffer.concat([frame.bytes, Buffer.alloc(20, 0xff)])).bytes, frame.bytes);
  });

  const conversations: readonly (readonly [string, Frame, readonly [number, number, number]])[] = [
    ['UDP', over4(udp({ sourcePort: 4000, destinationPort: 53 })), [17, 4000, 53]],
    ['TCP over IPv6', over6(tcp({ sourcePort: 1, destinationPort: 65535 })), [6, 1, 65535]],
    ['SCTP', over4(sctp({ sourcePort: 5, destinationPort: 6 })), [132, 5, 6]],
    ['an echo request', over4(icmpEcho({ id: 77 })), [1, 77, 0]],
    ['an echo request with the identifier 0', over4(icmpEcho({ id: 0 })), [1, 0xffff, 0]],
    ['an echo reply', over6(icmpv6Echo({ id: 77, reply: true })), [58, 0, 77]],
    ['another ICMP message', over4(icmp(13, 0, Buffer.alloc(16))), [1, 0xffff, 13]],
    ['another ICMPv6 message', over6(icmpv6(139, 0, Buffer.alloc(16))), [58, 0xffff, 139]],
    ['a protocol without ports', over4(raw(47, Buffer.alloc(4))), [47, 0, 0]],
  ];
  for (const [name, frame, [protocol, source, destination]] of conversations) {
    it(`is of the conversation that the kernel says: ${name}`, () => {
      const addresses = frame.bytes[0]! >> 4 === 4 ? FOUR : SIX;
      assert.deepEqual(conversationOf(parsed(frame)), {
        protocol,
        source: { address: addresses.source, port: source },
        destination: { address: addresses.destination, port: destination },
      });
    });
  }

  it('has a key of its own for each conversation', () => {
    const frames = [
      ...conversations.map(([, frame]) => frame),
      over4(udp({ sourcePort: 4001, destinationPort: 53 })),
      over4(udp({ sourcePort: 4000, destinationPort: 54 })),
      over4(udp({ sourcePort: 53, destinationPort: 4000 })),
      over4(tcp({ sourcePort: 4000, destinationPort: 53 })),
      ipv4({ ...FOUR, source: '10.1.0.3' }, udp({ sourcePort: 4000, destinationPort: 53 })),
      ipv4({ ...FOUR, destination: '10.2.0.2' }, udp({ sourcePort: 4000, destinationPort: 53 })),
    ];
    assert.equal(new Set(frames.map((frame) => conversationKey(parsed(frame)))).size, frames.length);
  });

  const syns: readonly (readonly [string, Transport, boolean, boolean])[] = [
    ['a plain SYN', tcp({ flags: ['SYN'], options: MSS }), true, false],
    ['a tagged SYN', tcp({ flags: ['SYN'], options: Buffer.concat([MSS, Buffer.from([1]), TAG]) }), true, true],
    ['a SYN with ECN', tcp({ flags: ['SYN', 'ECE', 'CWR'], options: TAG }), true, true],
    ['a tagged SYN-ACK', tcp({ flags: ['SYN', 'ACK'], options: TAG }), false, false],
    ['an ACK with the option', tcp({ flags: ['ACK'], options: TAG }), false, false],
    [
      'the option behind the end of options',
      tcp({ flags: ['SYN'], options: Buffer.concat([Buffer.alloc(4), TAG]) }),
      true,
      false,
    ],
    [
      'another experiment',
      tcp({ flags: ['SYN'], options: Buffer.from('fe145a12'.padEnd(40, '0'), 'hex') }),
      true,
      false,
    ],
    [
      'an option of another length',
      tcp({ flags: ['SYN'], options: Buffer.from('fe125a11'.padEnd(40, '0'), 'hex') }),
      true,
      false,
    ],
    [
      'an option longer than the header',
      tcp({ flags: ['SYN'], options: Buffer.from('fe145a11'.padEnd(32, '0'), 'hex') }),
      true,
      false,
    ],
    ['an option of no length', tcp({ flags: ['SYN'], options: Buffer.from([8, 0, 0, 0]) }), true, false],
    ['a tagged SYN with payload', tcp({ flags: ['SYN'], options: TAG }, body), true, false],
    ['the option in the payload', tcp({ flags: ['SYN'] }, TAG), true, false],
  ];
  for (const [name, transport, opensTcp, tagged] of syns) {
    it(`is known as what it is: ${name}`, () => {
      for (const frame of [over4(transport), over6(transport)]) {
        const packet = parsed(frame);
        assert.deepEqual([packet.opensTcp, packet.tagged], [opensTcp, tagged]);
      }
    });
  }
});

describe('a malformed packet', () => {
  const datagram = udp({}, body);
  const shortened = ({ bytes }: Frame, by: number): Buffer => bytes.subarray(0, bytes.length - by);
  const cases: readonly (readonly [string, Buffer, string])[] = [
    ['nothing', Buffer.alloc(0), 'version'],
    ['of version 5', ipv4({ ...FOUR, version: 5 }, datagram).bytes, 'version'],
    ['half an IPv4 header', over4(datagram).bytes.subarray(0, 19), 'truncated'],
    ['half an IPv6 header', over6(datagram).bytes.subarray(0, 39), 'truncated'],
    ['an IHL below 5', ipv4({ ...FOUR, headerLength: 4 }, datagram).bytes, 'header'],
    ['an IHL beyond its length', ipv4({ ...FOUR, headerLength: 15, totalLength: 40 }, datagram).bytes, 'header'],
    ['an IPv4 length of 0', ipv4({ ...FOUR, totalLength: 0 }, datagram).bytes, 'header'],
    ['cut short', shortened(over4(datagram), 1), 'truncated'],
    ['cut short over IPv6', shortened(over6(datagram), 1), 'truncated'],
    ['a first fragment', cut(over4(udp({}, Buffer.alloc(100))), 48)[0]!.bytes, 'fragment'],
    ['a later fragment', cut(over4(udp({}, Buffer.alloc(100))), 48)[1]!.bytes, 'fragment'],
    ['a first IPv6 fragment', cut(over6(udp({}, Buffer.alloc(100))), 48)[0]!.bytes, 'fragment'],
    ['a later IPv6 fragment', over6(datagram, [fragmentHeader({ id: 1, offset: 1, more: false })]).bytes, 'fragment'],
    ['an IPv4 address in IPv6 clothes', ipv6({ ...SIX, source: '::ffff:10.0.0.1' }, datagram).bytes, 'header'],
    ['a UDP header cut short', over4(raw(17, Buffer.alloc(7))).bytes, 'truncated'],
    ['a UDP length below its header', over4(udp({ length: 7 }, body)).bytes, 'header'],
    ['a UDP length beyond the packet', over4(udp({ length: 9 + body.length }, body)).bytes, 'header'],
    ['a UDP-Lite coverage of half a header', over4(udpLite(4, body)).bytes, 'header'],
    ['a TCP header cut short', over4(raw(6, Buffer.alloc(19))).bytes, 'truncated'],
    ['a TCP offset below 5', over4(tcp({ dataOffset: 4 })).bytes, 'header'],
    ['a TCP offset beyond the packet', over4(tcp({ dataOffset: 6 })).bytes, 'truncated'],
    ['ICMP over IPv6', over6(icmpEcho()).bytes, 'header'],
    ['ICMPv6 over IPv4', over4(icmpv6Echo()).bytes, 'header'],
    ['a routing header of type 0', over6(datagram, [routingHeader(0, 0, ['fd00::9'])]).bytes, 'extensions'],
    ['a routing header with a way to go', over6(datagram, [routingHeader(2, 1, ['fd00::9'])]).bytes, 'extensions'],
    ['an extension header beyond the packet', over6(raw(0, Buffer.from([17, 9, 1, 4, 0, 0, 0, 0]))).bytes, 'truncated'],
    [
      'one beyond it before an unknown protocol',
      over6(raw(0, Buffer.from([47, 9, 1, 4, 0, 0, 0, 0]))).bytes,
      'truncated',
    ],
    [
      'eight extension headers',
      over6(datagram, Array(8).fill(optionsHeader(Protocol.Destination))).bytes,
      'extensions',
    ],
  ];
  for (const [name, bytes, reason] of cases) {
    it(`is refused: ${name}`, () => assert.deepEqual(parsePacket(bytes), { malformed: reason }));
  }

  it('is refused whatever it is, and nothing outside it is read', () => {
    const base = fc.constantFrom(...WELL_FORMED.map(([, frame]) => frame.bytes));
    const edits = fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 120 }), base), edits, fc.nat(120), (bytes, changes, length) => {
        const copy = Buffer.from(bytes);
        for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
        const inside = copy.subarray(0, length);
        // The same packet between other bytes: whoever reads outside reads something else.
        const answers = [0x00, 0xff].map((filler) => {
          const around = Buffer.alloc(inside.length + 200, filler);
          inside.copy(around, 100);
          const view = around.subarray(100, 100 + inside.length);
          const packet = parsePacket(view);
          if ('malformed' in packet) return packet;
          const made = [
            sendable(packet),
            packet.replaceable ? withPayload(packet, claimPayload(Buffer.alloc(16))) : '',
          ];
          return { ...packet, bytes: packet.bytes.toString('hex'), key: conversationKey(packet), made };
        });
        assert.deepEqual(answers[0], answers[1]);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('a packet with another payload', () => {
  const payload = claimPayload(Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'));

  it('bears a token as the kernel looks for it', () => {
    assert.equal(payload.toString('hex'), '5a11f0a7c1a1d0e5000102030405060708090a0b0c0d0e0f');
    assert.throws(() => claimPayload(Buffer.alloc(15)), RangeError);
  });

  const syn = { flags: ['SYN'], sequence: 0xfffffff0, options: Buffer.concat([MSS, TAG]) } as const;
  const cases: readonly (readonly [string, Frame, Frame])[] = [
    ['UDP', over4(udp({}, body)), over4(udp({}, payload))],
    ['an empty datagram', over6(udp({})), over6(udp({}, payload))],
    [
      'UDP behind extension headers',
      over6(udp({}, body), [optionsHeader(Protocol.HopByHop, 16)]),
      over6(udp({}, payload), [optionsHeader(Protocol.HopByHop, 16)]),
    ],
    ['UDP without a checksum', over4(udp({ checksum: 0 }, body)), over4(udp({}, payload))],
    ['UDP shorter than its packet', over4(udp({ length: 12 }, body)), over4(udp({}, payload))],
    ['UDP-Lite', over4(udpLite(12, body)), over4(udpLite(0, payload))],
    ['a SYN', over4(tcp(syn)), over4(tcp(syn, payload))],
    ['a SYN with payload', over6(tcp(syn, body)), over6(tcp(syn, payload))],
    [
      'an echo request',
      over4(icmpEcho({ id: 5, sequence: 9 }, body)),
      over4(icmpEcho({ id: 5, sequence: 9 }, payload)),
    ],
    ['an ICMPv6 echo request', over6(icmpv6Echo({ id: 5 }, body)), over6(icmpv6Echo({ id: 5 }, payload))],
  ];
  for (const [name, before, after] of cases) {
    it(`is else the same: ${name}`, () => {
      const packet = parsed(before);
      const copy = Buffer.from(before.bytes);
      assert.deepEqual(withPayload(packet, payload), after.bytes);
      assert.deepEqual(before.bytes, copy, 'the original is untouched');
    });
  }

  it('has no place for one in protocols whose payload means something, or is sealed', () => {
    const sealed: Extension = { header: Protocol.AH, rest: Buffer.alloc(7) };
    for (const frame of [
      ...[over4(tcp({ flags: ['ACK'] })), over4(tcp({ flags: ['SYN', 'ACK'] })), over4(sctp({}))],
      ...[over4(icmpEcho({ reply: true })), over4(raw(47, Buffer.alloc(8))), over6(udp({}, body), [sealed])],
    ]) {
      const packet = parsed(frame);
      assert.equal(packet.replaceable, false);
      assert.throws(() => withPayload(packet, payload), TypeError);
    }
  });

  it('never has the UDP checksum 0', () => {
    for (let n = 0; n < 0x10000; n += 1) {
      const bytes = withPayload(parsed(over6(udp({}))), Buffer.from([n >> 8, n & 255]));
      if (bytes.readUInt16BE(46) === 0xffff) return;
      assert.notEqual(bytes.readUInt16BE(46), 0);
    }
    assert.fail('one payload in 65,536 sums up to zero');
  });
});

describe('a packet that goes where it was sent', () => {
  it('bears the destination that the container gave it', () => {
    const port = { sourcePort: 4000, destinationPort: 8053 };
    const wanted = { sourcePort: 4000, destinationPort: 53 };
    const cases: readonly (readonly [Frame, string, Frame])[] = [
      [over4(udp(port, body)), '10.96.0.10', ipv4({ ...FOUR, destination: '10.96.0.10' }, udp(wanted, body))],
      [over6(tcp(port, body)), 'fd00::99', ipv6({ ...SIX, destination: 'fd00::99' }, tcp(wanted, body))],
      [over4(icmpEcho({ id: 3 })), '10.96.0.10', ipv4({ ...FOUR, destination: '10.96.0.10' }, icmpEcho({ id: 3 }))],
    ];
    for (const [before, address, after] of cases) {
      assert.deepEqual(sendable(parsed(before), { address, port: 53 }), after.bytes);
    }
    assert.throws(() => sendable(parsed(over4(udp({}))), { address: 'fd00::1', port: 1 }), TypeError);
  });
});

describe('fragments of a packet', () => {
  const large = Buffer.from(Array.from({ length: 3001 }, (_, n) => n & 255));

  for (const [family, frame, head] of [
    ['IPv4', over4(udp({}, large)), 20],
    ['IPv4 with options', ipv4({ ...FOUR, options: Buffer.from([7, 3, 4]) }, udp({}, large)), 24],
    ['IPv6', over6(udp({}, large)), 40],
    ['IPv6 with extension headers', over6(udp({}, large), [optionsHeader(Protocol.HopByHop, 16)]), 56],
  ] as const) {
    it(`are together what it was: ${family}`, () => {
      const packet = parsed(frame);
      const pieces = fragments(packet, frame.bytes, 1280, 7)!;
      const bodies: Buffer[] = [];
      for (const [n, piece] of pieces.entries()) {
        assert.ok(piece.length <= 1280);
        assert.deepEqual(parsePacket(piece), { malformed: 'fragment' });
        const at = packet.version === 4 ? 6 : head + 2;
        const place = packet.version === 4 ? (piece.readUInt16BE(at) & 0x1fff) * 8 : piece.readUInt16BE(at) & 0xfff8;
        assert.equal(place, Buffer.concat(bodies).length);
        const more = packet.version === 4 ? (piece[6]! & 0x20) !== 0 : (piece[at + 1]! & 1) === 1;
        assert.equal(more, n < pieces.length - 1);
        if (packet.version === 4) assert.equal(checksum(piece.subarray(0, head)), 0);
        bodies.push(piece.subarray(packet.version === 4 ? head : head + 8));
      }
      assert.deepEqual(Buffer.concat(bodies), frame.bytes.subarray(head));
    });
  }

  it('are none where the sender forbids them', () => {
    const frame = ipv4({ ...FOUR, dontFragment: true }, udp({}, large));
    assert.equal(fragments(parsed(frame), frame.bytes, 1280, 7), undefined);
  });
});
