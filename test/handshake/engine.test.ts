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

  it('asks for nobody in the name of another who has sent from the port since', () => {
    const { network, one, conversation } = twoNodes();
    one.hold(conversation, { endpoint: 'api' });
    network.settle();
    assert.deepEqual([one.said, one.released, one.results()], [[], [], ['source refused connect gone']]);
    assert.equal(one.records[0]!.source.workload, undefined);
    const own = one.hold(conversation, { endpoint: 'web' });
    network.settle();
    assert.deepEqual(one.released, [own]);
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
