import assert from 'node:assert/strict';
import { identityFacts } from '../../../src/manager/cluster.ts';
import { deriveIdentity, formatIdentity } from '../../../src/model/identity.ts';
import { parsePolicyFile } from '../../../src/model/policy-file.ts';
import { connect } from '../../../src/sources/kubernetes/connection.ts';
import { identitiesOf, projectIdentities } from '../../../src/sources/kubernetes/identities.ts';
import type { Permission } from '../../../src/sources/kubernetes/permissions.ts';
import { AGENT_PERMISSIONS, missingPermissions } from '../../../src/sources/kubernetes/permissions.ts';
import { KubernetesPolicies, projectPolicy } from '../../../src/sources/kubernetes/policies.ts';
import { takePolicies } from '../../../src/sources/kubernetes/policy-room.ts';
import {
  CLUSTER_HARDENING_POLICIES,
  HARDENING_POLICIES,
  JOBS,
  NODE_REPORTS,
  POLICY_RESOURCES,
  pathOf,
  WORKLOAD_NETWORK_POLICIES,
} from '../../../src/sources/kubernetes/resource.ts';
import type { PolicyFile } from '../../../src/sources/policies.ts';
import { FakeApiServer } from './api-server.ts';

describe('a policy of the cluster', () => {
  const metadata = {
    namespace: 'shop',
    name: 'web',
    generation: 7,
    resourceVersion: '12',
    uid: 'u',
    labels: { team: 'a' },
    annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}', note: 'x' },
  };
  const spec = { subject: { workload: 'Deployment/web' }, ingress: [{ action: 'Allow' }] };

  it('is a policy file like any other', () => {
    const { file, generation } = projectPolicy(WORKLOAD_NETWORK_POLICIES, { metadata, spec });
    assert.equal(file.name, 'kubernetes/WorkloadNetworkPolicy/shop/web.json');
    assert.equal(generation, 7);
    assert.ok(file.content.ok);
    const parsed = parsePolicyFile(file.name, file.content.bytes);
    assert.deepEqual(parsed.problems, []);
    const [{ policy } = assert.fail()] = parsed.policies;
    assert.equal(`${policy.namespace}/${policy.name}`, 'shop/web');
    assert.deepEqual(policy.labels, { team: 'a' });
    assert.deepEqual(policy.annotations, { note: 'x' });
  });

  it('is the same bytes as long as it says the same, in any order', () => {
    const bytes = (object: object) => {
      const { content } = projectPolicy(WORKLOAD_NETWORK_POLICIES, { metadata, spec: object }).file;
      return content.ok ? content.bytes.toString() : assert.fail();
    };
    assert.equal(bytes({ a: 1, b: { c: [2, 1], d: 3 } }), bytes({ b: { d: 3, c: [2, 1] }, a: 1 }));
    assert.notEqual(bytes({ a: [1, 2] }), bytes({ a: [2, 1] }));
  });

  it('has no namespace in its name where it belongs to none', () => {
    const { file } = projectPolicy(CLUSTER_HARDENING_POLICIES, { metadata: { name: 'all' }, spec: {} });
    assert.equal(file.name, 'kubernetes/ClusterHardeningPolicy/all.json');
  });

  it('is refused where it is longer than a file may be', () => {
    const { file } = projectPolicy(WORKLOAD_NETWORK_POLICIES, { metadata, spec: { a: 'x'.repeat(1 << 20) } });
    assert.ok(!file.content.ok);
    assert.equal(file.content.error.code, 'TOO_LARGE');
  });
});

describe('room for policies', () => {
  const ROOM = { files: 6, bytes: 60 };
  const files = (...wanted: [namespace: string, policies: number, bytes?: number][]): PolicyFile[] =>
    wanted.flatMap(([namespace, policies, bytes = 10]) =>
      Array.from({ length: policies }, (_, i): PolicyFile => {
        const name = namespace === '' ? `ClusterHardeningPolicy/${i}` : `HardeningPolicy/${namespace}/${i}`;
        return { name: `kubernetes/${name}.json`, content: { ok: true, bytes: Buffer.alloc(bytes) } };
      }),
    );
  const taken = (present: PolicyFile[], former: PolicyFile[] = []): string => {
    const { files: all, over } = takePolicies(present, former, ROOM);
    const counts = Map.groupBy(all, ({ name }) =>
      name.split('/').slice(1, -1).join('/').replace('HardeningPolicy', ''),
    );
    const told = [...counts].map(([whose, { length }]) => `${whose}:${length}`).sort();
    return `${told.join(' ')} over ${over.map((one) => one || 'all').join()}`;
  };

  const cases: [what: string, present: PolicyFile[], former: PolicyFile[], expected: string][] = [
    ['all where there is room', files(['a', 5], ['b', 1]), [], '/a:5 /b:1 over '],
    ['those of who has few', files(['a', 100], ['b', 3], ['c', 1]), [], '/b:3 /c:1 over a'],
    ['what was taken of who has too many', files(['a', 100], ['b', 3]), files(['a', 4]), '/a:4 /b:3 over a'],
    ['of two that have too many what was taken of each', files(['a', 9], ['b', 9]), files(['b', 2]), '/b:2 over a,b'],
    ['who has less before who has more', files(['a', 3], ['b', 4]), [], '/a:3 over b'],
    ['those that are short, not those that are long', files(['a', 2, 50], ['b', 2]), [], '/b:2 over a'],
    ['cluster-wide ones first', files(['', 5], ['a', 3], ['b', 1]), [], 'Cluster:5 /b:1 over a'],
    [
      'cluster-wide ones as they were where they are too many',
      files(['', 9], ['a', 1]),
      files(['', 2]),
      'Cluster:2 /a:1 over all',
    ],
    ['nothing of who is gone', files(['a', 9]), files(['b', 2]), ' over a'],
  ];
  for (const [what, present, former, expected] of cases) {
    it(`is for ${what}`, () => {
      const sorted = (text: string) =>
        text.replace(/^(.*) over/, (_, all: string) => `${all.split(' ').sort().join(' ')} over`);
      assert.equal(sorted(taken(present, former)), sorted(expected));
    });
  }
});

describe('the policies of the cluster', () => {
  const names = (files: readonly PolicyFile[]): string[] => files.map(({ name }) => name);

  it('are those that were in force before, where there are too many when the agent begins', async () => {
    const server = new FakeApiServer();
    await server.start();
    for (const resource of POLICY_RESOURCES) server.objects(pathOf(resource));
    const path = pathOf(WORKLOAD_NETWORK_POLICIES);
    for (let i = 0; i <= 10_000; i++)
      server.set(path, { metadata: { namespace: 'shop', name: `p${i}` }, spec: { i } } as never, true);
    const connection = await connect({ kubeconfig: server.kubeconfig() });
    const policies = new KubernetesPolicies({ connection, now: Date.now, retry: { leastMs: 5, mostMs: 5 } });
    const name = 'kubernetes/WorkloadNetworkPolicy/shop/p7.json';
    policies.expect([{ name, content: { ok: true, bytes: Buffer.from('{}') } }]);
    try {
      await policies.start(new AbortController().signal);
      assert.deepEqual(names(policies.snapshot()), [name]);
      assert.match(policies.problem ?? '', /of shop$/);
    } finally {
      await policies.close();
      await connection.close();
      await server.close();
    }
  });

  it('stay as they were when there are more than can be taken', async () => {
    const server = new FakeApiServer();
    await server.start();
    for (const resource of POLICY_RESOURCES) server.objects(pathOf(resource));
    const path = pathOf(WORKLOAD_NETWORK_POLICIES);
    const add = (i: number): void =>
      server.set(path, { metadata: { namespace: 'shop', name: `p${i}` }, spec: { i } } as never, true);
    for (let i = 0; i < 10_000; i++) add(i);
    const connection = await connect({ kubeconfig: server.kubeconfig() });
    const policies = new KubernetesPolicies({ connection, now: Date.now, retry: { leastMs: 5, mostMs: 5 } });
    policies.expect([]);
    try {
      await policies.start(new AbortController().signal);
      const whole = policies.snapshot();
      assert.equal(whole.length, 10_000);
      assert.equal(policies.problem, undefined);
      while (server.watching < POLICY_RESOURCES.length) await new Promise((resolve) => setTimeout(resolve, 5));
      add(10_000);
      server.tell(path, { type: 'ADDED', object: server.objects(path).get('shop/p10000') });
      while (policies.problem === undefined) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        assert.deepEqual(names(policies.snapshot()), names(whole));
      }
      assert.match(policies.problem, /10001 policies.*no changes are taken of shop$/);
      // Others are taken all the same.
      const others = pathOf(HARDENING_POLICIES);
      const object = { metadata: { namespace: 'town', name: 'late' }, spec: {} };
      server.set(others, object as never, true);
      server.tell(others, { type: 'ADDED', object: server.objects(others).get('town/late') });
      const late = 'kubernetes/HardeningPolicy/town/late.json';
      while (!names(policies.snapshot()).includes(late)) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.equal(policies.snapshot().length, 10_001);
    } finally {
      await policies.close();
      await connection.close();
      await server.close();
    }
  });
});

describe('announced identities', () => {
  const workload = { namespace: 'shop', kind: 'Deployment', name: 'web' };
  const identity = deriveIdentity('local', { workload, container: 'web', labels: { app: 'web' } });
  const written = { container: 'web', labels: { app: 'web' }, id: formatIdentity(identity.id), ports: [] };
  const announced = (more: object) =>
    projectIdentities({
      metadata: { namespace: 'shop', name: 'x' },
      spec: { workload: 'shop/Deployment/web', identities: [{ ...written, ...more }] },
    });

  it('are those of their attributes', () => {
    const { known, refused } = identitiesOf('local', announced({}));
    assert.deepEqual(known, [{ ...identity, ports: [] }]);
    assert.equal(refused, 0);
  });

  for (const lie of [{ id: '0123456789abcdef' }, { labels: { app: 'db' } }, { container: 'db' }]) {
    it(`are nobody's with ${JSON.stringify(lie)}`, () => {
      assert.deepEqual(identitiesOf('local', announced(lie)), { known: [], refused: 1 });
    });
  }

  it("are nobody's in another domain, or of what is no workload", () => {
    assert.equal(identitiesOf('elsewhere', announced({})).refused, 1);
    for (const text of ['', 'web', 'a/b/c/d', 'a/b/*']) {
      assert.equal(identitiesOf('local', { ...announced({}), workload: text }).refused, 1, text);
    }
  });

  it('are told of by their own namespace, and by no other', () => {
    for (const namespace of ['evil', 'sho', 'shop/Deployment', '', undefined]) {
      const spec = { workload: 'shop/Deployment/web', identities: [written] };
      const metadata = { name: 'x', ...(namespace === undefined ? {} : { namespace }) };
      const object = { apiVersion: 'sallyport.dev/v1alpha1', kind: 'WorkloadIdentity', metadata, spec };
      assert.throws(() => projectIdentities(object), String(namespace));
      assert.deepEqual(identityFacts(object).spec.identities, [], String(namespace));
    }
  });

  for (const more of [{ id: 'x' }, { ports: [{ name: 'a', protocol: 'TCP', port: 0 }] }, { labels: { a: 1 } }]) {
    it(`are not understood with ${JSON.stringify(more)}`, () => {
      assert.throws(() => announced(more));
    });
  }
});

describe('what an agent may do', () => {
  const client = (allow: (attributes: Record<string, string>) => boolean) => ({
    create: async (_: unknown, object: { spec: { resourceAttributes: Record<string, string> } }) => ({
      metadata: { name: '' },
      status: { allowed: allow(object.spec.resourceAttributes) },
    }),
  });

  it('is all of it, or named', async () => {
    assert.deepEqual(await missingPermissions(client(() => true) as never, AGENT_PERMISSIONS), []);
    const wanted: Permission[] = [
      { resource: JOBS, verbs: ['get', 'list'] },
      { resource: NODE_REPORTS, subresource: 'status', verbs: ['patch'] },
    ];
    const missing = await missingPermissions(client(({ verb }) => verb === 'list') as never, wanted);
    assert.deepEqual(missing, ['get jobs.batch', 'patch nodereports.sallyport.dev/status']);
  });
});
