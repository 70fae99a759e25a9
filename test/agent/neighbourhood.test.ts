import assert from 'node:assert/strict';
import type { Neighbours } from '../../src/agent/between/between-nodes.ts';
import { podNetworksOf, projectNode } from '../../src/agent/kubernetes/nodes.ts';
import { Neighbourhood } from '../../src/agent/neighbourhood.ts';

const EAST = { name: 'east', address: '192.0.2.1:7350', cidrs: [], workloads: ['*/*/*'], direct: false };

describe('the neighbourhood of a node', () => {
  const live = () => {
    const told: Neighbours[] = [];
    const cluster = { networks: [] as string[], refuses: false };
    const faults: unknown[] = [];
    const neighbourhood = new Neighbourhood({
      configured: { prefixes: ['10.0.0.0/8'], agents: [] },
      podNetworks: () => [...cluster.networks],
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
    cluster.networks = ['10.0.0.0/8', '10.244.1.0/24'];
    neighbourhood.look();
    neighbourhood.look();
    neighbourhood.configure({ prefixes: ['fd00::/64'], agents: [EAST] });
    cluster.networks = [];
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
    cluster.networks = ['10.244.1.0/24'];
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
    cluster.networks = ['10.244.1.0/24'];
    neighbourhood.look();
    assert.deepEqual(told, [{ prefixes: ['10.0.0.0/8', '10.244.1.0/24'], agents: [] }]);
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
    assert.deepEqual(podNetworksOf([{ podNetworks: ['b', 'a'] }, {}, { podNetworks: ['a'] }]), ['a', 'b']);
  });
});
