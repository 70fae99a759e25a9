import assert from 'node:assert/strict';
import type { Message } from '../../src/handshake/messages.ts';
import { DATABASE, type Node, twoNodes, udp, WEB } from './domain.ts';

const kinds = ({ said }: Node): string[] => said.map(({ message }) => message.kind);
const deny = (rule: string) => () => ({ allowed: false, rule });

describe('a handshake', () => {
  it('verifies both directions between two addresses that nobody rewrites, then lets go what is held', () => {
    const { network, one, two, conversation } = twoNodes();
    const flow = one.hold(conversation);
    assert.deepEqual(one.released, []);
    network.settle();
    assert.deepEqual(one.released, [flow]);
    assert.deepEqual(kinds(one), ['request', 'confirm']);
    assert.deepEqual(kinds(two), ['accept', 'arrived']);
    assert.deepEqual(one.entryTexts(), ['web 10.2.0.3 = 34', 'web(17) 10.2.0.3 = 34']);
    assert.deepEqual(two.entryTexts(), ['database 10.1.0.2 = 17', 'database(34) 10.1.0.2 = 17']);
    assert.deepEqual(one.results(), ['source verified confirm']);
    assert.deepEqual(two.results(), ['destination verified confirm']);
    assert.match(one.records[0]!.handshake, /^[0-9a-f]{16}$/);
    assert.equal(one.records[0]!.handshake, two.records[0]!.handshake);
    assert.deepEqual(two.records[0]!.source, { node: 'node1', identity: WEB, workload: 'test/Service/17' });
    assert.equal(two.claims.size, 0);
  });

  it('verifies only the conversation, as each end sees it, where a NAT rewrites the source', () => {
    const { network, one, two, conversation } = twoNodes();
    network.nat = (seen) => ({ ...seen, source: { address: '198.51.100.7', port: 61_000 } });
    one.hold(conversation);
    network.settle();
    assert.deepEqual(one.entryTexts(), ['web(17) 10.2.0.3:53>4000 = 34']);
    assert.deepEqual(two.entryTexts(), ['database 198.51.100.7:61000>53 = 17']);
    assert.equal(one.released.length, 1);
  });

  it('verifies only the conversation where only the source port is rewritten', () => {
    const { network, one, two, conversation } = twoNodes();
    network.nat = (seen) => ({ ...seen, source: { ...seen.source, port: 1 } });
    one.hold(conversation);
    network.settle();
    assert.deepEqual(two.entryTexts(), ['database 10.1.0.2:1>53 = 17']);
    assert.deepEqual(one.entryTexts(), ['web(17) 10.2.0.3:53>4000 = 34']);
  });

  it('learns from the way who is behind a public address, and asks the policy of both about them', () => {
    const { network, one, two } = twoNodes();
    two.leadsHere.add('203.0.113.2');
    network.nat = (seen) => ({
      ...seen,
      source: { address: '198.51.100.7', port: 61_000 },
      destination: { address: '10.2.0.3', port: 5353 },
    });
    const asked: string[] = [];
    for (const node of [one, two]) {
      node.policy = ({ direction, subject, peer, address, port }) => {
        asked.push(`${node.name} ${direction} ${subject} ${peer} ${address} ${port}`);
        return { allowed: true, rule: '' };
      };
    }
    one.hold(udp('10.1.0.2', 4000, '203.0.113.2', 53));
    network.settle();
    assert.deepEqual(asked, ['node2 ingress 34 17 198.51.100.7 5353', 'node1 egress 17 34 203.0.113.2 53']);
    assert.deepEqual(one.entryTexts(), ['web(17) 203.0.113.2:53>4000 = 34']);
    assert.deepEqual(two.entryTexts(), ['database 198.51.100.7:61000>5353 = 17']);
    assert.equal(one.released.length, 1);
  });

  it('does not give a whole address away where a published port was asked for', () => {
    const { network, one, two } = twoNodes();
    two.published.set('203.0.113.2:8053', { endpoint: 'database', port: 53 });
    network.nat = (seen) => ({ ...seen, destination: { address: '10.2.0.3', port: 53 } });
    one.hold(udp('10.1.0.2', 4000, '203.0.113.2', 8053));
    network.settle();
    assert.deepEqual(one.entryTexts(), ['web(17) 203.0.113.2:8053>4000 = 34']);
    assert.deepEqual(two.entryTexts(), ['database 10.1.0.2:4000>53 = 17']);
  });

  for (const [whose, at] of [
    ['source', 'one'],
    ['destination', 'two'],
  ] as const) {
    it(`verifies only the conversation where the ${whose}'s address is several containers'`, () => {
      const world = twoNodes();
      world[at].endpoints.splice(0);
      if (at === 'one') world.one.run('web', WEB, '10.1.0.2', true);
      else world.two.run('database', DATABASE, '10.2.0.3', true);
      world.one.hold(world.conversation);
      world.network.settle();
      assert.deepEqual(world.one.entryTexts(), ['web(17) 10.2.0.3:53>4000 = 34']);
      assert.deepEqual(world.two.entryTexts(), ['database 10.1.0.2:4000>53 = 17']);
    });
  }

  it('of one of several containers stays its own, whatever the destination says', () => {
    const { network, one, two, conversation } = twoNodes();
    one.endpoints.splice(0);
    one.run('web', WEB, '10.1.0.2', true);
    one.hold(conversation);
    network.deliver();
    network.deliver();
    assert.equal(two.claims.size, 1);
    const { message } = one.said[0] as { message: Message & { id: bigint } };
    one.engine.message('node2', {
      kind: 'arrived',
      id: message.id,
      destination: DATABASE,
      direct: true,
      lifetime: 86_400_000,
    });
    assert.deepEqual(one.entryTexts(), ['web(17) 10.2.0.3:53>4000 = 34']);
    const [entry] = one.entries.values();
    assert.equal(entry!.expiresAt - network.clock.now, 300_000, 'nobody sets our lifetimes higher');
  });

  it('does not give away whole an address that another agent speaks for', () => {
    const { network, one, two, conversation } = twoNodes();
    network.routes.delete('10.1.');
    network.routes.set('10.1.', 'node3');
    one.hold(conversation);
    network.settle();
    assert.deepEqual(two.entryTexts(), ['database 10.1.0.2:4000>53 = 17']);
  });

  it('asks the policy again where another is reached than was promised', () => {
    const { network, one, two, conversation } = twoNodes();
    two.run('other', 0x33n, '10.2.0.9');
    two.leadsHere.add('10.2.0.7');
    network.nat = (seen) => ({ ...seen, destination: { ...seen.destination, address: '10.2.0.9' } });
    one.policy = ({ peer }) => ({ allowed: peer !== 0x33n, rule: 'not-the-other' });
    one.hold({ ...conversation, destination: { address: '10.2.0.7', port: 53 } });
    network.settle();
    assert.deepEqual(one.released, []);
    assert.deepEqual(one.entryTexts(), []);
    assert.deepEqual(two.entryTexts(), []);
    assert.deepEqual(one.results(), ['source refused arrived policy']);
    assert.deepEqual(two.results(), ['destination refused arrived policy']);
    assert.equal(two.records[0]!.rule, 'not-the-other');
  });

  it('needs no token where both ends say so, and the source agent speaks for the address', () => {
    const { network, one, two, conversation } = twoNodes({ one: { direct: ['node2'] }, two: { direct: ['node1'] } });
    one.hold({ ...conversation, protocol: 132 });
    network.settle();
    assert.deepEqual(one.tokens, []);
    assert.deepEqual(kinds(two), ['accept']);
    assert.deepEqual(one.entryTexts(), ['web 10.2.0.3 = 34', 'web(17) 10.2.0.3 = 34']);
    assert.deepEqual(two.entryTexts(), ['database 10.1.0.2 = 17', 'database(34) 10.1.0.2 = 17']);
    assert.equal(one.released.length, 1);
  });

  it('needs a token where only one end says so, or the source agent does not speak for the address it names', () => {
    for (const change of ['one', 'two', 'address'] as const) {
      const world = twoNodes({
        one: change === 'one' ? {} : { direct: ['node2'] },
        two: change === 'two' ? {} : { direct: ['node1'] },
      });
      if (change === 'address') world.network.routes.delete('10.1.');
      world.one.hold(world.conversation);
      world.network.settle();
      assert.equal(world.one.tokens.length, 1, change);
      assert.equal(world.one.released.length, 1, change);
    }
  });

  it('refuses an Accept without a token that it has not offered to take', () => {
    const { network, one, two, conversation } = twoNodes();
    const flow = one.hold(conversation);
    const { message } = network.letters.shift()!;
    assert.equal(message.kind, 'request');
    const id = (message as { id: bigint }).id;
    one.engine.message('node2', {
      kind: 'accept',
      id,
      destination: DATABASE,
      token: undefined,
      lifetime: 60_000,
      direct: true,
    });
    assert.deepEqual(one.dropped, [{ flow, reason: 'refused' }]);
    assert.deepEqual(one.entryTexts(), []);
    assert.deepEqual(two.entryTexts(), []);
  });
});

describe('a refusal', () => {
  const rows: readonly {
    readonly what: string;
    readonly prepare: (world: ReturnType<typeof twoNodes>) => void;
    readonly one: string[];
    readonly two: string[];
    readonly entry: 'refused' | 'world' | undefined;
    readonly dropped: string | undefined;
  }[] = [
    {
      what: "by the destination's policy",
      prepare: ({ two }) => {
        two.policy = deny('shop/database.ingress[0]');
      },
      one: ['source refused request policy'],
      two: ['destination refused request policy'],
      entry: 'refused',
      dropped: 'refused',
    },
    {
      what: "by the source's policy, once the destination is known",
      prepare: ({ one }) => {
        one.policy = deny('shop/web.egress[0]');
      },
      one: ['source refused accept policy'],
      two: ['destination refused token policy'],
      entry: 'refused',
      dropped: 'refused',
    },
    {
      what: 'of a source the agent has not announced',
      prepare: ({ network }) => network.withheld.add(WEB),
      one: ['source refused request not-yours'],
      two: ['destination refused request not-yours'],
      entry: 'refused',
      dropped: 'refused',
    },
    {
      what: 'of a destination the agent has not announced',
      prepare: ({ network }) => network.withheld.add(DATABASE),
      one: ['source refused accept not-yours'],
      two: ['destination refused token not-yours'],
      entry: 'refused',
      dropped: 'refused',
    },
    {
      what: 'because nobody is there, which the address decides',
      prepare: ({ two }) => two.stop('database'),
      one: ['source world request not-here'],
      two: ['destination world request not-here'],
      entry: 'world',
      dropped: undefined,
    },
    {
      what: 'because nobody is there, where the address is not allowed',
      prepare: ({ one, two }) => {
        two.stop('database');
        one.policy = ({ peer }) => ({ allowed: peer !== 0n, rule: 'no-world' });
      },
      one: ['source refused request not-here'],
      two: ['destination world request not-here'],
      entry: 'refused',
      dropped: 'refused',
    },
    {
      what: 'without a word, where the destination is silent, is a time-out at the source',
      prepare: () => {},
      one: ['source timeout request timeout'],
      two: ['destination refused request policy'],
      entry: undefined,
      dropped: 'expired',
    },
  ];
  for (const { what, prepare, one: wantedOne, two: wantedTwo, entry, dropped } of rows) {
    it(what, () => {
      const silent = what.startsWith('without a word');
      const world = twoNodes(silent ? { two: { silent } } : {});
      const { network, clock, one, two, conversation } = world;
      if (silent) two.policy = deny('x');
      prepare(world);
      const flow = one.hold(conversation);
      network.settle();
      if (silent) clock.advance(3_000);
      network.settle();
      assert.deepEqual(one.results(), wantedOne);
      assert.deepEqual(two.results(), wantedTwo);
      assert.deepEqual(one.entryTexts(), []);
      assert.deepEqual(two.entryTexts(), []);
      const exact = ['web(17) 10.2.0.3:53>4000 = 0'];
      for (const kind of ['refused', 'world'] as const)
        assert.deepEqual(one.entryTexts(kind), kind === entry ? exact : []);
      assert.deepEqual(one.dropped, dropped === undefined ? [] : [{ flow, reason: dropped }]);
      assert.deepEqual(one.released, dropped === undefined ? [flow] : []);
      clock.advance(20_000);
      network.settle();
      assert.ok(one.engine.empty && two.engine.empty);
    });
  }

  it('lasts five seconds, and the word that nobody is there a minute', () => {
    for (const [kind, ms] of [
      ['refused', 5_000],
      ['world', 60_000],
    ] as const) {
      const { network, clock, one, two, conversation } = twoNodes();
      if (kind === 'refused') two.policy = deny('');
      else two.stop('database');
      one.hold(conversation);
      network.settle();
      clock.advance(ms - 1);
      assert.equal(one.entryTexts(kind).length, 1);
      clock.advance(1);
      assert.equal(one.entryTexts(kind).length, 0);
    }
  });

  it('of an address no agent speaks for is the address to decide', () => {
    const { one, conversation } = twoNodes();
    one.hold({ ...conversation, destination: { address: '192.0.2.9', port: 53 } });
    assert.deepEqual(one.results(), ['source world connect not-here']);
    assert.equal(one.released.length, 1);
  });
});

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
});
