import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ethernet, fragments, ipv4, ipv6 } from '../../rig/packets.ts';
import { splitOptions, type TagFields, tagOption } from '../../rig/tag.ts';
import { type TcpFields, tcp } from '../../rig/transports.ts';
import { clockOffsetOf, KEYS, TagReader, WINDOW } from './tag-reader.ts';

const IDENTITY = 0x0123456789abcdefn;
const SEQUENCE = 0xfeedf00d;
const ACKNOWLEDGED = 0x89abcdef;

/** What Linux puts into a SYN: MSS, SACK permitted, timestamps, a filler, window scale. */
const LINUX = Buffer.from('020405b40402080a00112233000000000103030a', 'hex').subarray(0, 20);

const tag = (some: Partial<TagFields> = {}): Buffer =>
  tagOption({ key: KEYS[1]!, epoch: 1, identity: IDENTITY, window: WINDOW, sequence: SEQUENCE, ...some });

/** A packet of the addresses' own family. */
function packet(
  options: Buffer,
  fields: TcpFields & { source?: string; destination?: string; payload?: Buffer } = {},
): Buffer {
  const { source = '10.0.0.1', destination = '10.0.0.2', payload, ...rest } = fields;
  const segment = tcp(
    { flags: ['SYN'], sourcePort: 40000, destinationPort: 80, sequence: SEQUENCE, options, ...rest },
    payload,
  );
  const ip = source.includes(':') ? ipv6 : ipv4;
  return ethernet({}, ip({ source, destination }, segment));
}

const syn = (some: Partial<TagFields> = {}, fields: Parameters<typeof packet>[1] = {}): Buffer =>
  packet(Buffer.concat([LINUX, tag(some)]), fields);

const synAck = (some: Partial<TagFields> = {}, fields: Parameters<typeof packet>[1] = {}): Buffer =>
  syn({ acknowledged: ACKNOWLEDGED, ...some }, { flags: ['SYN', 'ACK'], acknowledgement: ACKNOWLEDGED, ...fields });

/** The same option with one bit turned. */
function turned(option: Buffer, byte: number, bit = 1): Buffer {
  const copy = Buffer.from(option);
  copy[byte]! ^= bit;
  return copy;
}

const GOOD = { reason: 'none', identity: IDENTITY };
const NONE = { reason: 'none', identity: 0n };
const refused = (reason: string) => ({ reason, identity: 0n });

describe('a tag that arrives', () => {
  let reader: TagReader;

  before(function () {
    this.timeout(120_000);
    reader = new TagReader();
  });
  beforeEach(() => {
    reader.tables.reset();
    reader.tables.replays.forget();
  });
  after(() => reader.close());

  it('proves who sent a SYN or a SYN-ACK, of either family', () => {
    const v6 = { source: 'fd00::1', destination: 'fd00::2' };
    for (const frame of [syn(), synAck(), syn({ sequence: 7 }, { ...v6, sequence: 7 }), synAck({}, { ...v6 })]) {
      reader.tables.replays.forget();
      assert.deepEqual(reader.verify(frame), GOOD);
    }
    assert.deepEqual(reader.verify(packet(LINUX)), NONE);
  });

  it('is found wherever it stands among the options', () => {
    const filler = (count: number): Buffer => Buffer.alloc(count, 1);
    for (const before of [
      filler(0),
      filler(3),
      filler(20),
      LINUX,
      Buffer.from('fe0c5a1200000000000000000101', 'hex'),
    ]) {
      const after = filler(20 - before.length);
      assert.deepEqual(reader.verify(packet(Buffer.concat([before, tag(), after]))), GOOD, before.toString('hex'));
    }
  });

  it('is not there behind an end of the options or behind a broken one', () => {
    for (const before of ['00', '0200', '0201', '02ff', '010100', '0500']) {
      const options = Buffer.concat([Buffer.from(before, 'hex'), tag()]);
      assert.deepEqual(reader.verify(packet(options)), NONE, before);
      assert.deepEqual(reader.carried(packet(options)), NONE, before);
    }
  });

  it('is nothing to packets that open nothing, nor outside the options', () => {
    for (const flags of [['ACK'], ['FIN', 'ACK'], ['RST'], ['PSH', 'ACK']] as const) {
      assert.deepEqual(reader.verify(syn({}, { flags })), NONE, flags.join());
    }
    assert.deepEqual(reader.verify(packet(LINUX, { payload: tag() })), NONE, 'in the payload');
    const wrong = packet(Buffer.concat([LINUX, tag()]), { dataOffset: 9 });
    assert.deepEqual(reader.verify(wrong), NONE, 'half of it in the payload');
  });

  it('is refused with anything in it changed', () => {
    for (let byte = 4; byte < 20; byte += 1) {
      for (const bit of [1, 0x80]) {
        const reading = reader.verify(packet(Buffer.concat([LINUX, turned(tag(), byte, bit)])));
        const inControl = byte === 12; // another epoch; with the lowest bit the next window
        assert.deepEqual(reading, refused(inControl && bit === 0x80 ? 'TagWindow' : 'TagMac'), `byte ${byte} ^ ${bit}`);
      }
    }
    for (const byte of [0, 2, 3]) {
      const other = packet(Buffer.concat([LINUX, turned(tag(), byte)]));
      assert.deepEqual(reader.verify(other), NONE, `another option: byte ${byte}`);
    }
    assert.deepEqual(reader.verify(packet(tag({ identity: 0n }))), refused('TagMac'), 'of nobody');
    assert.deepEqual(reader.verify(syn({ key: KEYS[2]! })), refused('TagMac'), 'made with another key');
  });

  it('is bound to its packet', () => {
    assert.deepEqual(reader.verify(syn({}, { sequence: SEQUENCE + 1 })), refused('TagMac'), 'the sequence number');
    const answer = { acknowledgement: ACKNOWLEDGED + 1 };
    assert.deepEqual(reader.verify(synAck({}, answer)), refused('TagMac'), 'what is acknowledged');
    const flags = ['SYN', 'ACK'] as const;
    assert.deepEqual(reader.verify(syn({}, { flags })), refused('TagMac'), 'a SYN’s on a SYN-ACK');
    const back = { flags: ['SYN'], acknowledgement: ACKNOWLEDGED } as const;
    assert.deepEqual(reader.verify(synAck({}, back)), refused('TagMac'), 'a SYN-ACK’s on a SYN');
    assert.deepEqual(reader.verify(syn({}, { acknowledgement: 99 })), GOOD, 'a SYN acknowledges nothing');
  });

  for (const now of [WINDOW, 500_000 - (500_000 % 32), 500_000 - (500_000 % 32) + 31]) {
    it(`is good one window early or late, and no more (window & 31 = ${now & 31})`, () => {
      reader.tables.set({ clockOffset: clockOffsetOf(now) });
      for (let off = -40; off <= 40; off += 1) {
        const reading = reader.verify(syn({ window: now + off, sequence: off + 100 }, { sequence: off + 100 }));
        const near = Math.abs(off) <= 1;
        // What is 32 windows away looks near by its five bits: the MAC has the whole number.
        const alike = !near && Math.min(Math.abs(off - 32), Math.abs(off + 32)) <= 1;
        assert.deepEqual(reading, near ? GOOD : refused(alike ? 'TagMac' : 'TagWindow'), `${off} windows off`);
      }
    });
  }

  it('follows the clock', () => {
    const frame = syn();
    assert.deepEqual(reader.verify(frame), GOOD);
    reader.tables.set({ clockOffset: clockOffsetOf(WINDOW + 2) });
    assert.deepEqual(reader.verify(frame), refused('TagWindow'));
    reader.tables.set({ clockOffset: clockOffsetOf(WINDOW * 120, 30), tagWindow: 30 });
    assert.deepEqual(
      reader.verify(syn({ window: WINDOW * 120, sequence: 5 }, { sequence: 5 })),
      GOOD,
      'of other length',
    );
  });

  it('is accepted of every epoch in force, and of no other', () => {
    const second = syn({ key: KEYS[2]!, epoch: 2 });
    assert.deepEqual(reader.verify(second), refused('TagWindow'), 'not yet');
    reader.tables.accept(2);
    assert.deepEqual(reader.verify(second), GOOD);
    assert.deepEqual(reader.verify(syn()), GOOD, 'the first one still');
    reader.tables.revoke(1);
    assert.deepEqual(reader.verify(syn()), refused('TagWindow'), 'no more');
    assert.deepEqual(reader.verify(second), GOOD);
  });

  it('is refused with any other addresses or ports, and good again with its own', () => {
    const first = { source: '10.0.0.1', destination: '10.0.0.2', sourcePort: 40000, destinationPort: 80 };
    assert.deepEqual(reader.verify(syn({}, first)), GOOD);
    for (const other of [
      { source: '10.0.0.3' },
      { destination: '10.0.0.3' },
      { sourcePort: 40001 },
      { destinationPort: 81 },
      { source: 'fd00::1', destination: 'fd00::2' },
    ]) {
      assert.deepEqual(reader.verify(syn({}, { ...first, ...other })), refused('TagReplay'), JSON.stringify(other));
      assert.deepEqual(reader.verify(syn({}, first)), GOOD, 'sent again');
    }
    assert.deepEqual(reader.verify(syn({ sequence: 1 }, { sequence: 1, sourcePort: 40001 })), GOOD, 'another tag');
  });

  it('is remembered among many others', () => {
    const numbers = Array.from({ length: 500 }, (_, number) => number);
    const of = (sequence: number, sourcePort: number) => syn({ sequence }, { sequence, sourcePort });
    for (const number of numbers) assert.deepEqual(reader.verify(of(number, 40000)), GOOD);
    assert.equal(reader.tables.replays.count(), numbers.length);
    for (const number of numbers) assert.deepEqual(reader.verify(of(number, 40001)), refused('TagReplay'));
  });

  it('is forgotten when eight others have come whose MACs begin alike, and no sooner', () => {
    const alike = [1, 46458, 88833, 92645, 96955, 110612, 140648, 162295, 192602];
    const of = (sequence: number, sourcePort: number) => syn({ sequence }, { sequence, sourcePort });
    const [first, ...others] = alike as [number, ...number[]];
    assert.deepEqual(reader.verify(of(first, 40000)), GOOD);
    for (const other of others) {
      assert.deepEqual(reader.verify(of(first, 40001)), refused('TagReplay'));
      assert.deepEqual(reader.verify(of(other, 40000)), GOOD);
    }
    assert.deepEqual(reader.verify(of(first, 40001)), GOOD);
    for (const other of others.slice(1)) assert.deepEqual(reader.verify(of(other, 40001)), refused('TagReplay'));
    assert.equal(reader.tables.replays.count(), 8);
  });

  it('takes no room before it is proven', () => {
    reader.verify(packet(Buffer.concat([LINUX, turned(tag(), 19)])));
    reader.verify(syn({ window: WINDOW + 5 }));
    reader.carried(syn());
    assert.equal(reader.tables.replays.count(), 0);
    reader.verify(syn());
    assert.equal(reader.tables.replays.count(), 1);
  });

  it('is not read where tags are off', () => {
    reader.tables.set({ tagWindow: 0 });
    assert.deepEqual(reader.verify(syn()), NONE);
    assert.deepEqual(reader.verify(packet(Buffer.concat([LINUX, turned(tag(), 19)]))), NONE);
  });

  it('is read alike by a cgroup’s program, which begins at the network header', () => {
    assert.ok(reader.verifiesAtCgroup(syn()));
    assert.ok(
      reader.verifiesAtCgroup(syn({ sequence: 9 }, { sequence: 9, source: 'fd00::1', destination: 'fd00::2' })),
    );
    assert.ok(!reader.verifiesAtCgroup(packet(turned(tag(), 19))));
  });
});

describe('a tag that leaves', () => {
  let reader: TagReader;
  before(function () {
    this.timeout(120_000);
    reader = new TagReader();
  });
  after(() => reader.close());

  it('names whom it claims to come from, proven or not', () => {
    for (const option of [tag(), turned(tag(), 19), tag({ window: 1, key: KEYS[2]! })]) {
      assert.deepEqual(reader.carried(packet(option)), GOOD);
    }
    assert.deepEqual(reader.carried(synAck()), GOOD);
    assert.deepEqual(reader.carried(packet(LINUX)), NONE);
    assert.deepEqual(reader.carried(packet(tag({ identity: 0n }))), refused('TagForged'));
  });

  it('is not alone where a second may be another reader’s first', () => {
    const two = packet(Buffer.concat([tag(), tag({ identity: 1n })]));
    assert.deepEqual(reader.carried(two), refused('Header'));
    assert.deepEqual(reader.verify(two), refused('Header'));
  });

  it('cannot hide in a header that is in pieces, or beyond the packet', () => {
    const whole = ipv4({ source: '10.0.0.1', destination: '10.0.0.2' }, tcp({ flags: ['SYN'], options: tag() }));
    const whole6 = ipv6({ source: 'fd00::1', destination: 'fd00::2' }, tcp({ flags: ['SYN'], options: tag() }));
    for (const packetWhole of [whole, whole6]) {
      const [first] = fragments(packetWhole, 24);
      assert.deepEqual(reader.carried(ethernet({}, first!)), refused('Fragment'));
      assert.deepEqual(reader.verify(ethernet({}, first!)), refused('Fragment'));
    }
    const [bare] = fragments(
      ipv4({ source: '10.0.0.1', destination: '10.0.0.2' }, tcp({ flags: ['SYN'] }, Buffer.alloc(64))),
      40,
    );
    assert.deepEqual(reader.carried(ethernet({}, bare!)), NONE, 'no options: nothing can be hidden in them');
    assert.deepEqual(reader.carried(packet(Buffer.alloc(0), { dataOffset: 15 })), refused('Truncated'));
  });

  it('is found where an obvious reader finds it, in any bytes', () => {
    const piece = fc.oneof(
      fc.constant(tag()),
      fc.constant(Buffer.from([1])),
      fc.constant(Buffer.from([0])),
      fc.constant(LINUX),
      fc.uint8Array({ minLength: 1, maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
      fc
        .integer({ min: 2, max: 12 })
        .map((length) => Buffer.concat([Buffer.from([8, length]), Buffer.alloc(length - 2)])),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        const options = Buffer.concat(pieces).subarray(0, 40);
        const padded = Buffer.concat([options, Buffer.alloc((4 - (options.length % 4)) % 4)]);
        const tags = splitOptions(padded).filter((option) => option.subarray(0, 4).toString('hex') === 'fe145a11');
        const wanted = tags.length > 1 ? 'Header' : 'none';
        const reading = reader.carried(packet(padded));
        assert.equal(reading.reason, tags.length === 1 && tags[0]!.readBigUInt64BE(4) === 0n ? 'TagForged' : wanted);
        if (tags.length === 1) assert.equal(reading.identity, tags[0]!.readBigUInt64BE(4));
      }),
      { numRuns: 500 },
    );
  });
});
