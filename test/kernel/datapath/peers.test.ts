/** What the agent tells the kernel of peers of other nodes, over the real tables. */
import assert from 'node:assert/strict';
import type { VerifiedPeer } from '../../../src/datapath/peer-port.ts';
import { parseAddress } from '../../../src/model/address.ts';
import { Desk, service } from './peers-desk.ts';

const REMOTE = '10.2.0.7';
const CONVERSATION = { protocol: 17, remotePort: 53, localPort: 4000 };
/** Times are whole seconds in the kernel, to the nearest. */
const WHOLE_SECONDS = 505;
const TOKEN = Buffer.alloc(16, 7);

const bytes = (address: string): Uint8Array => parseAddress(address) ?? assert.fail(address);

describe('peers of other nodes', () => {
  let desk: Desk;

  beforeEach(() => {
    desk = new Desk();
  });

  afterEach(() => desk.close());

  const peer = (change: Partial<VerifiedPeer> = {}): VerifiedPeer => ({
    endpoint: 'web',
    remote: REMOTE,
    identity: 0x1234n,
    kind: 'verified',
    expiresAt: Date.now() + 300_000,
    usedAt: 0,
    ...change,
  });

  function assertVerified(wanted: readonly VerifiedPeer[], tolerance = 3000): void {
    const found = desk.datapath.peers.verified();
    const timeless = (peers: readonly VerifiedPeer[]) =>
      peers.map((one) =>
        JSON.stringify({ ...one, expiresAt: 0, identity: String(one.identity), local: String(one.local) }),
      );
    assert.deepEqual(timeless(found).sort(), timeless(wanted).sort());
    for (const one of found) {
      const meant = wanted.some(({ expiresAt }) => Math.abs(expiresAt - one.expiresAt) <= tolerance);
      assert.ok(meant, `${one.expiresAt} is none of ${wanted.map(({ expiresAt }) => expiresAt)}`);
    }
  }

  it('come back from the kernel as they were written', async () => {
    await desk.settle(['web', 'api']);
    const peers = [
      peer(),
      peer({ endpoint: 'api', conversation: CONVERSATION }),
      peer({ local: service('web').id, conversation: CONVERSATION, kind: 'refused', expiresAt: Date.now() + 5000 }),
      peer({ remote: '2001:db8::7', kind: 'world', identity: 0n }),
      peer({ remote: '2001:db8::7', identity: 0xffff_ffff_ffff_ffffn, local: service('api').id }),
    ];
    desk.datapath.peers.verify(peers);
    assertVerified(peers, WHOLE_SECONDS);
  });

  it('are known to the next agent once it knows the endpoints', async () => {
    await desk.settle(['web']);
    const written = peer({ local: service('web').id });
    desk.datapath.peers.verify([written]);
    const [before] = desk.datapath.peers.verified();
    desk.restart();
    assert.deepEqual(desk.datapath.peers.verified(), [], 'numbers have no names yet');
    await desk.settle(['web']);
    const [after] = desk.datapath.peers.verified();
    assert.ok(before !== undefined && after !== undefined);
    assert.ok(Math.abs(before.expiresAt - after.expiresAt) < 5);
    assertVerified([written], WHOLE_SECONDS);
  });

  it('keep what the kernel says of their use when they are extended, not when they become another', async () => {
    await desk.settle(['web']);
    desk.datapath.peers.verify([peer({ expiresAt: Date.now() + 10_000 })]);
    const used = Number(process.hrtime.bigint() / 1_000_000_000n);
    desk.table('verified', (open) => {
      for (const [key, value] of [...open.entries()]) open.set(key, { ...value, used });
    });
    const revision = desk.datapath.revision;
    desk.datapath.peers.verify([peer({ usedAt: 5 })]);
    const [extended] = desk.datapath.peers.verified();
    assert.ok(Math.abs((extended?.usedAt ?? 0) - Date.now()) < 2000, String(extended?.usedAt));
    const others = [peer({ remote: '10.2.0.8' }), peer({ kind: 'world' }), peer({ endpoint: 'nobody' })];
    assert.deepEqual(desk.datapath.peers.usedAt([peer(), ...others]), [extended?.usedAt, 0, 0, 0]);
    assert.ok((extended?.expiresAt ?? 0) > Date.now() + 290_000);
    assert.equal(desk.datapath.revision, revision, 'nothing that was decided has changed');
    desk.datapath.peers.verify([peer({ identity: 0x99n })]);
    assert.equal(desk.datapath.peers.verified()[0]?.usedAt, 0);
    assert.ok(desk.datapath.revision > revision, 'what was decided by the former one is decided anew');
  });

  it('who were refused are let in without a word to others', async () => {
    await desk.settle(['web']);
    desk.datapath.peers.verify([peer({ kind: 'refused' })]);
    const revision = desk.datapath.revision;
    desk.datapath.peers.verify([peer()]);
    assert.equal(desk.datapath.revision, revision);
    desk.datapath.peers.verify([peer({ kind: 'refused' })]);
    assert.ok(desk.datapath.revision > revision);
  });

  it('end at once when they are forgotten, and only they', async () => {
    await desk.settle(['web']);
    const kept = peer({ conversation: CONVERSATION });
    desk.datapath.peers.verify([peer(), kept]);
    const revision = desk.datapath.revision;
    desk.datapath.peers.forget([peer({ remote: '10.2.0.8' }), peer({ endpoint: 'nobody' })]);
    assert.equal(desk.datapath.revision, revision, 'there was none');
    desk.datapath.peers.forget([peer()]);
    assert.ok(desk.datapath.revision > revision);
    assertVerified([kept]);
  });

  it('expire, and leave the table when it is swept', async () => {
    await desk.settle(['web']);
    const past = Date.now() - 3000;
    desk.datapath.peers.verify([
      peer(),
      peer({ remote: '10.2.0.8', expiresAt: past }),
      peer({ remote: '10.2.0.9', expiresAt: 1 }),
    ]);
    const claim = { token: TOKEN, identity: 1n, protocol: 17 };
    desk.datapath.peers.claim([
      { ...claim, expiresAt: past },
      { ...claim, token: Buffer.alloc(16, 8), expiresAt: Date.now() + 10_000 },
    ]);
    assertVerified([peer()]);
    assert.equal(desk.rows('verified'), 3);
    assert.equal(desk.datapath.peers.sweep(), 3);
    assert.deepEqual([desk.rows('verified'), desk.rows('claims')], [1, 1]);
    assert.equal(desk.datapath.peers.sweep(), 0);
  });

  it('of an endpoint that ends end with it, and so do its claims, before its number is free', async () => {
    await desk.settle(['web', 'api']);
    const anybody = { token: Buffer.alloc(16, 1), identity: 1n, protocol: 17, expiresAt: Date.now() + 10_000 };
    desk.datapath.peers.verify([peer(), peer({ conversation: CONVERSATION }), peer({ endpoint: 'api' })]);
    desk.datapath.peers.claim([anybody, { ...anybody, token: TOKEN, endpoint: 'web' }]);
    const number = desk.datapath.endpointStatus().find(({ id }) => id === 'web')?.number;
    await desk.settle(['api'], ['web', 'api'], true);
    assert.equal(desk.rows('verified'), 3, 'nobody knows yet whether it is gone');
    await desk.settle(['api'], ['web', 'api']);
    assert.deepEqual([desk.rows('verified'), desk.rows('claims')], [1, 1]);
    assertVerified([peer({ endpoint: 'api' })]);
    await desk.settle(['api', 'web']);
    assert.notEqual(desk.datapath.endpointStatus().find(({ id }) => id === 'web')?.number, number);
    assertVerified([peer({ endpoint: 'api' })]);
  });

  it('of an endpoint that ended while there was no agent end in the first round of the next', async () => {
    await desk.settle(['web', 'api']);
    const kept = peer({ endpoint: 'api' });
    desk.datapath.peers.verify([peer(), kept]);
    desk.restart();
    await desk.settle(['api', 'db']);
    assert.equal(desk.rows('verified'), 1);
    assertVerified([kept]);
  });

  it('are not inherited by the next endpoint where an agent died while it forgot one', async () => {
    await desk.settle(['web']);
    desk.datapath.peers.verify([peer()]);
    desk.table('containers', (open) => open.deleteAll([...open.keys()]));
    desk.restart();
    await desk.settle(['db'], ['db'], true);
    assert.deepEqual(desk.datapath.peers.verified(), []);
    await desk.settle(['db']);
    assert.equal(desk.rows('verified'), 0);
  });

  it('of a container whose slot is given up end with it', async () => {
    await desk.settle(['web', 'api']);
    desk.datapath.peers.verify([peer({ local: service('api').id }), peer({ local: service('web').id })]);
    await desk.settle(['web'], ['web', 'api']);
    assert.equal(desk.rows('verified'), 1);
    assertVerified([peer({ local: service('web').id })]);
  });

  it('are not written for endpoints, senders or places that are none', async () => {
    await desk.settle(['web']);
    desk.datapath.peers.verify([
      peer({ endpoint: 'nobody' }),
      peer({ local: 0x77n }),
      peer({ remote: 'not an address' }),
      // Protocol 0 with no ports is how the kernel writes "everything".
      peer({ conversation: { protocol: 0, remotePort: 0, localPort: 0 } }),
    ]);
    desk.datapath.peers.claim([
      { token: TOKEN, identity: 1n, endpoint: 'nobody', protocol: 17, expiresAt: Date.now() + 9000 },
    ]);
    assert.deepEqual([desk.rows('verified'), desk.rows('claims')], [0, 0]);
    assert.throws(() => desk.datapath.peers.unclaim([Buffer.alloc(15)]), TypeError);
  });

  it('make room for others when they have expired, and are refused when there is none', async () => {
    await desk.settle(['web']);
    const many = (prefix: string, count: number, expiresAt: number) =>
      Array.from({ length: count }, (_, i) => peer({ remote: `10.${prefix}.0.${i}`, expiresAt }));
    desk.datapath.peers.verify(many('3', 128, Date.now() - 5000));
    desk.datapath.peers.verify(many('4', 100, Date.now() + 60_000));
    assert.equal(desk.datapath.peers.verified().length, 100);
    assert.throws(() => desk.datapath.peers.verify(many('5', 100, Date.now() + 60_000)), { code: 'MAP_FULL' });
    assert.equal(desk.datapath.peers.verified().filter(({ remote }) => remote.startsWith('10.4.')).length, 100);
  });

  it('are claimed by tokens that are written and taken back', async () => {
    await desk.settle(['web']);
    const expiresAt = Date.now() + 10_000;
    desk.datapath.peers.claim([{ token: TOKEN, identity: 0xabcn, endpoint: 'web', protocol: 17, expiresAt }]);
    const claim = desk.table('claims', (open) => open.get({ token: TOKEN }));
    const left = Number((claim?.expires ?? 0n) - process.hrtime.bigint()) / 1e6;
    assert.ok(left > 9000 && left <= 10_005, `${left} ms left`);
    const number = desk.datapath.endpointStatus()[0]?.number;
    assert.deepEqual(
      { ...claim, expires: 0n },
      { identity: 0xabcn, expires: 0n, endpoint: number, protocol: 17, used: 0 },
    );
    desk.datapath.peers.unclaim([TOKEN, Buffer.alloc(16, 9)]);
    assert.equal(desk.rows('claims'), 0);
  });

  it('are told apart behind one address by who last sent from there', async () => {
    await desk.settle(['web']);
    const key = { address: { bytes: bytes('10.1.0.9') }, port: 4000, protocol: 17 };
    desk.table('senders', (open) => open.set(key, { endpoint: 1, slot: desk.slot('web'), seen: 0n }));
    const party = { endpoint: 'web', identity: service('web').id };
    assert.deepEqual(desk.datapath.peers.senderOf({ address: '10.1.0.9', port: 4000 }, 17), party);
    assert.equal(desk.datapath.peers.senderOf({ address: '10.1.0.9', port: 4000 }, 6), undefined);
    assert.equal(desk.datapath.peers.senderOf({ address: 'nowhere', port: 4000 }, 17), undefined);
  });
});
