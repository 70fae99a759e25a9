/** Slots, domains, tag keys, the clock and the settings between nodes, in the real tables. */
import assert from 'node:assert/strict';
import type { Between } from '../../../src/datapath/port.ts';
import { parseAddress } from '../../../src/model/address.ts';
import { Desk, service } from './peers-desk.ts';

const BETWEEN: Between = { tags: false, holdMark: 0x1000, holdRate: 7, holdOpen: false, refusal: 'reset' };

const bytes = (address: string): Uint8Array => parseAddress(address) ?? assert.fail(address);

describe('what the kernel is told between nodes', () => {
  let desk: Desk;

  beforeEach(() => {
    desk = new Desk();
  });

  afterEach(() => desk.close());

  const settings = () => desk.table('settings', (open) => open.get(0)) ?? assert.fail();
  const found = () => desk.table('identities', (open) => new Map(open.entries()));

  it('every identity with a slot is found, and no other, also after a restart and a mishap', () => {
    const first = desk.plan(['a', 'b', 'c']);
    assert.deepEqual(found(), new Map(first));
    const coming = desk.datapath.assignSlots([service('d')]);
    assert.equal(found().get(service('d').id), coming.get(service('d').id), 'before anything refers to it');
    const second = desk.plan(['b', 'c', 'd']);
    assert.deepEqual(found(), new Map(second));
    const fourth = second.get(service('d').id) ?? 0;
    assert.ok(![...first.values()].includes(fourth), 'nobody is given a slot that was just given up');
    assert.equal(desk.plan(['a', 'b', 'c', 'd']).get(service('a').id), first.get(service('a').id), 'but its owner');
    desk.restart(() =>
      desk.table('identities', (open) => {
        open.delete(service('a').id);
        open.set(0xdeadn, 17);
        open.set(service('b').id, 999);
      }),
    );
    assert.deepEqual(found(), new Map([...first, [service('d').id, fourth]]));
  });

  it('a mark for its answers, which stays, and never has the bit that says "hold"', () => {
    desk.datapath.setBetween(BETWEEN);
    const { answerMark, holdMark, holdRate, refusal, holdOpen } = settings();
    assert.deepEqual([holdMark, holdRate, refusal, holdOpen], [0x1000, 7, 1, 0]);
    assert.ok(answerMark !== 0 && (answerMark & holdMark) === 0);
    desk.restart();
    assert.equal(settings().answerMark, answerMark, 'answers under way are still known');
    const bit = (answerMark & -answerMark) >>> 0;
    desk.datapath.setBetween({ ...BETWEEN, holdMark: bit, holdOpen: true, refusal: 'icmp' });
    const changed = settings();
    assert.deepEqual([changed.holdMark, changed.holdOpen, changed.refusal], [bit, 1, 2]);
    assert.ok(changed.answerMark !== 0 && (changed.answerMark & bit) === 0);
    assert.throws(() => desk.datapath.setBetween({ ...BETWEEN, holdMark: 3 }), /not one bit/);
    assert.equal(settings().holdMark, bit, 'what is wrong changes nothing');
  });

  it('domains, by the longest prefix, and no IPv4 address in an IPv6 one', () => {
    const flags = (address: string) =>
      desk.table('domains', (open) => open.get({ prefix: 128, network: { bytes: bytes(address) } })?.flags);
    desk.datapath.peers.setDomains([
      { cidr: '10.0.0.0/8', hold: false },
      { cidr: '10.2.0.0/16', hold: true },
      { cidr: '203.0.113.10/32', hold: true },
    ]);
    assert.deepEqual(['10.1.0.1', '10.2.0.1', '203.0.113.10', '203.0.113.11'].map(flags), [1, 3, 3, undefined]);
    const revision = desk.datapath.revision;
    desk.datapath.peers.setDomains([{ cidr: '::/0', hold: true }]);
    assert.deepEqual(['2001:db8::1', '::ffff:10.2.0.1', '10.2.0.1'].map(flags), [3, 0, 0]);
    assert.ok(desk.datapath.revision > revision);
    desk.restart();
    const again = desk.datapath.revision;
    desk.datapath.peers.setDomains([{ cidr: '::/0', hold: true }]);
    assert.equal(desk.datapath.revision, again, 'nothing is new');
    desk.datapath.peers.setDomains([]);
    assert.equal(desk.rows('domains'), 0);
    assert.throws(() => desk.datapath.peers.setDomains([{ cidr: '10.0.0.1/8', hold: false }]), /host bits/);
  });

  it('the key that signs, and every key that is known', () => {
    const key = (epoch: number) => ({ epoch, key: Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex') });
    const valid = () => desk.table('tag_keys', (open) => [...open.entries()].filter(([, { valid }]) => valid === 1));
    assert.equal(settings().tagWindow, 0);
    desk.datapath.peers.setTagKeys({ keys: [key(1), key(2)], signing: 2, window: 30 });
    assert.deepEqual([settings().tagWindow, settings().tagEpoch], [30, 2]);
    assert.deepEqual(
      valid().map(([index, { epoch }]) => [index, epoch]),
      [
        [1, 1],
        [2, 2],
      ],
    );
    assert.deepEqual(valid()[0]?.[1].halves, [0x0706050403020100n, 0x0f0e0d0c0b0a0908n]);
    desk.datapath.peers.setTagKeys({ keys: [key(2), key(5)], window: 30 });
    assert.deepEqual(
      valid().map(([index, { epoch }]) => [index, epoch]),
      [
        [1, 5],
        [2, 2],
      ],
    );
    assert.ok(![2, 5].includes(settings().tagEpoch), 'nothing signs');
    assert.throws(() => desk.datapath.peers.setTagKeys({ keys: [key(1), key(5)], window: 30 }), /modulo 4/);
    assert.equal(valid().length, 2, 'what is wrong changes nothing');
    desk.datapath.peers.setTagKeys({ keys: [], window: 30 });
    assert.deepEqual([settings().tagWindow, valid().length], [0, 0]);
  });

  it('the time', () => {
    const ns = (milliseconds: number): bigint => BigInt(milliseconds) * 1_000_000n;
    // Readings within two milliseconds are one, and each is half of one off.
    const jitter = 2_500_000n;
    const [monotonic, wall] = [process.hrtime.bigint(), ns(Date.now())];
    desk.datapath.peers.setClock();
    const [laterWall, laterMonotonic] = [ns(Date.now() + 1), process.hrtime.bigint()];
    const { clockOffset } = settings();
    assert.ok(wall - laterMonotonic <= clockOffset + jitter, 'not earlier than it was');
    assert.ok(clockOffset <= laterWall - monotonic + jitter, 'nor later');
  });
});
