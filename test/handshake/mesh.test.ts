import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import type { Credentials } from '../../src/handshake/index.ts';
import { DOMAIN, identity, peer, TestAgent, until } from './agents.ts';
import { Authority } from './authority.ts';

import { agent, connected, conversation, made, pair, useAgents } from './rig.ts';

describe('agents over TLS', () => {
  useAgents();

  it('know what the other runs, and verify a flow', async () => {
    const { one, two } = await connected();
    assert.deepEqual(
      one.handshake.identities().map(({ id }) => id),
      [identity(2, 1).id],
    );
    one.hold(conversation());
    await until('released', () => one.released.length === 1);
    assert.equal(one.entries.size, 2);
    await until('confirmed', () => two.records.length === 1);
    assert.equal(two.records[0]?.handshake, one.records[0]?.handshake);
    assert.equal(two.records[0]?.source.workload, 'shop/Service/n1-1');
  });

  it('use a connection that the other has dialled, where they cannot dial themselves', async () => {
    const { one, two } = await connected();
    two.hold({
      ...conversation(),
      source: { address: '10.2.0.1', port: 1 },
      destination: { address: '10.1.0.1', port: 2 },
    });
    await until('released', () => two.released.length === 1);
    assert.deepEqual(
      [...one.handshake.agents()].map(({ state, inbound }) => [state, inbound]),
      [['connected', false]],
    );
    assert.deepEqual(
      [...two.handshake.agents()].map(({ state, inbound }) => [state, inbound]),
      [['connected', true]],
    );
  });

  it('tell what changes, and forget what is withdrawn', async () => {
    const { one, two } = await connected();
    two.identities.push(identity(2, 2));
    two.handshake.endpointsChanged();
    await until('told', () => one.handshake.identities().length === 2);
    one.hold(conversation());
    await until('released', () => one.released.length === 1);
    two.identities.shift();
    two.handshake.endpointsChanged();
    await until('withdrawn', () => one.handshake.identities().length === 1);
    await until('revoked', () => one.entries.size === 0);
  });

  it('name an identity only after it has been announced, however new it is', async () => {
    const { one, two } = await connected();
    one.identities.push(identity(1, 2));
    one.hold({ ...conversation(), source: { address: '10.1.0.2', port: 7 } });
    await until('released', () => one.released.length === 1);
    assert.equal(two.handshake.identities().length, 2);
  });

  it('are asked for strangers', async () => {
    const { one, two } = await connected();
    const late = identity(2, 2);
    two.identities.push(late);
    one.handshake.stranger(late.id);
    await until('answered', () => one.handshake.identities().some(({ id }) => id === late.id));
  });

  it('speak only for the workloads they may', async () => {
    const { one, two } = await pair({ two: { agents: [peer(1, undefined, { workloads: ['shop/Service/other*'] })] } });
    await until('announced', () => one.changes > 0 && two.changes > 0);
    assert.deepEqual(two.handshake.identities(), []);
    assert.equal(two.handshake.statistics().ignored.get('foreign'), 1);
    one.hold(conversation());
    await until('refused', () => one.records.length === 1);
    assert.equal(one.records[0]?.reason, 'not-yours');
  });

  it('with a thousand and more workloads are told in parts that take effect together', async () => {
    const { one, two } = await pair({ two: { endpoints: 5_000 } });
    const sizes: number[] = [];
    await until('announced', () => {
      sizes.push(one.handshake.identities().length);
      return one.changes > 0;
    });
    assert.deepEqual(
      [...new Set(sizes)].filter((size) => size !== 0 && size !== 5_000),
      [],
    );
    assert.equal(one.handshake.identities().length, 5_000);
    assert.equal(two.handshake.statistics().notAnnounced, 0);
  });

  it('make two thousand handshakes at once', async () => {
    const { one, two } = await connected();
    const started = performance.now();
    for (let i = 0; i < 900; i++) one.hold(conversation(10_000 + i));
    await until('the first 900', () => one.released.length === 900, 10_000);
    for (let i = 0; i < 900; i++) one.hold(conversation(20_000 + i));
    await until('the next 900', () => one.released.length === 1_800, 10_000);
    for (let i = 0; i < 200; i++) one.hold(conversation(30_000 + i));
    await until('all of them', () => one.released.length === 2_000, 10_000);
    await until('all confirmed', () => two.records.length === 2_000);
    assert.ok(performance.now() - started < 10_000);
    assert.deepEqual([one.handshake.underWay(), two.handshake.underWay()], [[], []]);
    assert.equal(two.claims.size, 0);
  });

  it('find each other again after one has died, with everything it runs now', async () => {
    const { one, two, port } = await connected();
    await two.handshake.close();
    await until('lost', () => one.state('node2') !== 'connected');
    assert.equal(one.handshake.identities().length, 1, 'its containers go on without it');
    const next = agent(2, { listen: `127.0.0.1:${port}`, agents: [peer(1, undefined)], endpoints: 3 });
    await until('found', () => one.handshake.identities().length === 3);
    one.carry = (seen, token) => next.arrive(seen, token);
    one.hold(conversation());
    await until('released', () => one.released.length === 1);
  });

  it('that start again keep what is verified, though they do not know at once what runs', async () => {
    const { one, two } = await connected();
    one.hold(conversation());
    await until('verified', () => one.released.length === 1 && two.records.length === 1);
    const stored = one.handshake.export();
    assert.equal(stored.length, 1);
    const [{ address: at } = { address: '' }] = one.handshake.agents();
    await one.handshake.close();
    const next = agent(1, { agents: [peer(2, Number(at.split(':')[1]))], unready: true });
    assert.equal(next.handshake.restore(stored), 1);
    await until('connected', () => next.state('node2') === 'connected' && two.state('node1') === 'connected');
    next.carry = (seen, token) => two.arrive(seen, token);
    next.hold(conversation(5_000));
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(two.entries.size, 2);
    assert.deepEqual(
      next.handshake.underWay().map(({ state }) => state),
      ['waiting'],
    );
    next.handshake.endpointsChanged();
    await until('released', () => next.released.length === 1);
    assert.equal(two.entries.size, 2);
    assert.ok(two.records.every(({ result }) => result === 'verified'));
  });

  it('announce what they know where nobody tells them that it is all', async () => {
    const { two } = await pair({ one: { unready: true, announcedAfter: 200 } });
    await until('announced', () => two.handshake.identities().length === 1);
  });

  it('close at once and twice, and leave nothing open', async () => {
    const { one, two } = await connected();
    await Promise.all([one.handshake.close(), one.handshake.close(), two.handshake.close()]);
    await one.handshake.close();
    const controller = new AbortController();
    const third = agent(3, { listen: '127.0.0.1:0', signal: controller.signal });
    const port = await third.port();
    controller.abort();
    await third.handshake.close();
    const [error] = (await once(connectPlain(port, '127.0.0.1'), 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
  });

  it('that cannot listen say so and dial all the same', async () => {
    const { two, port } = await pair();
    const faults: string[] = [];
    const third = agent(3, { listen: `127.0.0.1:${port}`, onFault: (error) => faults.push(error.message) });
    await third.handshake.listening;
    assert.match(faults[0] ?? '', /Cannot listen on 127\.0\.0\.1:\d+ for other agents: .*EADDRINUSE/);
    assert.ok(two);
  });
});

describe('credentials', () => {
  useAgents();

  it('that cannot be used are refused when they are read, with what is wrong', async () => {
    const other = await made.authority.issue('node3');
    const good = made.certificates[1]!;
    const rows: readonly [Credentials, RegExp][] = [
      [{ ...good, key: other.key }, /Cannot use the credentials/],
      [{ ...good, certificate: 'x' }, /Cannot use the credentials/],
      [{ ...good, authority: '' }, /Cannot find a certificate in the authority/],
      [other, /names URI:spiffe:\/\/test\.example\/agent\/node3/],
    ];
    for (const [credentials, wanted] of rows) {
      assert.throws(() => new TestAgent(1, { credentials }), { code: 'CREDENTIALS', message: wanted });
    }
  });

  it('are read again without losing a connection', async () => {
    let current = made.certificates[1]!;
    const { one, two } = await connected({ one: { credentials: () => current } });
    const before = one.handshake.statistics().closes.size;
    current = await made.authority.issue('node1');
    one.handshake.reload();
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(one.handshake.statistics().closes.size, before);
    assert.equal(two.state('node1'), 'connected');
  });

  it('that are bad do not take the place of good ones', async () => {
    let current = made.certificates[1]!;
    const { one } = await connected({ one: { credentials: () => current } });
    current = { ...current, key: 'nonsense' };
    assert.throws(() => one.handshake.reload(), { code: 'CREDENTIALS' });
    assert.equal(one.state('node2'), 'connected');
  });

  it('of an authority that is no longer accepted end the connections they opened', async () => {
    const next = await Authority.create(DOMAIN, 'CN=next authority');
    let current = made.certificates[2]!;
    const { one, two } = await connected({ two: { credentials: () => current } });
    // First both are accepted, then only the next one.
    current = { ...current, authority: `${made.authority.certificate}\n${next.certificate}` };
    two.handshake.reload();
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.equal(two.state('node1'), 'connected');
    current = { ...(await next.issue('node2')), authority: next.certificate };
    two.handshake.reload();
    await until('closed', () => two.state('node1') !== 'connected');
    assert.equal(two.handshake.statistics().closes.get('certificate'), 1);
    await until('refused', () => one.state('node2') === 'refused');
  });

  it('that end while a connection stands end it, and the next ones open another', async () => {
    let current = await made.authority.issue('node1', { to: Date.now() + 3_000 });
    const { one, two } = await connected({ one: { credentials: () => current } });
    current = made.certificates[1]!;
    one.handshake.reload();
    await until(
      'ended',
      () =>
        (one.handshake.statistics().closes.get('certificate') ?? 0) +
          (two.handshake.statistics().closes.get('certificate') ?? 0) >=
        1,
    );
    await until('again', () => one.state('node2') === 'connected' && two.state('node1') === 'connected');
    one.hold(conversation());
    await until('released', () => one.released.length === 1);
  });

  it('of the one that is dialled are looked at as closely', async () => {
    const impostor = agent(3, { listen: '127.0.0.1:0', agents: [peer(1, undefined)] });
    const one = agent(1, { agents: [peer(2, await impostor.port()), peer(3, undefined)] });
    await until('refused', () => one.state('node2') === 'refused');
    assert.match(one.troubles[0] ?? '', /node2: The agent of node3, wanted node2/);
    assert.equal(one.handshake.identities().length, 0);
  });
});
