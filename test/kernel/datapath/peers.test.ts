/** What the agent tells the kernel of peers of other nodes, over the real tables. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { Compiler } from '../../../src/compile/compiler.ts';
import { diff } from '../../../src/compile/diff.ts';
import { openDatapath } from '../../../src/datapath/index.ts';
import { openTable, type TableName } from '../../../src/datapath/maps.ts';
import type { VerifiedPeer } from '../../../src/datapath/peer-port.ts';
import type { Datapath, DatapathOptions } from '../../../src/datapath/port.ts';
import { mountBpffs } from '../../../src/libbpf/index.ts';
import { parseAddress } from '../../../src/model/address.ts';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import { deriveIdentity, type Identity } from '../../../src/model/identity.ts';
import { OBJECTS, SIZES } from './laboratory.ts';

const REMOTE = '10.2.0.7';
const CONVERSATION = { protocol: 17, remotePort: 53, localPort: 4000 };
/** Times are whole seconds in the kernel, to the nearest. */
const WHOLE_SECONDS = 505;
const TOKEN = Buffer.alloc(16, 7);

function service(name: string): Identity {
  const workload = { namespace: 'shop', kind: 'Service', name };
  return deriveIdentity('test', { workload, container: name, labels: {} });
}

/** Behind no interface: nothing is attached anywhere. Its cgroup, which there is not, is how an agent knows it again. */
function endpoint(id: string): Endpoint {
  const identity = service(id);
  const cgroup = { id: 0x5a11_0000n + BigInt(id.charCodeAt(0)), path: id, level: 1 };
  const container = { id, name: id, runtime: 'cgroup' as const, identity, cgroup, pid: 1, startedAt: 0 };
  return {
    id,
    mode: 'interface',
    identity,
    containers: [container],
    netns: 1,
    interfaces: [],
    addresses: [],
    ports: [],
  };
}

const bytes = (address: string): Uint8Array => parseAddress(address) ?? assert.fail(address);

describe('peers of other nodes', () => {
  let pins: string;
  let options: DatapathOptions;
  let datapath: Datapath;

  beforeEach(() => {
    mountBpffs('/sys/fs/bpf');
    pins = mkdtempSync('/sys/fs/bpf/sallyport-test-');
    const sizes = { ...SIZES, verified: 128 };
    options = { objects: OBJECTS, pins, cgroupRoot: '/', sizes, events: { ratePerSecond: 1, burst: 1 } };
    datapath = openDatapath(options);
  });

  afterEach(() => {
    datapath.remove();
    rmSync(pins, { recursive: true, force: true });
  });

  /** The agent's round: identities, tables, endpoints, tables without those that are gone. */
  async function settle(names: readonly string[], known: readonly string[] = names, keepOthers = false): Promise<void> {
    const endpoints = names.map(endpoint);
    for (const list of [[...new Set([...names, ...known])], names]) {
      const identities = list.map(service);
      const slots = datapath.assignSlots(identities);
      const bySlot = new Map(identities.map((identity) => [slots.get(identity.id) ?? 0, { ...identity, ports: [] }]));
      datapath.applyPlan(diff(datapath.currentTables(), new Compiler().compile({ policies: [], identities: bySlot })));
      await datapath.applyEndpoints(endpoints, [], { keepOthers });
    }
  }

  function restart(): void {
    datapath.close();
    datapath = openDatapath(options);
  }

  function table<N extends TableName, R>(name: N, use: (open: ReturnType<typeof openTable<N>>) => R): R {
    const open = openTable(pins, name);
    try {
      return use(open);
    } finally {
      open.close();
    }
  }

  const rows = (name: TableName): number => table(name, (open) => [...open.keys()].length);
  const slot = (name: string): number => datapath.slotOf(service(name).id) ?? assert.fail(`${name} has no slot`);

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
    const found = datapath.peers.verified();
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
    await settle(['web', 'api']);
    const peers = [
      peer(),
      peer({ endpoint: 'api', conversation: CONVERSATION }),
      peer({ local: service('web').id, conversation: CONVERSATION, kind: 'refused', expiresAt: Date.now() + 5000 }),
      peer({ remote: '2001:db8::7', kind: 'world', identity: 0n }),
      peer({ remote: '2001:db8::7', identity: 0xffff_ffff_ffff_ffffn, local: service('api').id }),
    ];
    datapath.peers.verify(peers);
    assertVerified(peers, WHOLE_SECONDS);
  });

  it('are known to the next agent once it knows the endpoints', async () => {
    await settle(['web']);
    const written = peer({ local: service('web').id });
    datapath.peers.verify([written]);
    const [before] = datapath.peers.verified();
    restart();
    assert.deepEqual(datapath.peers.verified(), [], 'numbers have no names yet');
    await settle(['web']);
    const [after] = datapath.peers.verified();
    assert.ok(before !== undefined && after !== undefined);
    assert.ok(Math.abs(before.expiresAt - after.expiresAt) < 5);
    assertVerified([written], WHOLE_SECONDS);
  });

  it('keep what the kernel says of their use when they are extended, not when they become another', async () => {
    await settle(['web']);
    datapath.peers.verify([peer({ expiresAt: Date.now() + 10_000 })]);
    const used = Number(process.hrtime.bigint() / 1_000_000_000n);
    table('verified', (open) => {
      for (const [key, value] of [...open.entries()]) open.set(key, { ...value, used });
    });
    const revision = datapath.revision;
    datapath.peers.verify([peer({ usedAt: 5 })]);
    const [extended] = datapath.peers.verified();
    assert.ok(Math.abs((extended?.usedAt ?? 0) - Date.now()) < 2000, String(extended?.usedAt));
    assert.ok((extended?.expiresAt ?? 0) > Date.now() + 290_000);
    assert.equal(datapath.revision, revision, 'nothing that was decided has changed');
    datapath.peers.verify([peer({ identity: 0x99n })]);
    assert.equal(datapath.peers.verified()[0]?.usedAt, 0);
    assert.ok(datapath.revision > revision, 'what was decided by the former one is decided anew');
  });

  it('who were refused are let in without a word to others', async () => {
    await settle(['web']);
    datapath.peers.verify([peer({ kind: 'refused' })]);
    const revision = datapath.revision;
    datapath.peers.verify([peer()]);
    assert.equal(datapath.revision, revision);
    datapath.peers.verify([peer({ kind: 'refused' })]);
    assert.ok(datapath.revision > revision);
  });

  it('end at once when they are forgotten, and only they', async () => {
    await settle(['web']);
    const kept = peer({ conversation: CONVERSATION });
    datapath.peers.verify([peer(), kept]);
    const revision = datapath.revision;
    datapath.peers.forget([peer({ remote: '10.2.0.8' }), peer({ endpoint: 'nobody' })]);
    assert.equal(datapath.revision, revision, 'there was none');
    datapath.peers.forget([peer()]);
    assert.ok(datapath.revision > revision);
    assertVerified([kept]);
  });

  it('expire, and leave the table when it is swept', async () => {
    await settle(['web']);
    const past = Date.now() - 3000;
    datapath.peers.verify([
      peer(),
      peer({ remote: '10.2.0.8', expiresAt: past }),
      peer({ remote: '10.2.0.9', expiresAt: 1 }),
    ]);
    const claim = { token: TOKEN, identity: 1n, protocol: 17 };
    datapath.peers.claim([
      { ...claim, expiresAt: past },
      { ...claim, token: Buffer.alloc(16, 8), expiresAt: Date.now() + 10_000 },
    ]);
    assertVerified([peer()]);
    assert.equal(rows('verified'), 3);
    assert.equal(datapath.peers.sweep(), 3);
    assert.deepEqual([rows('verified'), rows('claims')], [1, 1]);
    assert.equal(datapath.peers.sweep(), 0);
  });

  it('of an endpoint that ends end with it, and so do its claims, before its number is free', async () => {
    await settle(['web', 'api']);
    const anybody = { token: Buffer.alloc(16, 1), identity: 1n, protocol: 17, expiresAt: Date.now() + 10_000 };
    datapath.peers.verify([peer(), peer({ conversation: CONVERSATION }), peer({ endpoint: 'api' })]);
    datapath.peers.claim([anybody, { ...anybody, token: TOKEN, endpoint: 'web' }]);
    const number = datapath.endpointStatus().find(({ id }) => id === 'web')?.number;
    await settle(['api'], ['web', 'api'], true);
    assert.equal(rows('verified'), 3, 'nobody knows yet whether it is gone');
    await settle(['api'], ['web', 'api']);
    assert.deepEqual([rows('verified'), rows('claims')], [1, 1]);
    assertVerified([peer({ endpoint: 'api' })]);
    await settle(['api', 'web']);
    assert.notEqual(datapath.endpointStatus().find(({ id }) => id === 'web')?.number, number);
    assertVerified([peer({ endpoint: 'api' })]);
  });

  it('of an endpoint that ended while there was no agent end in the first round of the next', async () => {
    await settle(['web', 'api']);
    datapath.peers.verify([peer(), peer({ endpoint: 'api' })]);
    restart();
    await settle(['api', 'db']);
    assert.equal(rows('verified'), 1);
    assertVerified([peer({ endpoint: 'api' })]);
  });

  it('are not inherited by the next endpoint where an agent died while it forgot one', async () => {
    await settle(['web']);
    datapath.peers.verify([peer()]);
    table('containers', (open) => open.deleteAll([...open.keys()]));
    restart();
    await settle(['db'], ['db'], true);
    assert.deepEqual(datapath.peers.verified(), []);
    await settle(['db']);
    assert.equal(rows('verified'), 0);
  });

  it('of a container whose slot is given up end with it', async () => {
    await settle(['web', 'api']);
    datapath.peers.verify([peer({ local: service('api').id }), peer({ local: service('web').id })]);
    await settle(['web'], ['web', 'api']);
    assert.equal(rows('verified'), 1);
    assertVerified([peer({ local: service('web').id })]);
  });

  it('are not written for endpoints, senders or places that are none', async () => {
    await settle(['web']);
    datapath.peers.verify([
      peer({ endpoint: 'nobody' }),
      peer({ local: 0x77n }),
      peer({ remote: 'not an address' }),
      // Protocol 0 with no ports is how the kernel writes "everything".
      peer({ conversation: { protocol: 0, remotePort: 0, localPort: 0 } }),
    ]);
    datapath.peers.claim([
      { token: TOKEN, identity: 1n, endpoint: 'nobody', protocol: 17, expiresAt: Date.now() + 9000 },
    ]);
    assert.deepEqual([rows('verified'), rows('claims')], [0, 0]);
    assert.throws(() => datapath.peers.unclaim([Buffer.alloc(15)]), TypeError);
  });

  it('make room for others when they have expired, and are refused when there is none', async () => {
    await settle(['web']);
    const many = (prefix: string, count: number, expiresAt: number) =>
      Array.from({ length: count }, (_, i) => peer({ remote: `10.${prefix}.0.${i}`, expiresAt }));
    datapath.peers.verify(many('3', 128, Date.now() - 5000));
    datapath.peers.verify(many('4', 100, Date.now() + 60_000));
    assert.equal(datapath.peers.verified().length, 100);
    assert.throws(() => datapath.peers.verify(many('5', 100, Date.now() + 60_000)), { code: 'MAP_FULL' });
    assert.equal(datapath.peers.verified().filter(({ remote }) => remote.startsWith('10.4.')).length, 100);
  });

  it('are claimed by tokens that are written and taken back', async () => {
    await settle(['web']);
    const expiresAt = Date.now() + 10_000;
    datapath.peers.claim([{ token: TOKEN, identity: 0xabcn, endpoint: 'web', protocol: 17, expiresAt }]);
    const claim = table('claims', (open) => open.get({ token: TOKEN }));
    const left = Number((claim?.expires ?? 0n) - process.hrtime.bigint()) / 1e6;
    assert.ok(left > 9000 && left <= 10_005, `${left} ms left`);
    const number = datapath.endpointStatus()[0]?.number;
    assert.deepEqual(
      { ...claim, expires: 0n },
      { identity: 0xabcn, expires: 0n, endpoint: number, protocol: 17, used: 0 },
    );
    datapath.peers.unclaim([TOKEN, Buffer.alloc(16, 9)]);
    assert.equal(rows('claims'), 0);
  });

  it('are told apart behind one address by who last sent from there', async () => {
    await settle(['web']);
    const key = { address: { bytes: bytes('10.1.0.9') }, port: 4000, protocol: 17 };
    table('senders', (open) => open.set(key, { endpoint: 1, slot: slot('web'), seen: 0n }));
    assert.equal(datapath.peers.senderOf({ address: '10.1.0.9', port: 4000 }, 17), service('web').id);
    assert.equal(datapath.peers.senderOf({ address: '10.1.0.9', port: 4000 }, 6), undefined);
    assert.equal(datapath.peers.senderOf({ address: 'nowhere', port: 4000 }, 17), undefined);
  });

  it('lie in the domain by the longest prefix, and no IPv4 address in an IPv6 one', () => {
    const flags = (address: string) =>
      table('domains', (open) => open.get({ prefix: 128, network: { bytes: bytes(address) } })?.flags);
    datapath.peers.setDomains([
      { cidr: '10.0.0.0/8', hold: false },
      { cidr: '10.2.0.0/16', hold: true },
      { cidr: '203.0.113.10/32', hold: true },
    ]);
    assert.deepEqual(['10.1.0.1', '10.2.0.1', '203.0.113.10', '203.0.113.11'].map(flags), [1, 3, 3, undefined]);
    const revision = datapath.revision;
    datapath.peers.setDomains([{ cidr: '::/0', hold: true }]);
    assert.deepEqual(['2001:db8::1', '::ffff:10.2.0.1', '10.2.0.1'].map(flags), [3, 0, 0]);
    assert.ok(datapath.revision > revision);
    restart();
    const again = datapath.revision;
    datapath.peers.setDomains([{ cidr: '::/0', hold: true }]);
    assert.equal(datapath.revision, again, 'nothing is new');
    datapath.peers.setDomains([]);
    assert.equal(rows('domains'), 0);
    assert.throws(() => datapath.peers.setDomains([{ cidr: '10.0.0.1/8', hold: false }]), /host bits/);
  });

  it('are tagged under the key that signs, and known under every key', () => {
    const key = (epoch: number) => ({ epoch, key: Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex') });
    const settings = () => table('settings', (open) => open.get(0)) ?? assert.fail();
    const valid = () => table('tag_keys', (open) => [...open.entries()].filter(([, { valid }]) => valid === 1));
    assert.equal(settings().tagWindow, 0);
    datapath.peers.setTagKeys({ keys: [key(1), key(2)], signing: 2, window: 30 });
    assert.deepEqual([settings().tagWindow, settings().tagEpoch], [30, 2]);
    assert.deepEqual(
      valid().map(([index, { epoch }]) => [index, epoch]),
      [
        [1, 1],
        [2, 2],
      ],
    );
    assert.deepEqual(valid()[0]?.[1].halves, [0x0706050403020100n, 0x0f0e0d0c0b0a0908n]);
    datapath.peers.setTagKeys({ keys: [key(2), key(5)], window: 30 });
    assert.deepEqual(
      valid().map(([index, { epoch }]) => [index, epoch]),
      [
        [1, 5],
        [2, 2],
      ],
    );
    assert.ok(![2, 5].includes(settings().tagEpoch), 'nothing signs');
    assert.throws(() => datapath.peers.setTagKeys({ keys: [key(1), key(5)], window: 30 }), /modulo 4/);
    assert.equal(valid().length, 2, 'what is wrong changes nothing');
    datapath.peers.setTagKeys({ keys: [], window: 30 });
    assert.deepEqual([settings().tagWindow, valid().length], [0, 0]);
  });

  it('see the same time as the kernel', () => {
    datapath.peers.setClock();
    const { clockOffset } = table('settings', (open) => open.get(0)) ?? assert.fail();
    const wall = Number((process.hrtime.bigint() + clockOffset) / 1000n) / 1000;
    assert.ok(Math.abs(wall - Date.now()) < 5, `${wall - Date.now()} ms apart`);
  });
});

describe('slots and settings', () => {
  it('every identity with a slot is found by the kernel, and no other, also after a restart and a mishap', async () => {
    mountBpffs('/sys/fs/bpf');
    const pins = mkdtempSync('/sys/fs/bpf/sallyport-test-');
    const between = { tags: false, holdMark: 0x1000, holdRate: 7, holdOpen: false, refusal: 'reset' as const };
    const options = {
      objects: OBJECTS,
      pins,
      cgroupRoot: '/',
      sizes: SIZES,
      events: { ratePerSecond: 1, burst: 1 },
      between,
    };
    let datapath = openDatapath(options);
    const found = () => {
      const open = openTable(pins, 'identities');
      const entries = new Map(open.entries());
      open.close();
      return entries;
    };
    const settings = () => {
      const open = openTable(pins, 'settings');
      const row = open.get(0) ?? assert.fail();
      open.close();
      return row;
    };
    const plan = (names: readonly string[]) => {
      const slots = datapath.assignSlots(names.map(service));
      assert.deepEqual(
        new Map([...slots].filter(([id, slot]) => found().get(id) !== slot)),
        new Map(),
        'before anything refers to it',
      );
      const identities = new Map(
        names.map((name) => [slots.get(service(name).id) ?? 0, { ...service(name), ports: [] }]),
      );
      datapath.applyPlan(diff(datapath.currentTables(), new Compiler().compile({ policies: [], identities })));
      return slots;
    };
    try {
      const first = plan(['a', 'b', 'c']);
      assert.deepEqual(found(), new Map(first));
      const second = plan(['b', 'c', 'd']);
      assert.deepEqual(found(), new Map(second));
      assert.ok(
        ![...first.values()].includes(second.get(service('d').id) ?? 0),
        'nobody is given a slot that was just given up',
      );
      assert.equal(plan(['a', 'b', 'c', 'd']).get(service('a').id), first.get(service('a').id), 'but its owner');

      const { answerMark, holdMark, holdRate, refusal } = settings();
      assert.deepEqual([holdMark, holdRate, refusal], [0x1000, 7, 1]);
      assert.ok(answerMark !== 0 && (answerMark & holdMark) === 0);
      datapath.close();
      const open = openTable(pins, 'identities');
      open.delete(service('a').id);
      open.set(0xdeadn, 17);
      open.set(service('b').id, 999);
      open.close();
      datapath = openDatapath(options);
      assert.equal(settings().answerMark, answerMark, 'answers under way are still known');
      assert.deepEqual(found(), new Map([...first, [service('d').id, second.get(service('d').id) ?? 0]]));
      const bit = (answerMark & -answerMark) >>> 0;
      datapath.setBetween({ ...between, holdMark: bit, holdOpen: true, refusal: 'icmp' });
      const changed = settings();
      assert.deepEqual([changed.holdMark, changed.holdOpen, changed.refusal], [bit, 1, 2]);
      assert.ok(changed.answerMark !== 0 && (changed.answerMark & bit) === 0);
      assert.throws(() => datapath.setBetween({ ...between, holdMark: 3 }), /not one bit/);
    } finally {
      datapath.remove();
      rmSync(pins, { recursive: true, force: true });
    }
  });
});
