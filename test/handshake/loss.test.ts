import assert from 'node:assert/strict';
import { DATABASE, twoNodes, udp, WEB } from './domain.ts';

const deny = (rule: string) => () => ({ allowed: false, rule });

describe('many handshakes of one pair', () => {
  const many = (count: number) => {
    const world = twoNodes();
    for (let port = 1; port <= count; port++) world.one.hold(udp('10.1.0.2', port, '10.2.0.3', port));
    return world;
  };

  it('at one time all end well, and one stays to be renewed', () => {
    const { network, one, two } = many(50);
    network.settle();
    assert.equal(one.released.length, 50);
    assert.deepEqual([one.entryTexts().length, two.entryTexts().length], [2, 2]);
    assert.deepEqual([one.engine.verified().length, two.engine.verified().length], [1, 1]);
    assert.equal(one.engine.verified()[0]?.id, two.engine.verified()[0]?.id);
    assert.deepEqual([...two.engine.statistics().ignored], []);
  });

  it('of which the source refuses one leave the others verified', () => {
    const { network, one, two } = many(0);
    one.policy = ({ port, peer }) => ({ allowed: peer === 0n || port !== 2, rule: '' });
    for (const port of [1, 2]) {
      one.hold(udp('10.1.0.2', port, '10.2.0.3', port));
      network.settle();
    }
    assert.equal(one.released.length, 1);
    assert.deepEqual([one.entryTexts().length, two.entryTexts().length], [2, 2]);
  });

  it('of which the last is refused after the token leave the others verified at both ends', () => {
    const { network, one, two, clock } = many(1);
    network.settle();
    one.hold(udp('10.1.0.2', 2, '10.2.0.3', 2));
    while (network.letters.length > 0) network.deliver();
    network.arrive(network.packets.shift()!);
    one.policy = ({ port }) => ({ allowed: port !== 2, rule: '' });
    network.settle();
    clock.advance(10_000);
    network.settle();
    assert.equal(one.released.length, 1);
    assert.deepEqual([one.entryTexts().length, two.entryTexts().length], [2, 2]);
  });

  it('in both directions do not take each other away', () => {
    const { network, one, two } = many(1);
    two.hold(udp('10.2.0.3', 9, '10.1.0.2', 9));
    network.settle();
    const [opened] = two.engine.verified().filter(({ end }) => end === 'source');
    assert.equal(two.engine.revoke({ id: opened!.id }), 1);
    network.settle();
    assert.deepEqual([one.entryTexts().length, two.entryTexts().length], [2, 2]);
    assert.equal(one.engine.revoke({}), 1);
    network.settle();
    assert.deepEqual([one.entryTexts().length, two.entryTexts().length], [0, 0]);
  });
});

describe('time and loss', () => {
  it('the token is sent again after 50, 100, 200 ms and so on until it has arrived', () => {
    const { network, clock, one, two, conversation } = twoNodes();
    one.hold(conversation);
    while (network.letters.length > 0) network.deliver();
    const sent: number[] = [];
    for (let ms = 0; ms < 1_000; ms++) {
      while (network.packets.length > 0) {
        network.packets.shift();
        sent.push(ms);
      }
      clock.advance(1);
    }
    assert.deepEqual(sent, [0, 50, 150, 350, 750]);
    // The last one gets through.
    const { flow, token } = one.tokens.at(-1)!;
    network.carry(flow.conversation, token);
    network.settle();
    assert.equal(one.released.length, 1);
    const count = one.tokens.length;
    clock.advance(10_000);
    assert.equal(one.tokens.length, count);
    assert.equal(two.results().at(-1), 'destination verified confirm');
  });

  const steps: readonly [string, number, string[], string[]][] = [
    ['request', 0, ['source timeout request timeout'], []],
    ['accept', 1, ['source timeout request timeout'], ['destination timeout token timeout']],
    ['token', 2, ['source timeout token timeout'], ['destination timeout token timeout']],
    ['arrived', 3, ['source timeout token timeout'], ['destination timeout confirm timeout']],
    [
      'confirm',
      4,
      ['source verified confirm', 'source revoked confirm timeout'],
      ['destination timeout confirm timeout'],
    ],
  ];
  for (const [lost, index, wantedOne, wantedTwo] of steps) {
    it(`${lost} lost for good: nothing is verified in the end, both say so, nothing is left`, () => {
      const { network, clock, one, two, conversation } = twoNodes();
      one.hold(conversation);
      for (let i = 0; network.letters.length > 0 || network.packets.length > 0; i++) {
        if (i === index) network.letters.splice(0);
        if (i === index) network.packets.splice(0);
        if (network.letters.length > 0) network.deliver();
        else if (network.packets.length > 0) network.arrive(network.packets.shift()!);
      }
      for (let i = 0; i < 130; i++) {
        clock.advance(100);
        if (lost === 'token') network.packets.splice(0);
        network.settle();
      }
      assert.deepEqual(one.entryTexts(), []);
      assert.deepEqual(two.entryTexts(), []);
      assert.deepEqual(one.results(), wantedOne);
      assert.deepEqual(two.results(), wantedTwo);
      clock.advance(400_000);
      network.settle();
      assert.ok(one.engine.empty && two.engine.empty);
      assert.equal(one.held.size + two.claims.size, 0);
    });
  }

  it('waits for a connection until the deadline and asks when there is one', () => {
    const { network, clock, one, two, conversation } = twoNodes();
    network.disconnect('node1', 'node2');
    one.hold(conversation);
    clock.advance(2_900);
    assert.deepEqual(one.dropped, []);
    network.connect('node1', 'node2');
    network.settle();
    assert.equal(one.released.length, 1);
    assert.equal(two.results().length, 1);
    assert.deepEqual(one.durations, ['source verified 2900']);
  });

  it('an agent that cannot be reached: what is held is dropped, a SYN with a tag goes on', () => {
    for (const tagged of [false, true]) {
      const { network, clock, one, conversation } = twoNodes();
      network.disconnect('node1', 'node2');
      const flow = one.hold({ ...conversation, protocol: 6 }, { tagged });
      clock.advance(3_000);
      assert.deepEqual(one.results(), ['source unreachable connect unreachable']);
      assert.deepEqual(one.released, tagged ? [flow] : []);
      assert.deepEqual(one.dropped, tagged ? [] : [{ flow, reason: 'unreachable' }]);
      assert.ok(one.engine.empty);
    }
  });

  it('an agent that cannot be reached: who may open to anybody goes as to the world, and asks again soon', () => {
    const { network, clock, one, conversation } = twoNodes();
    one.free.add(WEB);
    network.disconnect('node1', 'node2');
    const flow = one.hold(conversation);
    clock.advance(2_999);
    assert.deepEqual(one.released, []);
    clock.advance(1);
    assert.deepEqual(one.released, [flow]);
    assert.deepEqual(one.results(), ['source world connect unreachable']);
    assert.deepEqual(one.entryTexts('world'), ['web(17) 10.2.0.3:53>4000 = 0']);
    clock.advance(5_000);
    assert.deepEqual(one.entryTexts('world'), []);
  });

  it('an agent that has been away for long is not waited for, by who may open to anybody and by nobody else', () => {
    for (const [free, tagged] of [
      [true, false],
      [false, false],
      [true, true],
    ] as const) {
      const { network, one, conversation } = twoNodes();
      if (free) one.free.add(WEB);
      network.disconnect('node1', 'node2');
      one.absent.add('node2');
      const flow = one.hold({ ...conversation, protocol: tagged ? 6 : 17 }, { tagged });
      // The answer to a SYN with a tag tells who is there: nothing else may be said of it.
      assert.deepEqual(one.released, free && !tagged ? [flow] : []);
      assert.deepEqual(one.entryTexts('world').length, free && !tagged ? 1 : 0);
    }
  });

  it('who may open to anybody is refused all the same by who can be asked, and by whose answer is late', () => {
    for (const silent of [false, true]) {
      const { network, clock, one, two, conversation } = twoNodes();
      one.free.add(WEB);
      two.policy = deny('');
      one.hold(conversation);
      if (silent) network.letters.splice(0);
      network.settle();
      clock.advance(3_000);
      assert.deepEqual(one.released, []);
      assert.deepEqual(one.entryTexts('world'), []);
    }
  });

  it('a SYN with a tag that a policy refuses does not go on', () => {
    const { network, one, two, conversation } = twoNodes();
    two.policy = deny('');
    one.hold({ ...conversation, protocol: 6 }, { tagged: true });
    network.settle();
    assert.deepEqual(one.released, []);
  });

  it('goes on where it was after the connection broke, at each step', () => {
    for (let broken = 0; broken < 5; broken++) {
      const { network, clock, one, two, conversation } = twoNodes();
      one.hold(conversation);
      for (let i = 0; network.letters.length > 0 || network.packets.length > 0; i++) {
        if (i === broken) {
          network.disconnect('node1', 'node2');
          clock.advance(10);
          network.connect('node1', 'node2');
        }
        if (network.letters.length > 0) network.deliver();
        else if (network.packets.length > 0) network.arrive(network.packets.shift()!);
      }
      clock.advance(100);
      network.settle();
      assert.equal(one.released.length, 1, `step ${broken}`);
      assert.deepEqual(one.entryTexts(), ['web 10.2.0.3 = 34', 'web(17) 10.2.0.3 = 34'], `step ${broken}`);
      clock.advance(10_000);
      assert.equal(two.entryTexts().length, 2, `step ${broken}`);
    }
  });

  it('a flow the hold has let go is asked for no longer, and the claim for it is deleted', () => {
    const { network, one, two, conversation } = twoNodes();
    const flow = one.hold(conversation);
    network.deliver();
    network.deliver();
    assert.equal(two.claims.size, 1);
    one.held.delete(flow.id);
    one.engine.dropped(flow.id);
    network.packets.splice(0);
    network.settle();
    assert.equal(two.claims.size, 0);
    assert.deepEqual(one.results(), ['source timeout token dropped']);
    assert.ok(one.engine.empty && two.engine.empty);
  });

  it('waits for identities that have no slot yet, at either end', () => {
    for (const at of ['one', 'two'] as const) {
      const world = twoNodes();
      const { network, one, two, conversation } = world;
      const node = world[at];
      node.unknown.add(at === 'one' ? DATABASE : WEB);
      one.hold(conversation);
      network.settle();
      assert.deepEqual(one.released, []);
      node.unknown.clear();
      node.engine.policyChanged();
      network.settle();
      assert.equal(one.released.length, 1, at);
      assert.equal(two.entryTexts().length, 2);
    }
  });

  it('does not wait for them for ever', () => {
    for (const at of ['one', 'two'] as const) {
      const world = twoNodes();
      const { network, clock, one, two, conversation } = world;
      world[at].unknown.add(at === 'one' ? DATABASE : WEB);
      one.hold(conversation);
      network.settle();
      clock.advance(3_000);
      network.settle();
      assert.deepEqual(one.released, []);
      assert.match(world[at].results()[0] ?? '', /timeout .* undecided/);
      assert.ok(one.engine.empty && two.engine.empty);
    }
  });
});
