import assert from 'node:assert/strict';
import { SocketAddress } from 'node:net';
import fc from 'fast-check';
import { BpfError, formatAddress } from '../../src/libbpf/index.ts';
import { decodeAddress, decodeLink, decodeRoute } from '../../src/libbpf/network.ts';

/** Attributes as the kernel writes them: length, type, value, padding to 4. */
function attributes(...list: readonly (readonly [number, Buffer | string | number])[]): Buffer {
  return Buffer.concat(
    list.map(([type, given]) => {
      const value = typeof given === 'number' ? Buffer.from(Uint32Array.of(given).buffer) : Buffer.from(given);
      const bytes = Buffer.alloc((4 + value.length + 3) & ~3);
      bytes.writeUInt16LE(4 + value.length, 0);
      bytes.writeUInt16LE(type, 2);
      value.copy(bytes, 4);
      return bytes;
    }),
  );
}

function linkHeader(ifindex: number, flags: number): Buffer {
  const header = Buffer.alloc(16);
  header.writeInt32LE(ifindex, 4);
  header.writeUInt32LE(flags, 8);
  return header;
}

describe('Addresses as text', () => {
  it('are canonical: the same as Node prints after parsing them', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      // Runs of zeros are where the rules are.
      fc
        .array(fc.constantFrom([0, 0], [0, 1], [0x20, 0x01]), { minLength: 8, maxLength: 8 })
        .map((groups) => Uint8Array.from(groups.flat())),
    );
    fc.assert(
      fc.property(bytes, (address) => {
        const text = formatAddress(address);
        assert.ok(text !== undefined);
        // glibc prints ::a.b.c.d for the deprecated IPv4-compatible addresses, RFC 5952 does not ask for it.
        if (address.subarray(0, 12).every((byte) => byte === 0)) return;
        assert.equal(text, new SocketAddress({ address: text, family: 'ipv6' }).address);
      }),
      { numRuns: 2000 },
    );
  });

  it('are what people expect', () => {
    const cases: [string, string][] = [
      ['7f000001', '127.0.0.1'],
      ['00000000000000000000000000000000', '::'],
      ['00000000000000000000000000000001', '::1'],
      ['fe800000000000000000000000000001', 'fe80::1'],
      ['20010db8000000010000000000000001', '2001:db8:0:1::1'],
      ['20010db8000100010001000100010001', '2001:db8:1:1:1:1:1:1'],
      ['00000000000000000000ffffc0000201', '::ffff:192.0.2.1'],
    ];
    for (const [hex, text] of cases) assert.equal(formatAddress(Buffer.from(hex, 'hex')), text);
    assert.equal(formatAddress(Buffer.alloc(5)), undefined);
    assert.equal(formatAddress(undefined), undefined);
  });
});

describe('A link message', () => {
  it('gives the name, kind, peer, namespace, master, state, MAC and MTU', () => {
    const kind = attributes([1, 'veth\0']);
    const body = Buffer.concat([
      linkHeader(7, 1),
      attributes(
        [3, 'web0\0'],
        [1, Buffer.from('0242ac110002', 'hex')],
        [4, 1500],
        [5, 6],
        [10, 3],
        [18, kind],
        [37, 2],
      ),
    ]);
    assert.deepEqual(decodeLink(body), {
      ifindex: 7,
      name: 'web0',
      kind: 'veth',
      peerIfindex: 6,
      linkNetnsid: 2,
      master: 3,
      up: true,
      mac: '02:42:ac:11:00:02',
      mtu: 1500,
    });
  });

  it('gives nothing when it is too short or has no name', () => {
    assert.equal(decodeLink(Buffer.alloc(15)), undefined);
    assert.equal(decodeLink(linkHeader(1, 0)), undefined);
  });
});

describe('A route message', () => {
  it('gives the first of several next hops', () => {
    const header = Buffer.from([2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]);
    const gateway = attributes([5, Buffer.from([10, 0, 0, 1])]);
    const hop = Buffer.concat([Buffer.from([8 + gateway.length, 0, 0, 0, 4, 0, 0, 0]), gateway]);
    const route = decodeRoute(Buffer.concat([header, attributes([9, Buffer.concat([hop, hop])])]));
    assert.equal(route?.gateway, '10.0.0.1');
    assert.equal(route.ifindex, 4);
    assert.equal(route.destination, undefined);
    assert.equal(route.table, 254);
  });
});

describe('Messages of any content', () => {
  it('are decoded or refused with a BpfError, never more', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      // Right headers with attributes of any kind behind them.
      fc
        .array(fc.tuple(fc.integer({ min: 0, max: 64 }), fc.uint8Array({ maxLength: 20 })), { maxLength: 8 })
        .map((list) =>
          Buffer.concat([
            Buffer.from([10, 64, 0, 0]),
            Buffer.alloc(12),
            attributes(...list.map(([t, v]) => [t, Buffer.from(v)] as const)),
          ]),
        ),
    );
    fc.assert(
      fc.property(bytes, fc.constantFrom(decodeLink, decodeAddress, decodeRoute), (body, decode) => {
        try {
          decode(Buffer.from(body));
        } catch (error) {
          assert.ok(error instanceof BpfError && error.code === 'NETLINK', String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
