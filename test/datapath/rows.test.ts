/** Peers' rows and records: what is no row, and what a record says. */
import assert from 'node:assert/strict';
import { Clock } from '../../src/datapath/clock.ts';
import { EventKind, type PeerEvent, PeerEventLayout } from '../../src/datapath/layouts.gen.ts';
import { domainRows, tagRows } from '../../src/datapath/peer-rows.ts';
import { tagPlacesOf } from '../../src/datapath/places.ts';
import { decodeRecord } from '../../src/datapath/records.ts';
import { answerMark, checkHoldMark } from '../../src/datapath/settings.ts';
import { parseAddress } from '../../src/model/address.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import { deriveIdentity } from '../../src/model/identity.ts';

const key = (epoch: number, length = 16) => ({ epoch, key: Buffer.alloc(length, epoch) });

describe('rows of the domain', () => {
  it('are one for each network, and hold where any says so', () => {
    const rows = domainRows([
      { cidr: '10.0.0.0/8', hold: true },
      { cidr: '10.0.0.0/8', hold: false },
      { cidr: '2001:db8::/32', hold: false },
    ]);
    assert.deepEqual(
      [...rows.values()].map(({ key: { prefix }, flags }) => [prefix, flags]),
      [
        [104, 3],
        [32, 1],
      ],
    );
  });

  it('tell a node from networks, unless more is said of its address', () => {
    const rows = domainRows([
      { cidr: '192.0.2.1/32', hold: false, node: true },
      { cidr: '192.0.2.2/32', hold: false, node: true },
      { cidr: '192.0.2.0/24', hold: false },
      { cidr: '192.0.2.2/32', hold: true },
    ]);
    const flags = [...rows.values()].map(({ key: { prefix }, flags }) => [prefix, flags]);
    assert.deepEqual(flags.sort(), [
      [120, 1],
      [128, 3],
      [128, 5],
    ]);
  });

  for (const [cidr, inside] of [
    ['::/0', true],
    ['::/64', true],
    ['::/96', false],
    ['8000::/1', false],
    ['2001:db8::/32', false],
  ] as const) {
    it(`${inside ? 'leave IPv4 out of' : 'need no word on IPv4 for'} ${cidr}`, () => {
      const rows = [...domainRows([{ cidr, hold: true }]).values()];
      assert.equal(
        rows.some(({ key: { prefix }, flags }) => prefix === 96 && flags === 0),
        inside,
      );
    });
  }

  it('say of IPv4 inside an IPv6 network what is said of IPv4', () => {
    const networks = [
      { cidr: '0.0.0.0/0', hold: false },
      { cidr: '::/0', hold: true },
    ];
    for (const order of [networks, networks.toReversed()]) {
      const flags = [...domainRows(order).values()].map(({ key: { prefix }, flags }) => [prefix, flags]);
      assert.deepEqual(flags.sort(), [
        [0, 3],
        [96, 1],
      ]);
    }
  });

  for (const cidr of ['10.0.0.1/8', '10.0.0.0', 'nowhere', '::ffff:10.0.0.0/104']) {
    it(`are none for ${cidr}`, () => assert.throws(() => domainRows([{ cidr, hold: false }]), TypeError));
  }
});

describe('rows of tag keys', () => {
  for (const [what, keys] of [
    ['more than four keys', { keys: [0, 1, 2, 3, 4].map((epoch) => key(epoch)), window: 30 }],
    ['two keys that cannot be told apart', { keys: [key(1), key(5)], window: 30 }],
    ['a short key', { keys: [key(1, 15)], window: 30 }],
    ['a negative epoch', { keys: [key(-1)], window: 30 }],
    ['no window', { keys: [key(1)], window: 0 }],
    ['half a second', { keys: [key(1)], window: 0.5 }],
    ['a signer without a key', { keys: [key(1)], signing: 2, window: 30 }],
  ] as const) {
    it(`are none for ${what}`, () => assert.throws(() => tagRows(keys), TypeError));
  }

  it('name an epoch nobody has where nothing signs', () => {
    for (const epochs of [[], [0, 1, 2, 3], [4, 5, 6, 7]]) {
      const { tagEpoch, keys } = tagRows({ keys: epochs.map((epoch) => key(epoch)), window: 30 });
      assert.ok(!keys.some(({ epoch, valid }) => valid === 1 && epoch === tagEpoch));
    }
  });
});

describe('marks', () => {
  it('to hold by are one bit, or none', () => {
    for (const mark of [0, 1, 0x1000, 0x8000_0000]) checkHoldMark(mark);
    for (const mark of [3, 0x1001, -1, 1.5, 2 ** 32, Number.NaN]) assert.throws(() => checkHoldMark(mark), TypeError);
  });

  it('of answers are drawn again until one is left beside the bit to hold by', () => {
    const drawn = [0, 0x8000_0000, 0x8000_0004];
    assert.equal(
      answerMark(0, 0x8000_0000, () => drawn.shift() ?? assert.fail()),
      4,
    );
    assert.equal(
      answerMark(0x1234, 0x1000, () => assert.fail()),
      0x234,
    );
    assert.equal(
      answerMark(0x1000, 0x1000, () => 0x1008),
      8,
    );
  });
});

describe('places of tags', () => {
  const identity = deriveIdentity('test', {
    workload: { namespace: 'a', kind: 'b', name: 'c' },
    container: 'd',
    labels: {},
  });
  const container = {
    id: 'x',
    name: 'd',
    runtime: 'cgroup' as const,
    identity,
    cgroup: { id: 77n, path: 'some/where', level: 2 },
    pid: 1,
    startedAt: 0,
  };
  const endpoint = { id: 'x', identity, containers: [container], netns: 1, interfaces: [], addresses: [], ports: [] };

  it('are the cgroups of containers that are judged', () => {
    for (const mode of ['interface', 'cgroup'] as const) {
      const [place, ...others] = tagPlacesOf({ ...endpoint, mode } as Endpoint, '/cgroups');
      assert.deepEqual(others, []);
      assert.ok(place?.kind === 'cgroup');
      assert.deepEqual([place.path, place.owner], ['/cgroups/some/where', { cgroup: 77n, identity: identity.id }]);
    }
    assert.deepEqual(tagPlacesOf({ ...endpoint, mode: 'unprotected', reason: 'why' } as Endpoint, '/'), []);
  });
});

describe('records of peers', () => {
  const bytes = (text: string) => ({ bytes: parseAddress(text) ?? assert.fail(text) });
  const context = {
    endpointName: (number: number) => `#${number}`,
    containerName: (number: number) => `#${number}`,
    wallClock: (time: bigint) => new Clock(() => 5_000_000n).wall(time),
  };
  const event = (kind: number): PeerEvent => ({
    head: { time: 1_000_000n, kind },
    token: Buffer.alloc(16, 3),
    identity: 0xfedc_ba98_7654_3210n,
    endpoint: 7,
    local: 16,
    source: bytes('10.2.0.7'),
    destination: bytes('2001:db8::1'),
    sourcePort: 4000,
    destinationPort: 53,
    protocol: 17,
  });
  const conversation = {
    protocol: 17,
    source: { address: '10.2.0.7', port: 4000 },
    destination: { address: '2001:db8::1', port: 53 },
  };
  const read = (kind: number, size = PeerEventLayout.size) => {
    const buffer = Buffer.alloc(PeerEventLayout.size);
    PeerEventLayout.write(event(kind), buffer, 0);
    return decodeRecord(buffer, 0, size, context);
  };

  it('say who has come with which token, and where to', () => {
    const identity = 0xfedc_ba98_7654_3210n;
    const token = new Uint8Array(16).fill(3);
    assert.deepEqual(read(EventKind.Claim), { kind: 'claim', time: 6, token, identity, endpoint: '#7', conversation });
  });

  it('say who is asked for', () => {
    const identity = 0xfedc_ba98_7654_3210n;
    assert.deepEqual(read(EventKind.Stranger), { kind: 'stranger', time: 6, identity, endpoint: '#7', conversation });
  });

  it('are none where bytes are missing', () => {
    assert.equal(read(EventKind.Claim, PeerEventLayout.size - 1), undefined);
  });
});
