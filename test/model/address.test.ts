import assert from 'node:assert/strict';
import { BlockList, isIP } from 'node:net';
import fc from 'fast-check';
import {
  addressFamily,
  formatAddress,
  formatNetwork,
  type Network,
  networkContains,
  networkCovers,
  parseAddress,
  parseNetwork,
} from '../../src/model/address.ts';

function network(text: string): Network {
  const parsed = parseNetwork(text);
  assert.ok('family' in parsed, `${text}: ${'reason' in parsed ? parsed.reason : ''}`);
  return parsed;
}

describe('addresses', () => {
  const canonical: [text: string, formatted: string][] = [
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
  ];
  for (const [text, formatted] of canonical) {
    it(`writes ${text} as ${formatted}`, () => {
      const parsed = parseAddress(text);
      assert.ok(parsed);
      assert.equal(formatAddress(parsed), formatted);
    });
  }

  const refused = [
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '1.2.3.256',
    '1.2.3.-4',
    ' 1.2.3.4',
    '1.2.3.4 ',
    '1.2.3.4\n',
  ];
  refused.push('0x1.2.3.4', '١.2.3.4', ':', ':::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1::2::3', '12345::', '::g');
  refused.push(
    'fe80::1%eth0',
    '[::1]',
    '1.2.3.4::',
    '::1.2.3',
    '::1.2.3.4:5',
    '1:2:3:4:5:6:7:8::',
    '1:2:3:4::5:6:7:8',
    ':1:2:3:4:5:6:7',
  );
  for (const text of refused) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseAddress(text), undefined));
  }

  it('agree with the platform about what is an address', () => {
    const near = fc.string({ unit: fc.constantFrom('0', '1', 'f', '25', ':', '::', '.', 'g'), maxLength: 12 });
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), near), (text) => {
        assert.equal(parseAddress(text) !== undefined, isIP(text) !== 0);
      }),
      { numRuns: 5_000 },
    );
  });

  it('come back from their canonical text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const parsed = parseAddress(text);
        assert.ok(parsed);
        assert.deepEqual(parseAddress(formatAddress(parsed)), parsed);
        assert.equal(addressFamily(parsed) === 4, formatAddress(parsed).includes('.'));
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('networks', () => {
  const refused: [text: string, reason: RegExp, suggestion?: string][] = [
    ['10.0.0.1/8', /host bits/, '10.0.0.0/8'],
    ['fd00::1/64', /host bits/, 'fd00::/64'],
    ['10.0.0.0', /prefix length is missing/, '10.0.0.0/32'],
    ['::1', /prefix length is missing/, '::1/128'],
    ['10.0.0.0/33', /between 0 and 32/],
    ['::/129', /between 0 and 128/],
    ['10.0.0.0/', /between/],
    ['10.0.0.0/08', /between/],
    ['10.0.0.0/+8', /between/],
    ['10.0.0.0/8/9', /between/],
    ['::ffff:10.0.0.0/104', /IPv4 network written as IPv6/, '10.0.0.0/8'],
    ['web/8', /not an IPv4 or IPv6 address/],
    ['/8', /not an/],
  ];
  for (const [text, reason, suggestion] of refused) {
    it(`refuses ${text}`, () => {
      const parsed = parseNetwork(text);
      assert.ok('reason' in parsed);
      assert.match(parsed.reason, reason);
      assert.equal(parsed.suggestion, suggestion);
    });
  }

  it('come back from their canonical text', () => {
    for (const text of ['0.0.0.0/0', '10.0.0.0/8', '1.2.3.4/32', '::/0', 'fd00::/8', '::1/128']) {
      assert.equal(formatNetwork(network(text)), text);
    }
  });

  it('contain what the platform says they contain', () => {
    const bits = fc.constantFrom(0, 1, 7, 8, 9, 16, 31, 32);
    const v4 = fc.tuple(fc.ipV4(), bits, fc.ipV4());
    fc.assert(
      fc.property(v4, ([base, length, probe]) => {
        const asWritten = parseNetwork(`${base}/${length}`);
        const meant = 'family' in asWritten ? asWritten : network(asWritten.suggestion ?? '');
        const list = new BlockList();
        list.addSubnet(base, length);
        for (const text of [probe, base]) {
          const parsed = parseAddress(text);
          assert.ok(parsed);
          assert.equal(networkContains(meant, parsed), list.check(text));
        }
      }),
      { numRuns: 3_000 },
    );
  });

  it('keep the families apart, also where everything is meant', () => {
    const [v4, v6] = [parseAddress('10.0.0.1'), parseAddress('fd00::1')];
    assert.ok(v4 && v6);
    assert.equal(networkContains(network('::/0'), v4), false);
    assert.equal(networkContains(network('::/0'), v6), true);
    assert.equal(networkContains(network('0.0.0.0/0'), v4), true);
    assert.equal(networkContains(network('0.0.0.0/0'), v6), false);
    assert.equal(networkCovers(network('::/0'), network('10.0.0.0/8')), false);
  });

  it('cover smaller ones inside them and themselves', () => {
    const covers = (outer: string, inner: string): boolean => networkCovers(network(outer), network(inner));
    assert.equal(covers('10.0.0.0/8', '10.1.0.0/16'), true);
    assert.equal(covers('10.0.0.0/8', '10.0.0.0/8'), true);
    assert.equal(covers('10.1.0.0/16', '10.0.0.0/8'), false);
    assert.equal(covers('10.0.0.0/9', '10.128.0.0/9'), false);
  });
});
