import assert from 'node:assert/strict';
import { twoNodes, udp, WEB } from './domain.ts';

function verified() {
  const world = twoNodes();
  world.one.hold(world.conversation);
  world.network.settle();
  assert.equal(world.one.entryTexts().length + world.two.entryTexts().length, 4);
  return { ...world, id: BigInt(`0x${world.one.records[0]!.handshake}`) };
}

/** Marks what the kernel would mark when a packet finds the entry. */
function use({ one, clock }: ReturnType<typeof verified>): void {
  for (const [key, entry] of one.entries) one.entries.set(key, { ...entry, usedAt: clock.now });
}

function pass({ clock, network }: ReturnType<typeof verified>, ms: number): void {
  for (let left = ms; left > 0; left -= 1_000) {
    clock.advance(Math.min(left, 1_000));
    network.settle();
  }
}

function none(world: ReturnType<typeof verified>): void {
  assert.deepEqual(world.one.entryTexts(), []);
  assert.deepEqual(world.two.entryTexts(), []);
}

describe('what is verified', () => {
  it('ends after its lifetime where it is not used', () => {
    const world = verified();
    pass(world, 299_000);
    assert.equal(world.one.entryTexts().length, 2);
    pass(world, 20_000);
    none(world);
    assert.ok(world.one.engine.empty && world.two.engine.empty);
    assert.deepEqual(
      world.one.said.filter(({ message }) => message.kind === 'renew'),
      [],
    );
  });

  it('lives on while it is used, at both ends', () => {
    const world = verified();
    for (let minute = 0; minute < 20; minute++) {
      use(world);
      pass(world, 60_000);
      assert.equal(world.one.entryTexts().length, 2, `minute ${minute}`);
      assert.equal(world.two.entryTexts().length, 2, `minute ${minute}`);
    }
    pass(world, 700_000);
    none(world);
  });

  it('is renewed after the connection is back, where it broke meanwhile', () => {
    const world = verified();
    use(world);
    pass(world, 170_000);
    world.network.disconnect('node1', 'node2');
    pass(world, 60_000);
    world.network.connect('node1', 'node2');
    pass(world, 100_000);
    assert.equal(world.one.entryTexts().length, 2);
    assert.equal(world.two.entryTexts().length, 2);
  });

  it("is not renewed against either end's policy", () => {
    for (const at of ['one', 'two'] as const) {
      const world = verified();
      use(world);
      pass(world, 170_000);
      world[at].policy = () => ({ allowed: false, rule: 'now-denied' });
      pass(world, 30_000);
      none(world);
      assert.equal(world[at].records.at(-1)?.result, 'revoked');
    }
  });

  it('is not renewed by an agent that did not ask for it', () => {
    const world = verified();
    world.network.lies.set('node3', new Set([WEB]));
    world.two.engine.message('node3', { kind: 'renew', id: world.id });
    assert.equal(world.two.engine.statistics().ignored.get('unknown'), 1);
  });

  for (const at of ['one', 'two'] as const) {
    const reasons: readonly [string, (world: ReturnType<typeof verified>) => void][] = [
      [
        'policy',
        (world) => {
          world[at].policy = () => ({ allowed: false, rule: 'r' });
          world[at].engine.policyChanged();
        },
      ],
      [
        'gone',
        (world) => {
          world[at].stop(at === 'one' ? 'web' : 'database');
          world[at].engine.endpointsChanged();
        },
      ],
      ['by-hand', (world) => assert.equal(world[at].engine.revoke({ identity: WEB }), 1)],
      [
        'gone',
        (world) => {
          // What the other runs is known anew.
          world.network.withheld.add(at === 'one' ? 0x22n : 0x11n);
          world[at].engine.announced(at === 'one' ? 'node2' : 'node1');
        },
      ],
    ];
    for (const [reason, turn] of reasons) {
      it(`is revoked at both ends: ${reason}, at ${at}`, () => {
        const world = verified();
        turn(world);
        assert.deepEqual(world[at].entryTexts(), []);
        world.network.settle();
        none(world);
        assert.equal(world[at].records.at(-1)?.reason, reason);
      });

      it(`is revoked at both ends: ${reason}, at ${at}, after a partition has healed`, () => {
        const world = verified();
        world.network.disconnect('node1', 'node2');
        turn(world);
        pass(world, 60_000);
        world.network.connect('node1', 'node2');
        world.network.settle();
        none(world);
      });
    }
  }

  it('does not lend its trust to the next endpoint with the address', () => {
    const world = verified();
    world.two.stop('database');
    world.two.run('impostor', 0x99n, '10.2.0.3');
    world.two.engine.endpointsChanged();
    world.network.settle();
    none(world);
  });

  it('ends where the address moves to another endpoint, though the former one runs on', () => {
    for (const at of ['one', 'two'] as const) {
      const world = verified();
      const [former] = world[at].endpoints;
      world[at].endpoints.splice(0, 1, { ...former!, address: '10.9.0.9' });
      world[at].run('impostor', 0x99n, former!.address);
      world[at].engine.endpointsChanged();
      world.network.settle();
      none(world);
    }
  });

  it('is kept where the policy has no answer', () => {
    const world = verified();
    world.one.unknown.add(0x22n);
    world.one.engine.policyChanged();
    assert.equal(world.one.entryTexts().length, 2);
  });

  it('is not revoked by what concerns another', () => {
    const world = verified();
    world.network.nat = (seen) => ({ ...seen, source: { ...seen.source, address: '198.51.100.7' } });
    world.one.hold(udp('10.1.0.2', 4001, '10.2.0.3', 54));
    world.network.settle();
    world.two.policy = ({ port }) => ({ allowed: port !== 54, rule: '' });
    world.two.engine.policyChanged();
    world.network.settle();
    assert.equal(world.one.entryTexts().length, 2);
    assert.equal(world.two.entryTexts().length, 2);
  });
});

describe('an agent that starts again', () => {
  for (const at of ['one', 'two'] as const) {
    it(`renews what ${at} has stored`, () => {
      const world = verified();
      const stored: unknown[] = JSON.parse(JSON.stringify(world[at].engine.export()));
      world[at].restart();
      assert.equal(world[at].engine.restore(stored), 1);
      assert.equal(world[at].engine.restore(stored), 0);
      for (let minute = 0; minute < 10; minute++) {
        use(world);
        pass(world, 60_000);
      }
      assert.equal(world.one.entryTexts().length, 2);
      assert.equal(world.two.entryTexts().length, 2);
    });
  }

  it('without its store lets what is verified end, and neither end believes longer than the other', () => {
    for (const at of ['one', 'two'] as const) {
      const world = verified();
      world[at].restart();
      for (let minute = 0; minute < 6; minute++) {
        use(world);
        pass(world, 60_000);
      }
      none(world);
    }
  });

  it('tells the other end of an endpoint that ended meanwhile', () => {
    const world = verified();
    const stored = world.two.engine.export();
    world.network.disconnect('node1', 'node2');
    world.two.stop('database');
    world.two.restart();
    world.two.engine.restore(stored);
    world.two.engine.endpointsChanged();
    world.network.connect('node1', 'node2');
    world.network.settle();
    none(world);
  });

  it('takes nothing from its store that it has not written', () => {
    const { one, two } = verified();
    const [good] = one.engine.export();
    one.restart();
    const bad = [
      undefined,
      null,
      7,
      [],
      {},
      { ...good, handshake: '0000000000000000' },
      { ...good, peer: 'x' },
      { ...good, expiresAt: -1 },
      { ...good, end: 'both' },
      { ...good, conversation: { ...good!.conversation, source: { address: '010.1.0.2', port: 1 } } },
    ];
    assert.equal(one.engine.restore(bad), 0);
    assert.equal(one.engine.restore([...bad, good]), 1);
    assert.equal(two.engine.verified().length, 1);
  });

  it('opens nothing by what the source has not confirmed, and does not store it', () => {
    const { network, one, two, conversation } = twoNodes();
    one.hold(conversation);
    while (network.letters.length > 0) network.deliver();
    network.arrive(network.packets.shift()!);
    assert.equal(two.entryTexts().length, 1, 'that by which it is reached');
    assert.deepEqual(two.engine.export(), []);
    network.settle();
    assert.equal(two.entryTexts().length, 2);
  });

  it('leaves nothing behind that the source has not confirmed', () => {
    const { network, one, two, conversation } = twoNodes();
    one.hold(conversation);
    while (network.letters.length > 0) network.deliver();
    network.arrive(network.packets.shift()!);
    two.engine.close();
    assert.deepEqual(two.entryTexts(), []);
  });
});

describe('notices of connections the kernel refused', () => {
  const refused = {
    source: WEB,
    destination: 0x22n,
    conversation: udp('10.1.0.2', 1, '10.2.0.3', 80),
    rule: 'a.ingress[0]',
  };

  it('become records where the connection came from', () => {
    const { network, one, two } = twoNodes();
    two.engine.refusedInKernel(refused);
    network.settle();
    assert.deepEqual(one.results(), ['source refused tag policy']);
    const [record] = one.records;
    assert.equal(record?.handshake, '');
    assert.equal(record?.rule, 'a.ingress[0]');
    assert.deepEqual(record?.destination, { node: 'node2', identity: 0x22n, workload: 'test/Service/34' });
    assert.deepEqual(record?.conversation, refused.conversation);
  });

  it('are few: a hundred a second', () => {
    const { network, one, two } = twoNodes();
    for (let i = 0; i < 1_000; i++) two.engine.refusedInKernel(refused);
    network.settle();
    assert.equal(one.records.length, 100);
    assert.equal(two.engine.statistics().limited.get('notices'), 900);
  });

  it('are believed only of who runs here, by who runs the other', () => {
    const { network, one } = twoNodes();
    const refuse = { kind: 'refuse', id: 0n, reason: 'policy', yours: false, ...refused } as const;
    one.engine.message('node2', { ...refuse, source: 0x99n });
    one.engine.message('node2', { ...refuse, destination: 0x99n });
    network.settle();
    assert.deepEqual(one.records, []);
    assert.equal(one.engine.statistics().ignored.get('notice'), 2);
  });

  it('are not sent by a silent destination', () => {
    const { network, one, two } = twoNodes({ two: { silent: true } });
    two.engine.refusedInKernel(refused);
    network.settle();
    assert.deepEqual(one.records, []);
  });
});

describe('a clock that is set', () => {
  const HOURS = 3 * 3_600_000;

  it('ahead: what it ends goes from both kernels too, where it would have stood', () => {
    const { network, clock, one, two, conversation } = twoNodes();
    one.hold(conversation);
    network.settle();
    assert.equal(one.entries.size, 2);
    // Only the one node's: in the domain of tests there is one clock, so its entries say how they stood.
    clock.advance(1_000);
    clock.now += HOURS;
    clock.advance(60_000);
    network.settle();
    assert.deepEqual([one.entries.size, two.entries.size], [0, 0]);
    assert.ok(one.results().includes('source revoked renew timeout'), one.results().join());
  });

  it('back: a container is not kept from the world for as long', () => {
    const outcomes = { all: 30, perEndpoint: 5 };
    const { network, clock, one } = twoNodes({ one: { limits: { outcomes } } });
    const nobody = (port: number) => one.hold(udp('10.1.0.2', port, '10.2.9.9', 53));
    for (let port = 1; port <= 5; port++) nobody(port);
    network.settle();
    clock.now -= HOURS;
    nobody(6);
    network.settle();
    assert.equal(one.released.length, 6);
  });
});
