import assert from 'node:assert/strict';
import type { Neighbours } from '../../src/agent/between/domains.ts';
import { AGENTS_MOST, agentsOf } from '../../src/agent/kubernetes/agents.ts';
import { type KnownNode, networksOf, projectNode } from '../../src/agent/kubernetes/nodes.ts';
import { Neighbourhood, NOBODY } from '../../src/agent/neighbourhood.ts';

const EAST = { name: 'east', address: '192.0.2.1:7350', cidrs: [], workloads: ['*/*/*'], direct: false };

describe('the neighbourhood of a node', () => {
  const live = () => {
    const told: Neighbours[] = [];
    const cluster = { found: NOBODY, refuses: false };
    const faults: unknown[] = [];
    const neighbourhood = new Neighbourhood({
      configured: { prefixes: ['10.0.0.0/8'], agents: [] },
      found: () => cluster.found,
      tell: (neighbours) => {
        if (cluster.refuses) throw new Error('no');
        told.push(neighbours);
      },
      onFault: (error) => faults.push(error),
    });
    return { told, cluster, neighbourhood, faults };
  };

  it('is what the configuration and the cluster name, each once, and told when it changes', () => {
    const { told, cluster, neighbourhood } = live();
    neighbourhood.look();
    assert.equal(told.length, 0);
    cluster.found = { ...NOBODY, prefixes: ['10.0.0.0/8', '10.244.1.0/24'] };
    neighbourhood.look();
    neighbourhood.look();
    neighbourhood.configure({ prefixes: ['fd00::/64'], agents: [EAST] });
    cluster.found = { ...NOBODY };
    neighbourhood.look();
    assert.deepEqual(
      told.map((one) => [one.prefixes, one.agents.length]),
      [
        [['10.0.0.0/8', '10.244.1.0/24'], 0],
        [['fd00::/64', '10.0.0.0/8', '10.244.1.0/24'], 1],
        [['fd00::/64'], 1],
      ],
    );
  });

  it('survives that what the cluster names cannot be taken over, and tries again', () => {
    const { told, cluster, neighbourhood, faults } = live();
    cluster.refuses = true;
    cluster.found = { ...NOBODY, prefixes: ['10.244.1.0/24'] };
    neighbourhood.look();
    assert.deepEqual([told.length, faults.length], [0, 1]);
    cluster.refuses = false;
    neighbourhood.look();
    assert.deepEqual([told.length, faults.length], [1, 1]);
  });

  it('stays what it was where the new one is refused', () => {
    const { told, cluster, neighbourhood } = live();
    cluster.refuses = true;
    assert.throws(() => neighbourhood.configure({ prefixes: [], agents: [EAST] }));
    cluster.refuses = false;
    cluster.found = { ...NOBODY, prefixes: ['10.244.1.0/24'] };
    neighbourhood.look();
    assert.deepEqual(told, [{ ...NOBODY, prefixes: ['10.0.0.0/8', '10.244.1.0/24'] }]);
  });
});

describe('a neighbourhood that both the configuration and the cluster name', () => {
  it('has each agent once, as it is configured, and none that speaks for what another is configured to', () => {
    const told: Neighbours[] = [];
    const agent = (name: string, ...cidrs: string[]) => ({ ...EAST, name, cidrs });
    const found = { ...NOBODY, agents: [agent('east', '10.1.0.0/24'), agent('west', '10.2.0.0/24', '10.9.0.0/24')] };
    const neighbourhood = new Neighbourhood({
      configured: { prefixes: [], agents: [agent('east', '10.9.0.0/24')] },
      found: () => found,
      tell: (neighbours) => told.push(neighbours),
      onFault: (error) => assert.fail(String(error)),
    });
    neighbourhood.look();
    assert.deepEqual(
      told[0]?.agents.map(({ name, cidrs }) => [name, ...cidrs]),
      [
        ['east', '10.9.0.0/24'],
        ['west', '10.2.0.0/24'],
      ],
    );
  });
});

describe('the nodes themselves, as a neighbourhood', () => {
  it('are none that would take an address away from another node’s agent: whoever says so is asked for as before', () => {
    const told: Neighbours[] = [];
    const neighbourhood = new Neighbourhood({
      configured: { prefixes: [], agents: [] },
      found: () => ({
        ...NOBODY,
        nodes: ['10.2.0.5/32', '192.0.2.2/32'],
        agents: [{ ...EAST, cidrs: ['10.2.0.0/24'] }],
      }),
      tell: (neighbours) => told.push(neighbours),
      onFault: (error) => assert.fail(String(error)),
    });
    neighbourhood.look();
    assert.deepEqual(told[0]?.nodes, ['192.0.2.2/32']);
  });

  it('are those that no configured agent speaks for', () => {
    const told: Neighbours[] = [];
    const neighbourhood = new Neighbourhood({
      configured: { prefixes: ['10.0.0.0/8'], agents: [{ ...EAST, cidrs: ['192.0.2.0/25'] }] },
      found: () => ({ ...NOBODY, nodes: ['192.0.2.1/32', '192.0.2.200/32', '10.1.0.1/32', 'fd00::1/128'] }),
      tell: (neighbours) => told.push(neighbours),
      onFault: (error) => assert.fail(String(error)),
    });
    neighbourhood.look();
    assert.deepEqual(told[0]?.nodes, ['192.0.2.200/32', '10.1.0.1/32', 'fd00::1/128']);
  });
});

describe('the agents of a cluster’s nodes', () => {
  const PORT = 9465;
  const node = (internalAddress: string | undefined, ...podNetworks: string[]): Partial<KnownNode> => ({
    podNetworks,
    ...(internalAddress === undefined ? {} : { internalAddress }),
  });
  const found = (nodes: Record<string, Partial<KnownNode>>, own = 'a') =>
    agentsOf(new Map(Object.entries(nodes)), own, PORT);

  it('are reached where the nodes are, and speak for their pods', () => {
    const { agents } = found({
      c: node('fd00::1', 'fd01::/64'),
      a: node('192.0.2.1', '10.1.0.0/24'),
      b: node('192.0.2.2', '10.2.0.0/24'),
    });
    const rest = { workloads: ['*/*/*'], direct: false };
    assert.deepEqual(agents, [
      { name: 'b', address: '192.0.2.2:9465', cidrs: ['10.2.0.0/24'], ...rest },
      { name: 'c', address: '[fd00::1]:9465', cidrs: ['fd01::/64'], ...rest },
    ]);
  });

  it('are waited for where nobody says where they are, and speak for nobody where no networks are told', () => {
    const { agents } = found({ a: {}, b: {}, c: node(undefined) });
    assert.deepEqual(
      agents.map(({ name, address, cidrs }) => [name, address, cidrs]),
      [
        ['b', '', []],
        ['c', '', []],
      ],
    );
  });

  it('speak for no network that another node claims too: not this one’s, nor a third one’s', () => {
    const { agents, disputed } = found({
      a: node('192.0.2.1', '10.1.0.0/24'),
      b: node('192.0.2.2', '10.2.0.0/24', '10.1.0.0/24'),
      c: node('192.0.2.3', '10.3.0.0/24', '10.2.0.0/24'),
    });
    assert.deepEqual(
      agents.map(({ cidrs }) => cidrs),
      [[], ['10.3.0.0/24']],
    );
    assert.deepEqual(disputed, ['10.1.0.0/24', '10.2.0.0/24']);
  });

  it('are left out where their names are none that a certificate can bear', () => {
    assert.deepEqual(found({ a: {}, '..': {}, 'x/y': {}, '': {} }).agents, []);
  });

  it('dial once for each pair where there are many, and are the same for everybody where there are too many', () => {
    const count = AGENTS_MOST + 7;
    const names = Array.from({ length: count }, (_, i) => `n${String(i).padStart(5, '0')}`);
    const nodes = Object.fromEntries(names.map((name) => [name, node('192.0.2.1')]));
    const dialled = (own: string, other: string) =>
      found(nodes, own).agents.find(({ name }) => name === other)?.address !== '';
    assert.deepEqual([dialled(names[3]!, names[8]!), dialled(names[8]!, names[3]!)], [true, false]);
    const { agents, beyond } = found(nodes, names[3]);
    assert.deepEqual([agents.length, beyond], [AGENTS_MOST - 1, 7]);
    assert.equal(
      agents.some(({ name }) => name === names[AGENTS_MOST]),
      false,
    );
    assert.deepEqual(found(nodes, names[AGENTS_MOST]).agents, []);
  });
});

describe('a node of the cluster', () => {
  const networks = (spec: unknown): readonly string[] => projectNode({ metadata: { name: 'a' }, spec }).podNetworks;

  it('has the networks it says, as they are written properly', () => {
    assert.deepEqual(networks({ podCIDR: '10.1.0.0/24' }), ['10.1.0.0/24']);
    assert.deepEqual(networks({ podCIDR: '10.1.0.0/24', podCIDRs: ['10.1.0.0/24', 'FD00:0::/64'] }), [
      '10.1.0.0/24',
      'fd00::/64',
    ]);
  });

  it('is reached at its first internal address, and at no other', () => {
    const at = (...addresses: unknown[]) =>
      projectNode({ metadata: { name: 'a' }, status: { addresses } }).internalAddress;
    const one = (type: string, address: string) => ({ type, address });
    const good = one('InternalIP', '192.0.2.1');
    assert.equal(
      at(one('Hostname', 'a'), one('ExternalIP', '198.51.100.1'), good, one('InternalIP', 'fd00::1')),
      '192.0.2.1',
    );
    assert.equal(at(one('InternalIP', 'evil.example'), good), '192.0.2.1');
    assert.equal(at(one('ExternalIP', '198.51.100.1')), undefined);
  });

  it('is where its internal addresses are', () => {
    const addresses = [
      { type: 'InternalIP', address: '192.0.2.1' },
      { type: 'InternalIP', address: 'FD00:0::1' },
      { type: 'InternalIP', address: 'evil.example' },
      { type: 'ExternalIP', address: '198.51.100.1' },
    ];
    const { ownNetworks } = projectNode({ metadata: { name: 'a' }, status: { addresses } });
    assert.deepEqual(ownNetworks, ['192.0.2.1/32', 'fd00::1/128']);
  });

  it('has none where it says none, or nonsense, or half the world', () => {
    for (const spec of [
      undefined,
      {},
      { podCIDR: 7 },
      { podCIDRs: ['x', '0.0.0.0/0', '::/0', '128.0.0.0/1', '2000::/3'] },
      'x',
    ])
      assert.deepEqual(networks(spec), []);
  });

  it('is one among others, and may have been remembered by an earlier version', () => {
    const nodes: [string, Partial<KnownNode>][] = [
      ['one', { podNetworks: ['b', 'a'], ownNetworks: ['d', 'c'] }],
      ['two', {}],
      ['own', { podNetworks: ['a'], ownNetworks: ['e'] }],
    ];
    assert.deepEqual(networksOf(nodes, 'own'), { pods: ['a', 'b'], nodes: ['c', 'd'] });
  });
});
