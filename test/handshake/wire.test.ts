import assert from 'node:assert/strict';
import fc from 'fast-check';
import { announceable, decode } from '../../src/handshake/decode.ts';
import { encode } from '../../src/handshake/encode.ts';
import { ProtocolError } from '../../src/handshake/errors.ts';
import { FRAME_MOST, FrameReader } from '../../src/handshake/frames.ts';
import { BOUNDS, type Message } from '../../src/handshake/messages.ts';
import { envelopeType } from '../../src/handshake/schema.ts';
import { formatAddress } from '../../src/model/address.ts';

const wide = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const id = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n });
const word = (maxLength: number, minLength = 0) =>
  fc.string({ minLength, maxLength, unit: fc.constantFrom(...'aZ0._-é/') });
const port = fc.nat(65_535);
const v4 = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)).map((bytes) => bytes.join('.'));
const v6 = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => formatAddress(bytes))
  .filter((text) => text.includes(':'));
const conversation = fc.oneof(fc.tuple(v4, v4), fc.tuple(v6, v6)).chain(([source, destination]) =>
  fc.record({
    protocol: fc.nat(255),
    source: fc.record({ address: fc.constant(source), port }),
    destination: fc.record({ address: fc.constant(destination), port }),
  }),
);
const lifetime = fc.integer({ min: 1, max: BOUNDS.lifetime });
const reason = fc.constantFrom('policy', 'not-here', 'not-yours', 'busy', 'timeout', 'gone', 'other');
const workload = fc.record({
  workload: fc.record({ namespace: word(63, 1), kind: word(63, 1), name: word(253, 1) }),
  container: word(253),
  labels: fc.dictionary(word(60), word(60), { maxKeys: 8, noNullPrototype: false }),
  ports: fc.array(
    fc.record({
      name: word(63, 1),
      protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
      port: fc.integer({ min: 1, max: 65_535 }),
    }),
    { maxLength: 4 },
  ),
});
const version = fc.nat(65_535);
const count = fc.maxSafeNat();

const message = fc.oneof(
  fc.record({
    kind: fc.constant('hello'),
    versionLeast: version,
    versionMost: version,
    domain: word(253, 1),
    node: word(253, 1),
    instance: wide,
    time: count,
  }),
  fc.record({
    kind: fc.constant('announce'),
    complete: fc.boolean(),
    more: fc.boolean(),
    revision: count,
    workloads: fc.array(workload, { maxLength: 5 }),
    withdrawn: fc.array(wide, { maxLength: 5 }),
  }),
  fc.record({ kind: fc.constant('request'), id, source: id, conversation, shared: fc.boolean(), direct: fc.boolean() }),
  fc.record({
    kind: fc.constant('accept'),
    id,
    destination: id,
    token: fc.option(fc.uint8Array({ minLength: 16, maxLength: 16 }), { nil: undefined }),
    lifetime,
    direct: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('arrived'), id, destination: id, direct: fc.boolean(), lifetime }),
  fc.record({ kind: fc.constantFrom('confirm', 'renew'), id }),
  fc.record({
    kind: fc.constant('refuse'),
    id,
    reason,
    destination: wide,
    rule: word(512),
    source: fc.constant(0n),
    conversation: fc.constant(undefined),
    yours: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('refuse'),
    id: fc.constant(0n),
    reason,
    destination: wide,
    rule: word(512),
    source: id,
    conversation,
    yours: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('renewed'), id, lifetime }),
  fc.record({ kind: fc.constant('revoke'), id, reason, yours: fc.boolean() }),
  fc.record({ kind: fc.constant('query'), identity: id }),
  fc.record({ kind: fc.constantFrom('ping', 'pong'), nonce: wide }),
) as fc.Arbitrary<Message>;

/** The payload without its length. */
function frameOf(one: Message): Uint8Array {
  const [frame] = new FrameReader(FRAME_MOST).push(encode(one));
  return Uint8Array.from(frame!);
}

/** Anything the schema can express, whether the protocol allows it or not. */
function raw(fields: object): Uint8Array {
  return envelopeType().encode(envelopeType().fromObject(fields)).finish();
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)];
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}

describe('messages', () => {
  it('come out as they went in', () => {
    fc.assert(
      fc.property(message, (one) => {
        assert.deepEqual(plain(decode(frameOf(one))), plain(one));
      }),
    );
  });

  it('of any bytes are read or refused, and nothing else', () => {
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.tuple(message, fc.nat(), fc.nat(255)).map(([one, where, byte]) => {
        const bytes = frameOf(one);
        bytes[where % bytes.length] = byte;
        return bytes;
      }),
      fc.tuple(message, fc.nat()).map(([one, where]) => {
        const bytes = frameOf(one);
        return bytes.subarray(0, where % bytes.length);
      }),
    );
    fc.assert(
      fc.property(hostile, (bytes) => {
        try {
          decode(bytes);
        } catch (thrown) {
          assert.ok(thrown instanceof ProtocolError, String(thrown));
        }
      }),
      { numRuns: 2_000 },
    );
  });

  const flow = { protocol: 17, source: Buffer.of(10, 0, 0, 1), sourcePort: 1, destination: Buffer.of(10, 0, 0, 2) };
  const request = { id: 1, source: 2, flow };
  const mapped = Buffer.from('00000000000000000000ffff0a000001', 'hex');
  const one = { namespace: 'a', kind: 'b', name: 'c' };
  const refused: readonly [string, object][] = [
    ['no body', {}],
    ['a request without id', { request: { ...request, id: 0 } }],
    ['a request without source', { request: { ...request, source: 0 } }],
    ['a request without flow', { request: { id: 1, source: 2 } }],
    ['an address of 5 bytes', { request: { ...request, flow: { ...flow, source: Buffer.alloc(5) } } }],
    ['no address', { request: { ...request, flow: { ...flow, destination: Buffer.alloc(0) } } }],
    ['IPv4 written as IPv6', { request: { ...request, flow: { ...flow, source: mapped, destination: mapped } } }],
    ['two families', { request: { ...request, flow: { ...flow, source: Buffer.alloc(16, 1) } } }],
    ['a port beyond 65535', { request: { ...request, flow: { ...flow, sourcePort: 65_536 } } }],
    ['a protocol beyond 255', { request: { ...request, flow: { ...flow, protocol: 256 } } }],
    ['a token of 15 bytes', { accept: { id: 1, destination: 2, token: Buffer.alloc(15) } }],
    ['a token of 17 bytes', { accept: { id: 1, destination: 2, token: Buffer.alloc(17) } }],
    ['no token and no lifetime', { accept: { id: 1, destination: 2 } }],
    ['no token and no destination', { accept: { id: 1, lifetime: 1_000 } }],
    ['arrived at nobody', { arrived: { id: 1, lifetime: 1_000 } }],
    ['a lifetime of 0', { arrived: { id: 1, destination: 2 } }],
    ['a lifetime beyond a day', { renewed: { id: 1, lifetime: 86_400_001 } }],
    ['a rule of 513 characters', { refuse: { id: 1, rule: 'x'.repeat(513) } }],
    ['a rule that moves the cursor', { refuse: { id: 1, rule: '\u001b[2J' } }],
    ['a notice of no conversation', { refuse: { id: 0, source: 1 } }],
    ['a query for nobody', { query: {} }],
    ['a workload without a name', { announce: { workloads: [{ ...one, name: '' }] } }],
    ['a workload with a long name', { announce: { workloads: [{ ...one, name: 'x'.repeat(254) }] } }],
    ['a workload with a line break', { announce: { workloads: [{ ...one, name: 'a\nb' }] } }],
    [
      '65 ports',
      { announce: { workloads: [{ ...one, ports: Array(65).fill({ name: 'p', protocol: 'TCP', port: 1 }) }] } },
    ],
    [
      'a port of no protocol',
      { announce: { workloads: [{ ...one, ports: [{ name: 'p', protocol: 'tcp', port: 1 }] }] } },
    ],
    ['a port 0', { announce: { workloads: [{ ...one, ports: [{ name: 'p', protocol: 'TCP', port: 0 }] }] } }],
    ['a label twice', { announce: { workloads: [{ ...one, labels: [{ key: 'a' }, { key: 'a', value: 'b' }] }] } }],
    [
      '261 labels',
      { announce: { workloads: [{ ...one, labels: Array.from({ length: 261 }, (_, i) => ({ key: `${i}` })) }] } },
    ],
    ['a hello without a node', { hello: { versionLeast: 1, versionMost: 1, domain: 'd' } }],
    ['a hello with a long domain', { hello: { domain: 'd'.repeat(254), node: 'n' } }],
    ['a message of 70 KB', { refuse: { id: 1, rule: 'x'.repeat(70_000) } }],
  ];
  for (const [what, fields] of refused) {
    it(`with ${what} are refused`, () => {
      assert.throws(() => decode(raw(fields)), ProtocolError);
    });
  }

  it('with two bodies are refused, whichever comes first', () => {
    const [ping, query] = [raw({ ping: { nonce: 1 } }), raw({ query: { identity: 1 } })];
    for (const both of [Buffer.concat([ping, query]), Buffer.concat([query, ping])]) {
      assert.throws(() => decode(both), { code: 'MALFORMED' });
    }
  });

  it('hidden behind a large announcement are refused', () => {
    const large = raw({ announce: { withdrawn: Array(20_000).fill(1) } });
    assert.equal(decode(large).kind, 'announce');
    assert.throws(() => decode(Buffer.concat([large, raw({ ping: {} })])), ProtocolError);
  });

  it('other than announcements are at most 64 KiB, whatever is in them', () => {
    const padding = (size: number) => Buffer.concat([Buffer.of(0xa2, 0x06, ...varint(size)), Buffer.alloc(size)]);
    const ping = raw({ ping: { nonce: 1 } });
    assert.equal(decode(Buffer.concat([ping, padding(60_000)])).kind, 'ping');
    assert.equal(decode(Buffer.concat([padding(60_000), ping])).kind, 'ping');
    for (const parts of [
      [ping, padding(66_000)],
      [padding(66_000), ping],
    ]) {
      assert.throws(() => decode(Buffer.concat(parts)), { code: 'BOUNDS' });
    }
    // What begins like an announcement and is none: an empty one has the same first byte as its length.
    const hidden = Buffer.concat([raw({ announce: {} }), padding(66_000), ping]);
    assert.throws(() => decode(hidden), ProtocolError);
  });

  it('with groups nested deep do not overflow the stack', () => {
    assert.throws(() => decode(Buffer.alloc(60_000, 0x7b)), ProtocolError);
  });

  it('with invalid UTF-8 in a name are refused', () => {
    const bytes = Buffer.from(raw({ announce: { workloads: [{ ...one, name: 'QQQQ' }] } }));
    bytes[bytes.indexOf('QQQQ')] = 0xff;
    assert.throws(() => decode(bytes), ProtocolError);
  });

  it('cannot reach into prototypes by a label', () => {
    const labels = [
      { key: '__proto__', value: 'x' },
      { key: 'constructor', value: 'y' },
    ];
    const read = decode(raw({ announce: { workloads: [{ ...one, labels }] } }));
    assert.ok(read.kind === 'announce');
    assert.deepEqual(Object.entries(read.workloads[0]!.labels), [
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
    assert.equal(({} as Record<string, unknown>).x, undefined);
  });

  it('share no memory with what they were read from', () => {
    const bytes = frameOf({
      kind: 'accept',
      id: 1n,
      destination: 2n,
      token: new Uint8Array(16).fill(7),
      lifetime: 0,
      direct: false,
    });
    const read = decode(bytes);
    bytes.fill(0);
    assert.ok(read.kind === 'accept');
    assert.deepEqual([...read.token!], Array(16).fill(7));
  });

  it('a reason of a later version is another reason', () => {
    const read = decode(raw({ revoke: { id: 1, reason: 99 } }));
    assert.equal(read.kind === 'revoke' && read.reason, 'other');
  });

  it('what would be refused is known before it is sent', () => {
    const workload = { namespace: 'a', kind: 'b', name: 'c' };
    const good = { workload, container: '', labels: {}, ports: [] };
    assert.ok(announceable(good));
    assert.ok(!announceable({ ...good, labels: { a: 'x'.repeat(318) } }));
    assert.ok(!announceable({ ...good, container: 'a\u0007' }));
    fc.assert(
      fc.property(fc.string(), (name) => {
        const one = { ...good, workload: { ...workload, name } };
        const announce = {
          kind: 'announce',
          complete: true,
          more: false,
          revision: 1,
          withdrawn: [],
          workloads: [one],
        } as const;
        if (announceable(one)) decode(frameOf(announce));
        else assert.throws(() => decode(frameOf(announce)), ProtocolError);
      }),
    );
  });
});

describe('frames', () => {
  it('come out whole, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 10 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        (messages, cuts) => {
          const stream = Buffer.concat(messages.map(encode));
          const reader = new FrameReader(FRAME_MOST);
          const read: Message[] = [];
          for (let at = 0, i = 0; at < stream.length; i++) {
            const size = cuts[i % cuts.length]!;
            for (const frame of reader.push(stream.subarray(at, at + size))) read.push(decode(frame));
            at += size;
          }
          assert.deepEqual(plain(read), plain(messages));
          assert.ok(!reader.unfinished);
          assert.equal(reader.buffered, 0);
        },
      ),
    );
  });

  it('of a length beyond the bound are refused before a byte of them is kept', () => {
    const reader = new FrameReader(100);
    assert.throws(() => [...reader.push(Uint8Array.of(101))], { code: 'FRAME' });
    for (const length of [
      [0xff, 0xff, 0xff, 0xff],
      [0x80, 0x80, 0x80],
      [0x80, 0x00],
      [0xff, 0xff, 0x7f],
    ]) {
      assert.throws(() => [...new FrameReader(FRAME_MOST).push(Uint8Array.from(length))], { code: 'FRAME' });
    }
  });

  it('cost memory as they come, not as they promise, and time in proportion', () => {
    const reader = new FrameReader(FRAME_MOST);
    const length = FRAME_MOST - 1;
    const begun = process.memoryUsage().arrayBuffers;
    assert.deepEqual([...reader.push(Uint8Array.of(0xff, 0xff, 0x3f))], []);
    assert.deepEqual([...reader.push(new Uint8Array(10))], []);
    assert.ok(process.memoryUsage().arrayBuffers - begun < 100_000);
    const started = performance.now();
    let frames = 0;
    for (let i = 10; i < length; i++) for (const frame of reader.push(ONE_BYTE)) frames += frame.length;
    assert.equal(frames, length);
    assert.ok(performance.now() - started < 5_000, 'quadratic');
  });

  it('may be empty', () => {
    assert.deepEqual(
      [...new FrameReader(10).push(Uint8Array.of(0, 1, 9, 0))].map((frame) => frame.length),
      [0, 1, 0],
    );
  });

  it('take the bound that stands when they begin', () => {
    const reader = new FrameReader(1);
    const sizes: number[] = [];
    for (const frame of reader.push(Uint8Array.of(1, 0, 3, 0, 0, 0))) {
      sizes.push(frame.length);
      reader.limit = 3;
    }
    assert.deepEqual(sizes, [1, 3]);
  });
});

const ONE_BYTE = new Uint8Array(1);
