/** Random objects, of which a cluster makes what its documentation says. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { compile } from '../../src/compile/compiler.ts';
import { evaluate } from '../../src/compile/evaluate.ts';
import { lookup } from '../../src/compile/lookup.ts';
import { verdictName } from '../../src/model/verdict.ts';
import { translateNetworkPolicies } from '../../src/sources/kubernetes/network-policies.ts';
import { isPod, type Pod, threeByThree } from './cluster.ts';
import { Scene } from './scene.ts';
import { type AdminPolicy, allowsAt, type LabelSelector, type NamespacedPolicy, type Probe } from './upstream.ts';

const RUNS = Math.ceil(Number(process.env.FUZZ_RUNS ?? 1500) / 5);

/** Only the fields that are there. */
function some<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }, required: (keyof T)[] = []): fc.Arbitrary<Partial<T>> {
  return fc.record<T, keyof T>(model, { requiredKeys: required, noNullPrototype: true }) as fc.Arbitrary<Partial<T>>;
}

function selectorOf(key: string, values: readonly string[]): fc.Arbitrary<LabelSelector> {
  const value = fc.constantFrom(...values);
  const listing = some(
    {
      key: fc.constant(key),
      operator: fc.constantFrom('In', 'NotIn'),
      values: fc.uniqueArray(value, { minLength: 1 }),
    },
    ['key', 'operator', 'values'],
  );
  const presence = some({ key: fc.constantFrom(key, 'other'), operator: fc.constantFrom('Exists', 'DoesNotExist') }, [
    'key',
    'operator',
  ]);
  return some({
    matchLabels: value.map((one) => ({ [key]: one })),
    matchExpressions: fc.array(fc.oneof(listing, presence), { maxLength: 2 }),
  }) as fc.Arbitrary<LabelSelector>;
}

const pods = selectorOf('pod', ['a', 'b', 'c']);
const namespaces = selectorOf('ns', ['x', 'y', 'z']);
const protocol = fc.constantFrom('TCP', 'UDP');
const number = fc.constantFrom(79, 80, 81);
const name = fc.constantFrom('serve-80-tcp', 'serve-81-tcp', 'serve-80-udp', 'none');

const ipBlock = fc.constantFrom(
  { cidr: '0.0.0.0/0' },
  { cidr: '10.0.0.0/8' },
  { cidr: '10.0.0.0/8', except: ['10.0.1.0/24', '10.0.2.2/32'] },
  { cidr: '192.168.0.0/16', except: ['192.168.7.0/24'] },
  { cidr: '::/0' },
);

const peer = fc.oneof(
  ipBlock.map((block) => ({ ipBlock: block })),
  pods.map((podSelector) => ({ podSelector })),
  namespaces.map((namespaceSelector) => ({ namespaceSelector })),
  fc.record({ podSelector: pods, namespaceSelector: namespaces }),
);

const port = fc.oneof(
  some({ protocol, port: fc.oneof(number, name) }),
  protocol.map((over) => ({ protocol: over, port: 80, endPort: 81 })),
);

const rule = (side: 'from' | 'to') =>
  some({ [side]: fc.array(peer, { maxLength: 2 }), ports: fc.array(port, { maxLength: 2 }) });

const networkPolicies = fc
  .array(
    some(
      {
        namespace: fc.constantFrom('x', 'y'),
        podSelector: pods,
        policyTypes: fc.subarray(['Ingress', 'Egress'], { minLength: 1 }),
        ingress: fc.array(rule('from'), { maxLength: 2 }),
        egress: fc.array(rule('to'), { maxLength: 2 }),
      },
      ['namespace'],
    ),
    { maxLength: 3 },
  )
  .map((list) =>
    list.map(({ namespace, ...spec }, i) => ({ metadata: { name: `p${i}`, namespace }, spec }) as NamespacedPolicy),
  );

const adminPods = fc.record({ namespaceSelector: namespaces, podSelector: pods });
const adminPeer = fc.oneof(
  namespaces.map((selector) => ({ namespaces: selector })),
  adminPods.map((both) => ({ pods: both })),
);
const adminAddresses = fc.oneof(
  fc.constantFrom(
    { networks: ['10.0.0.0/8'] },
    { networks: ['0.0.0.0/0'] },
    { networks: ['192.168.7.0/24', '10.0.2.0/24'] },
  ),
  fc.constantFrom({ nodes: {} }, { nodes: { matchLabels: { role: 'edge' } } }),
);
const adminPort = fc.oneof(
  fc.record({ protocol, port: number }).map((portNumber) => ({ portNumber })),
  protocol.map((over) => ({ portRange: { protocol: over, start: 80, end: 81 } })),
  name.map((namedPort) => ({ namedPort })),
);

/** The API has no names of ports beside addresses. */
const isWritable = ({ to, ports }: { readonly to?: readonly object[]; readonly ports?: readonly object[] }): boolean =>
  !(to?.some((one) => 'networks' in one || 'nodes' in one) && ports?.some((one) => 'namedPort' in one));

const adminRule = (side: 'from' | 'to', actions: readonly string[], peers: fc.Arbitrary<object>) =>
  some(
    {
      action: fc.constantFrom(...actions),
      [side]: fc.array(peers, { minLength: 1, maxLength: 2 }),
      ports: fc.array(adminPort, { minLength: 1, maxLength: 2 }),
    },
    ['action', side],
  ).filter(isWritable);

/** @param each no two of them have one priority */
const adminPolicies = (actions: readonly string[], peers: fc.Arbitrary<object>, each: number) =>
  fc
    .array(
      fc.record({
        subject: fc.oneof(
          namespaces.map((selector) => ({ namespaces: selector })),
          adminPods.map((both) => ({ pods: both })),
        ),
        ingress: fc.array(adminRule('from', actions, adminPeer), { maxLength: 3 }),
        egress: fc.array(adminRule('to', actions, peers), { maxLength: 3 }),
      }),
      { maxLength: each },
    )
    .map((list) =>
      list.map((spec, i) => {
        const priority = each === 1 ? {} : { priority: i * 7 };
        return { metadata: { name: each === 1 ? 'default' : `a${i}` }, spec: { ...priority, ...spec } };
      }),
    ) as fc.Arbitrary<unknown> as fc.Arbitrary<readonly AdminPolicy[]>;

const anyPeer = fc.oneof(adminPeer, adminAddresses);

const objects = fc.record({
  networkPolicies,
  adminNetworkPolicies: adminPolicies(['Allow', 'Deny', 'Pass'], anyPeer, 3),
  baselineAdminNetworkPolicies: adminPolicies(['Allow', 'Deny'], anyPeer, 1),
});

const PROBES: readonly Probe[] = [
  { protocol: 'TCP', port: 80 },
  { protocol: 'TCP', port: 81 },
  { protocol: 'TCP', port: 82 },
  { protocol: 'UDP', port: 80 },
];

describe('random policies of Kubernetes', function () {
  this.timeout(180_000);
  const scene = new Scene({ outsiders: {} });
  const cluster = threeByThree();
  const { nodes } = cluster;
  const asked = ['x/a', 'x/b', 'y/b']
    .map((key) => cluster.pods.get(key))
    .filter((pod): pod is Pod => pod !== undefined);

  it('come to what the documentation says, at every end of every conversation', () => {
    let stricter = 0;
    fc.assert(
      fc.property(objects, (written) => {
        const { policies, problems } = translateNetworkPolicies(written, cluster.namespaces, { nodes });
        assert.deepEqual(
          problems.filter(({ code }) => code !== 'PASS_BEFORE'),
          [],
        );
        const inexact = problems.length > 0;
        if (inexact) stricter++;
        const input = { policies, identities: scene.cluster.identities() };
        const tables = compile(input);
        for (const pod of asked) {
          for (const other of cluster.everybody) {
            if (other === pod || (isPod(other) && other.name === 'c')) continue;
            for (const probe of PROBES) {
              for (const direction of ['ingress', 'egress'] as const) {
                const question = scene.question(direction, pod, other, probe);
                const wanted = allowsAt(cluster, written, direction, pod, other, probe);
                assert.equal(evaluate(input, question).enforced.action !== 'Deny', wanted);
                const found = verdictName(lookup(tables, question).verdict) !== 'Deny';
                if (inexact && direction === 'egress') assert.ok(wanted || !found);
                else assert.equal(found, wanted);
              }
            }
          }
        }
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
    assert.ok(stricter > 0 && stricter < RUNS / 2, `${stricter} of ${RUNS} are not exact`);
  });
});
