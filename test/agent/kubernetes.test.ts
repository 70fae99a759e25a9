import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { configSchema } from '../../src/agent/config.ts';
import { usesKubernetes } from '../../src/agent/config-kubernetes.ts';
import { Cluster } from '../../src/agent/kubernetes/cluster.ts';
import { PROBES } from '../../src/agent/kubernetes/probes.ts';
import { PolicyStore } from '../../src/agent/policy-store.ts';
import { deriveIdentity, formatIdentity } from '../../src/model/identity.ts';
import { policyKey } from '../../src/model/policy.ts';
import { connect } from '../../src/sources/kubernetes/connection.ts';
import {
  PODS,
  POLICY_RESOURCES,
  pathOf,
  WORKLOAD_IDENTITIES,
  WORKLOAD_NETWORK_POLICIES,
} from '../../src/sources/kubernetes/resource.ts';
import { FakeApiServer } from '../sources/kubernetes/api-server.ts';

const WNP = pathOf(WORKLOAD_NETWORK_POLICIES);
const WID = pathOf(WORKLOAD_IDENTITIES);

const wnp = (name: string, workload = 'Deployment/web') => ({
  metadata: { namespace: 'shop', name, generation: 1 },
  spec: { subject: { workload }, ingress: [{ action: 'Allow' }] },
});

async function until(is: () => boolean): Promise<void> {
  while (!is()) await sleep(5);
}

describe('an agent with a cluster', () => {
  let state: string;
  let server: FakeApiServer;
  const ending: (() => Promise<void>)[] = [];

  beforeEach(async () => {
    state = await mkdtemp(join(tmpdir(), 'sallyport-test-cluster-'));
    server = new FakeApiServer();
    await server.start();
    for (const resource of [PODS, WORKLOAD_IDENTITIES, ...POLICY_RESOURCES]) server.objects(pathOf(resource));
  });

  afterEach(async () => {
    for (const end of ending.splice(0)) await end();
    await server.close();
    await rm(state, { recursive: true });
  });

  async function start(settings: object = {}) {
    const kubernetes = configSchema.parse({
      kubernetes: { wait: '200ms', networkPolicies: false, ...settings },
    }).kubernetes;
    const stop = new AbortController();
    const faults: string[] = [];
    const onFault = (error: Error) => faults.push(error.message);
    const cluster = new Cluster({
      connection: await connect({ kubeconfig: server.kubeconfig() }),
      settings: kubernetes,
      node: 'node1',
      identitiesMost: 1_000,
      domain: 'local',
      state,
      credentials: {
        certificate: join(state, 'agent.crt'),
        key: join(state, 'agent.key'),
        authority: join(state, 'ca'),
      },
      now: Date.now,
      onFault,
      onNoCertificate: onFault,
    });
    const store = new PolicyStore({
      directory: join(state, 'directory'),
      state,
      cluster: cluster.policies,
      now: Date.now,
      onChange: () => {},
      onProblem: ({ code }) => faults.push(code),
      onFault,
    });
    ending.push(async () => {
      stop.abort();
      await store.close();
      await cluster.close();
    });
    await cluster.load();
    await Promise.all([store.start(stop.signal), cluster.start(stop.signal)]);
    return { cluster, store, faults, stop: ending.at(-1)! };
  }

  const names = (store: PolicyStore): string[] => store.ledger.policies.map(({ origin }) => origin.file);

  it('has its policies beside those of its directory, and follows them', async () => {
    server.set(WNP, wnp('web'));
    const { store } = await start();
    await until(() => store.ledger.policies.length === 1);
    assert.deepEqual(names(store), ['kubernetes/WorkloadNetworkPolicy/shop/web.json']);
    server.set(WNP, wnp('db', 'Deployment/db'));
    await until(() => store.ledger.policies.length === 2);
    server.remove(WNP, 'shop/web');
    await until(() => store.ledger.policies.length === 1);
    assert.deepEqual(names(store), ['kubernetes/WorkloadNetworkPolicy/shop/db.json']);
  });

  it('keeps the version before of a policy that became wrong', async () => {
    server.set(WNP, wnp('web'));
    const { store, faults } = await start();
    await until(() => store.ledger.policies.length === 1);
    server.set(WNP, { ...wnp('web'), spec: { nonsense: true } } as never);
    await until(() => store.ledger.errors.length > 0);
    assert.equal(store.ledger.policies.length, 1);
    assert.equal(store.ledger.errors[0]?.inForce, 'the version before');
    assert.equal(store.ledger.errors[0]?.file, 'kubernetes/WorkloadNetworkPolicy/shop/web.json');
    assert.ok(faults.length > 0);
  });

  it('sends whoever would change them through the agent to kubectl', async () => {
    server.set(WNP, wnp('web'));
    const { store } = await start();
    await until(() => store.ledger.policies.length === 1);
    await assert.rejects(store.delete('shop/web', {}), {
      code: 'CONFLICT',
      message: /is kept in the cluster/,
      hint: 'kubectl delete workloadnetworkpolicy.sallyport.dev web -n shop',
    });
    const text = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {namespace: shop, name: web}
spec: {subject: {workload: Deployment/db}, ingress: []}`;
    await assert.rejects(store.plan([{ file: 'x', text }]), { code: 'CONFLICT', hint: /kubectl apply/ });
  });

  it('begins with what was in force when the API server is away, for as long as that is', async () => {
    server.set(WNP, wnp('web'));
    server.set(WNP, wnp('long'.repeat(60)));
    const identity = deriveIdentity('local', {
      workload: { namespace: 'shop', kind: 'Deployment', name: 'web' },
      container: '',
      labels: {},
    });
    server.set(WID, {
      metadata: { namespace: 'shop', name: 'deployment-web' },
      spec: {
        workload: 'shop/Deployment/web',
        identities: [{ container: '', labels: {}, id: formatIdentity(identity.id) }],
      },
    } as never);
    const first = await start();
    await until(() => first.store.ledger.policies.length === 2 && first.cluster.identities().length === 1);
    assert.deepEqual(first.cluster.identities(), [{ ...identity, ports: [] }]);
    await first.stop();
    await server.stop();
    const second = await start();
    assert.equal(second.cluster.settled, true);
    assert.equal(second.cluster.health().healthy, false);
    assert.deepEqual(names(second.store), names(first.store));
    assert.deepEqual(second.cluster.identities(), [{ ...identity, ports: [] }]);
    // When it is back, what it says counts.
    server.remove(WNP, 'shop/web', true);
    await server.start();
    await until(() => second.store.ledger.policies.length === 1);
    await until(() => second.cluster.health().healthy);
  });

  it('does not take a server that has just begun, and knows no kinds yet, for one without policies', async () => {
    server.set(WNP, wnp('web'));
    const first = await start();
    await until(() => first.store.ledger.policies.length === 1);
    await first.stop();
    let ready = false;
    server.intercept = ({ path }, response) => {
      if (ready || !path.includes('sallyport.dev')) return false;
      response.statusCode = 404;
      response.end('{"kind":"Status","code":404,"reason":"NotFound"}');
      return true;
    };
    const second = await start();
    assert.equal(second.store.ledger.policies.length, 1);
    ready = true;
    await until(() => second.cluster.policies.synced);
    assert.equal(second.store.ledger.policies.length, 1);
  });

  it('allows what kubelets probe, unless told otherwise, and nothing else', async () => {
    const { cluster } = await start();
    assert.deepEqual(cluster.extraPolicies(), [PROBES]);
    assert.equal(cluster.extraPolicies(), cluster.extraPolicies());
    const other = await start({ probes: false });
    assert.deepEqual(other.cluster.extraPolicies(), []);
    const text = `apiVersion: sallyport.dev/v1alpha1
kind: ClusterWorkloadNetworkPolicy
metadata: {name: "${PROBES.name}"}
spec: {subject: {workload: '*/*/*'}, ingress: []}`;
    // Nobody can take its name, which would stop every round.
    await assert.rejects(other.store.plan([{ file: 'x', text }]), { code: 'INVALID' }, policyKey(PROBES));
  });

  it('remembers nothing that is of no use', async () => {
    server.set(WID, {
      metadata: { namespace: 'shop', name: 'x' },
      spec: { workload: 'a/b/c', identities: [] },
    } as never);
    const { stop, cluster: former } = await start();
    await until(() => former.health().synced);
    await stop();
    ending.length = 0;
    const directory = join(state, 'kubernetes');
    const files = await readdir(directory);
    assert.ok(files.includes('workloadidentities.json'));
    for (const file of files) {
      assert.ok(Array.isArray(JSON.parse(await readFile(join(directory, file), 'utf8'))));
      await writeFile(join(directory, file), '[["cut short');
    }
    await server.stop();
    const { cluster, faults } = await start();
    assert.deepEqual(cluster.identities(), []);
    assert.deepEqual(faults, []);
  });
});

describe('whether there is a cluster', () => {
  const settings = (more: object) => configSchema.parse({ kubernetes: more }).kubernetes;
  it('is found out, unless it is said', () => {
    const pod = { KUBERNETES_SERVICE_HOST: '10.96.0.1' };
    assert.equal(usesKubernetes(settings({}), {}), false);
    assert.equal(usesKubernetes(settings({}), pod), true);
    assert.equal(usesKubernetes(settings({ kubeconfig: '/a' }), {}), true);
    assert.equal(usesKubernetes(settings({ enabled: true }), {}), true);
    assert.equal(usesKubernetes(settings({ enabled: 'false', kubeconfig: '/a' }), pod), false);
    // Somebody's own, for other work.
    assert.equal(usesKubernetes(settings({}), { KUBECONFIG: '/a' }), false);
  });
});
