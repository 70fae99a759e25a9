import assert from 'node:assert/strict';
import { identityFacts } from '../../../src/manager/cluster.ts';
import { deriveIdentity, formatIdentity } from '../../../src/model/identity.ts';
import { parsePolicyFile } from '../../../src/model/policy-file.ts';
import { connect } from '../../../src/sources/kubernetes/connection.ts';
import { identitiesOf, projectIdentities } from '../../../src/sources/kubernetes/identities.ts';
import type { Permission } from '../../../src/sources/kubernetes/permissions.ts';
import { AGENT_PERMISSIONS, missingPermissions } from '../../../src/sources/kubernetes/permissions.ts';
import { KubernetesPolicies, projectPolicy } from '../../../src/sources/kubernetes/policies.ts';
import {
  CLUSTER_HARDENING_POLICIES,
  JOBS,
  NODE_REPORTS,
  POLICY_RESOURCES,
  pathOf,
  WORKLOAD_NETWORK_POLICIES,
} from '../../../src/sources/kubernetes/resource.ts';
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

describe('the policies of the cluster', () => {
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
    policies.expect(false);
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
        assert.equal(policies.snapshot(), whole);
      }
      assert.match(policies.problem, /10001 policies/);
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
