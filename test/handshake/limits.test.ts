import assert from 'node:assert/strict';
import type { Message } from '../../src/handshake/messages.ts';
import { DATABASE, type Node, twoNodes, udp, WEB } from './domain.ts';

describe('messages that should not come', () => {
  const verified = () => {
    const world = twoNodes();
    world.one.hold(world.conversation);
    world.network.settle();
    const id = BigInt(`0x${world.one.records[0]!.handshake}`);
    return { ...world, id };
  };

  it('duplicates and strangers change nothing and are counted', () => {
    const { network, one, two, id, conversation } = verified();
    const before = [one.entryTexts(), two.entryTexts()];
    const token = new Uint8Array(16);
    const late: readonly [Node, string, Message][] = [
      [one, 'node2', { kind: 'accept', id, destination: DATABASE, token, lifetime: 0, direct: false }],
      [one, 'node2', { kind: 'arrived', id, destination: DATABASE, direct: true, lifetime: 1_000 }],
      [one, 'node2', { kind: 'renewed', id, lifetime: 86_400_000 }],
      [one, 'node3', { kind: 'revoke', id, reason: 'gone', yours: true }],
      [one, 'node2', { kind: 'revoke', id, reason: 'gone', yours: false }],
      [two, 'node1', { kind: 'confirm', id }],
      [two, 'node1', { kind: 'revoke', id, reason: 'gone', yours: true }],
      [two, 'node1', { kind: 'request', id, source: WEB, conversation, shared: false, direct: false }],
      [two, 'node1', { kind: 'request', id, source: 0x99n, conversation, shared: false, direct: false }],
    ];
    for (const [node, from, message] of late) node.engine.message(from, message);
    network.settle();
    assert.deepEqual([one.entryTexts(), two.entryTexts()], before);
    const [first, second] = [one.engine.statistics().ignored, two.engine.statistics().ignored];
    assert.deepEqual(Object.fromEntries(first), { duplicate: 2, unsolicited: 1, unknown: 2 });
    assert.deepEqual(Object.fromEntries(second), { duplicate: 2, unknown: 1, reuse: 1 });
  });

  it('Arrived before a token was sent verifies nothing', () => {
    const { network, one, conversation } = twoNodes();
    one.hold(conversation);
    const request = network.letters.shift()!.message as { id: bigint };
    one.engine.message('node2', {
      kind: 'arrived',
      id: request.id,
      destination: DATABASE,
      direct: true,
      lifetime: 60_000,
    });
    assert.deepEqual(one.released, []);
    assert.deepEqual(one.entryTexts(), []);
    assert.equal(one.engine.statistics().ignored.get('unsolicited'), 1);
  });

  it('another agent cannot answer for the one that was asked', () => {
    const { network, one, conversation } = twoNodes();
    one.hold(conversation);
    const { id } = network.letters.shift()!.message as { id: bigint };
    network.lies.set('node3', new Set([DATABASE]));
    const token = new Uint8Array(16);
    one.engine.message('node3', { kind: 'accept', id, destination: DATABASE, token, lifetime: 0, direct: false });
    assert.deepEqual(one.tokens, []);
    assert.equal(one.engine.statistics().ignored.get('foreign'), 1);
  });

  it('a token of another identity, or one that is guessed, verifies nobody', () => {
    const { network, one, two, conversation } = twoNodes();
    one.hold(conversation);
    network.deliver();
    network.deliver();
    const { token } = network.packets.shift()!;
    const arrival = { endpoint: 'database', conversation, identity: WEB, token };
    two.engine.tokenArrived({ ...arrival, token: new Uint8Array(16) });
    two.engine.tokenArrived({ ...arrival, identity: 0x99n });
    assert.deepEqual(two.entryTexts(), []);
    assert.equal(two.engine.statistics().ignored.get('token'), 2);
  });

  it('a Confirm of what was revoked meanwhile is answered, so that the source forgets', () => {
    const { network, one, two, id } = verified();
    two.restart();
    one.engine.message('node2', { kind: 'ping', nonce: 1n });
    two.engine.message('node1', { kind: 'confirm', id });
    network.settle();
    assert.deepEqual(one.entryTexts(), []);
    assert.equal(one.results().at(-1), 'source revoked confirm gone');
  });
});

describe('a kernel that takes no more', () => {
  for (const at of ['one', 'two'] as const) {
    it(`ends the handshake at both ends and lets nothing go: at ${at}`, () => {
      const world = twoNodes();
      const { network, one, two, conversation } = world;
      world[at].onVerify = () => {
        throw new Error('Cannot write "verified": E2BIG');
      };
      const flow = one.hold(conversation);
      network.settle();
      assert.deepEqual(one.dropped, [{ flow, reason: 'unreachable' }]);
      assert.deepEqual([one.entryTexts(), two.entryTexts()], [[], []]);
      assert.deepEqual(world[at].faults, ['Cannot write "verified": E2BIG']);
      assert.ok(one.engine.empty && two.engine.empty);
      assert.equal(two.claims.size, 0);
    });
  }

  it('lets nothing go to the world either', () => {
    const { one, conversation } = twoNodes();
    one.onVerify = () => {
      throw new Error('full');
    };
    one.hold({ ...conversation, destination: { address: '192.0.2.9', port: 53 } });
    assert.deepEqual(one.released, []);
  });
});

describe('limits', () => {
  it('as source', () => {
    const { one } = twoNodes({ one: { limits: { asSource: 3 } } });
    for (let port = 1; port <= 5; port++) one.hold(udp('10.1.0.2', port, '10.2.0.3', 53));
    assert.deepEqual(one.results(), ['source limited connect busy', 'source limited connect busy']);
    assert.equal(one.dropped.length, 2);
    assert.equal(one.engine.statistics().limited.get('source'), 2);
  });

  for (const limits of [{ asDestination: 3 }, { perAgent: 3 }, { newPerSecond: 3 }]) {
    it(`as destination: ${Object.keys(limits)[0]}; BUSY is not a word about the policy`, () => {
      const { network, one, two } = twoNodes({ two: { limits } });
      for (let port = 1; port <= 5; port++) one.hold(udp('10.1.0.2', port, '10.2.0.3', 53));
      while (network.letters.some(({ to }) => to === 'node2'))
        network.deliver(network.letters.findIndex(({ to }) => to === 'node2'));
      network.settle();
      assert.equal(one.released.length, 3);
      assert.equal(one.dropped.length, 2);
      assert.deepEqual(one.entryTexts('refused'), []);
      assert.equal(
        [...two.engine.statistics().limited.values()].reduce((sum, count) => sum + count),
        2,
      );
    });
  }

  it('thousands of half-done handshakes of one agent leave room for another', () => {
    const { network, clock, two, conversation } = twoNodes({ two: { limits: { newPerSecond: 100_000 } } });
    network.lies.set('node3', new Set([0x77n]));
    network.lies.set('node4', new Set([0x78n]));
    const request = { kind: 'request', conversation, shared: false, direct: false } as const;
    for (let id = 1n; id <= 3_000n; id++) two.engine.message('node3', { ...request, id, source: 0x77n });
    assert.equal(two.claims.size, 1_024);
    two.engine.message('node4', { ...request, id: 1n, source: 0x78n });
    assert.equal(two.claims.size, 1_025);
    clock.advance(10_000);
    assert.equal(two.claims.size, 0);
    assert.ok(two.engine.empty);
    // A flood of records would push out those of others.
    assert.ok(two.records.length <= 100 + 1_025);
  });

  it('of entries: the oldest are revoked, at both ends', () => {
    const { network, one, two } = twoNodes({ one: { limits: { entries: 10 } } });
    network.nat = (seen) => ({ ...seen, source: { ...seen.source, address: '198.51.100.7' } });
    for (let port = 1; port <= 12; port++) {
      one.hold(udp('10.1.0.2', port, '10.2.0.3', 53));
      network.settle();
    }
    assert.ok(one.entries.size <= 10);
    assert.ok(one.entryTexts().some((text) => text.includes('53>12')));
    assert.equal(two.entries.size, one.entries.size);
  });

  it('of entries: an agent that floods pushes out its own, not what others have verified', () => {
    const { network, two, conversation, one } = twoNodes({ two: { limits: { entries: 20 } } });
    one.hold(conversation);
    network.settle();
    const before = two.entryTexts();
    assert.equal(before.length, 2);
    network.routes.set('10.3.', 'node3');
    const three = network.node({ name: 'node3' });
    three.run('flood', 0x77n, '10.3.0.1');
    network.nat = (seen) => ({ ...seen, source: { ...seen.source, address: '10.3.0.9' } });
    for (let port = 1; port <= 100; port++) {
      three.hold(udp('10.3.0.1', port, '10.2.0.3', 53));
      network.settle();
    }
    assert.ok(two.engine.statistics().limited.get('entries')! > 0);
    assert.deepEqual(
      two.entryTexts().filter((text) => text.includes('10.1.0.2')),
      before,
    );
    assert.ok(two.entryTexts().some((text) => text.includes('53 = 119') || text.includes(':100>53')));
  });

  it('of what is of the world: a container fills its own share, and what is verified finds room', () => {
    const outcomes = { all: 30, perEndpoint: 10 };
    const { network, clock, one, conversation } = twoNodes({ one: { limits: { outcomes } } });
    const other = one.run('other', 0x33n, '10.1.0.3');
    const nobody = (from: string, port: number) => one.hold(udp(from, port, '10.2.9.9', 53));
    for (let port = 1; port <= 25; port++) nobody('10.1.0.2', port);
    network.settle();
    assert.equal(one.entryTexts('world').length, 10);
    assert.equal(one.released.length, 10, 'what has no entry would be held again');
    assert.equal(one.results().filter((result) => result === 'source limited request not-here').length, 15);
    nobody(other.address, 1);
    one.hold(conversation);
    network.settle();
    assert.equal(one.entryTexts('world').length, 11);
    assert.equal(one.entryTexts().length, 2);
    clock.advance(61_000);
    nobody('10.1.0.2', 30);
    network.settle();
    assert.equal(one.entryTexts('world').length, 1);
  });
});
