import assert from 'node:assert/strict';
import { formatAddress } from '../../../src/model/address.ts';
import type { Peer, Policy } from '../../../src/model/policy.ts';
import { parsePolicyFile } from '../../../src/model/policy-file.ts';
import { type KnownSlice, projectSlice, WRITTEN_SLICES } from '../../../src/sources/kubernetes/endpoint-slices.ts';
import { NodePeers } from '../../../src/sources/kubernetes/node-peers.ts';
import { ServicePlaces } from '../../../src/sources/kubernetes/service-places.ts';

const service = (name: string, selector?: Record<string, string>, namespace = 'shop') => ({
  ...{ namespace, name, addresses: [], ports: [] },
  ...(selector === undefined ? {} : { selector }),
});
const slice = (name: string, addresses: readonly string[], namespace = 'shop'): KnownSlice => ({
  ...{ namespace, addresses },
  service: name,
});

function policy(peers: string, namespace = 'shop'): Policy {
  const text = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: one, namespace: ${namespace}}
spec: {subject: {workload: Deployment/web}, egress: [{name: there, to: [${peers}]}]}
`;
  const { policies, problems } = parsePolicyFile('test.yaml', Buffer.from(text));
  assert.deepEqual(problems, []);
  return policies[0]!.policy;
}

const text = (peer: Peer): string => {
  if (peer.type === 'workload') return peer.selector.workload.name;
  return peer.type === 'network' ? formatAddress(peer.network.address) : peer.entity;
};

/** What the peers of a policy mean. */
function meant(one: Policy, places: ServicePlaces): string[] {
  const [resolved] = new NodePeers(new Map(), 'node1', places).resolve([one]);
  return resolved!.egress!.rules[0]!.peers!.map(text);
}

describe('a Service that selects no pods', () => {
  const places = new ServicePlaces(
    [service('ledger'), service('web', { app: 'web' }), service('ledger', undefined, 'bank'), service('empty')],
    [
      slice('ledger', ['192.0.2.9', '10.1.0.7']),
      slice('ledger', ['192.0.2.9', '2001:db8::1']),
      slice('ledger', ['198.51.100.1'], 'bank'),
      slice('web', ['192.0.2.66']),
      slice('gone', ['192.0.2.67']),
    ],
  );
  const own = ['10.1.0.7', '192.0.2.9', '2001:db8::1'];

  it('is, as a peer, where its endpoints lead, pods or not', () => {
    assert.deepEqual(meant(policy('{workload: Service/ledger}'), places), ['ledger', ...own]);
    assert.deepEqual(meant(policy('{workload: bank/Service/ledger}'), places), ['ledger', '198.51.100.1']);
    assert.deepEqual(meant(policy("{workload: 'Service/led*'}"), places), ['led*', ...own]);
  });

  it('has no part in what is said of all namespaces: who has one could add addresses of his choice', () => {
    for (const namespace of ['*', 'ban?', 'b*']) {
      assert.equal(meant(policy(`{workload: '${namespace}/Service/ledger'}`), places).length, 1, namespace);
    }
  });

  it('is nobody where it has none, where it is not there, and where more is asked for than addresses have', () => {
    for (const peer of ['{workload: Service/empty}', '{workload: Service/gone}', '{workload: Deployment/ledger}']) {
      assert.equal(meant(policy(peer), places).length, 1, peer);
    }
    for (const more of ['labels: {app: x}', 'container: main']) {
      assert.deepEqual(meant(policy(`{workload: Service/ledger, ${more}}`), places), ['ledger'], more);
    }
  });

  it('adds nothing to a Service that selects pods, whoever writes addresses behind it', () => {
    assert.deepEqual(meant(policy('{workload: Service/web}'), places), ['web']);
  });

  it('concerns nobody who does not name it: their policies are the same objects', () => {
    const others = [policy('{workload: Deployment/web}'), policy('{workload: Service/web}'), policy('{entity: world}')];
    const resolved = new NodePeers(new Map(), 'node1', places).resolve(others);
    assert.ok(resolved.every((one, i) => one === others[i]));
  });

  it('is bounded, however many addresses are written', () => {
    const many = Array.from({ length: 40 }, (_, block) =>
      slice(
        'ledger',
        Array.from({ length: 200 }, (_, i) => `10.${block}.0.${i}`),
      ),
    );
    assert.equal(
      meant(policy('{workload: Service/ledger}'), new ServicePlaces([service('ledger')], many)).length,
      1_001,
    );
  });
});

describe('slices of endpoints', () => {
  const object = (more: object, labels: Record<string, string> = { 'kubernetes.io/service-name': 'ledger' }) =>
    projectSlice({ metadata: { name: 'ledger-1', namespace: 'shop', labels }, ...more });

  it('are asked for where no selector has made them', () => {
    assert.match(WRITTEN_SLICES, /managed-by!=endpointslice-controller\.k8s\.io$/);
  });

  it('are their addresses, whoever they claim those to be', () => {
    const endpoints = [
      { addresses: ['192.0.2.9'], conditions: { ready: false } },
      { addresses: ['192.0.2.9', '10.1.0.7'], targetRef: { kind: 'Pod', namespace: 'bank', name: 'vault-0' } },
      { addresses: ['2001:DB8::0:1', 'db.example.com', '', '192.0.2.9/24'] },
      { addresses: 'nonsense' },
    ];
    assert.deepEqual(object({ addressType: 'IPv4', endpoints }), {
      ...{ namespace: 'shop', service: 'ledger' },
      addresses: ['192.0.2.9', '10.1.0.7', '2001:db8::1'],
    });
  });

  it('are nothing where they are of no Service, and lead nowhere where they make no sense', () => {
    assert.equal(object({ endpoints: [] }, {}), undefined);
    for (const endpoints of [undefined, null, 7, [7]]) assert.deepEqual(object({ endpoints })?.addresses, []);
  });

  it('are bounded each', () => {
    const endpoints = [{ addresses: Array.from({ length: 3_000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`) }];
    assert.equal(object({ endpoints })?.addresses.length, 1_000);
  });
});
