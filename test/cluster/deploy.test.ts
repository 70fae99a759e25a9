/** `make deploy` into a real cluster: what people are promised, from the first command to the last. */

import { strict as assert } from 'node:assert';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '../rig/cleanup.ts';
import { attempt, run } from '../rig/process.ts';
import type { Cluster } from './cluster.ts';
import { addresses } from './deployed/addresses.ts';
import { ADMINISTRATORS_KINDS, administrators } from './deployed/administrators.ts';
import { changes } from './deployed/changes.ts';
import { crowd } from './deployed/crowd.ts';
import { documented, type as typed, UNDEPLOY } from './deployed/documented.ts';
import { drain } from './deployed/drain.ts';
import { managers } from './deployed/managers.ts';
import { outage } from './deployed/outage.ts';
import { staticPods } from './deployed/static-pods.ts';
import type { Shop } from './shop.ts';
import { AGENT_SET, PATIENCE_MS, policy, ROOT, SYSTEM, Town } from './town.ts';

const DENY_ALL = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: default-deny, namespace: shop }
spec: { podSelector: {}, policyTypes: [Ingress] }
`;

/** Means everybody, and changes nothing. */
const EVERYBODY = `
apiVersion: sallyport.dev/v1alpha1
kind: ClusterWorkloadNetworkPolicy
metadata: { name: everybody }
spec: { subject: { workload: '*/*/*' }, mode: Stage, ingress: [{ name: anybody }] }
`;

describe('Sallyport deployed into a cluster', function () {
  this.timeout(400_000);
  let place: Town;
  let town: Cluster;
  let shop: Shop;

  const field = (what: readonly string[], path: string) => place.field(what, path);
  const asks = (from: string, wanted: string) => place.asks(from, wanted);
  const status = (name: string, type: string, wanted: string) => place.status(name, type, wanted);

  before(async () => {
    place = await Town.found();
    ({ cluster: town, shop } = place);
    await run([process.execPath, join(ROOT, 'packaging/image/main.ts')], { timeout: 180_000 });
    await town.apply(ADMINISTRATORS_KINDS);
    await shop.open();
  });

  after(async () => {
    await place.deployer('down');
    await town.attempt(['delete', '-f', '-', '--ignore-not-found'], { input: ADMINISTRATORS_KINDS });
    await shop.close();
  });

  it('is there after one command, with an agent that works on every node and two managers', async () => {
    const { status: code, stdout, stderr } = await place.deployer('up', '--agent-set', AGENT_SET);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /Sallyport works on every node/);
    await waitFor(
      'every node reports',
      async () =>
        (await field(['nodereports'], '.items[*].status.agent.ready')) === town.nodes.map(() => 'true').join(' '),
      PATIENCE_MS,
    );
    assert.equal(await field(['deployment', 'sallyport-manager', '-n', SYSTEM], '.status.readyReplicas'), '2');
  });

  it('protects what ran before it, and denies nothing that nobody denied', async () => {
    for (const node of town.nodes)
      assert.equal(await field(['nodereport', node], '.status.endpoints.unprotected'), '0');
    await asks('stranger', 'ok');
    await town.apply(EVERYBODY);
  });

  it('has no right it does not need', async () => {
    const may = async (account: string, ...question: readonly string[]) => {
      const user = `--as=system:serviceaccount:${SYSTEM}:sallyport-${account}`;
      return (await town.attempt(['auth', 'can-i', ...question, user])).stdout.trim();
    };
    const questions: readonly (readonly [string, string, ...string[]])[] = [
      ['yes', 'agent', 'list', 'pods', '-A'],
      ['yes', 'agent', 'watch', 'networkpolicies', '-A'],
      ['yes', 'agent', 'patch', 'nodereports.sallyport.dev/node1', '--subresource=status'],
      ['no', 'agent', 'get', 'secrets', '-A'],
      ['no', 'agent', 'list', 'secrets', '-n', SYSTEM],
      ['no', 'agent', 'create', 'pods', '-n', SYSTEM],
      ['no', 'agent', 'patch', 'pods', '-A'],
      ['no', 'agent', 'update', 'workloadnetworkpolicies.sallyport.dev', '-A'],
      ['no', 'agent', 'create', 'workloadidentities.sallyport.dev', '-A'],
      ['no', 'agent', 'impersonate', 'users'],
      ['no', 'agent', 'delete', 'nodereports.sallyport.dev'],
      ['yes', 'manager', 'get', 'secrets/sallyport-tag-keys', '-n', SYSTEM],
      ['no', 'manager', 'list', 'secrets', '-n', SYSTEM],
      ['no', 'manager', 'get', 'secrets', '-A'],
      ['no', 'manager', 'create', 'pods', '-n', SYSTEM],
      ['no', 'manager', 'create', 'secrets', '-n', SYSTEM],
      ['no', 'manager', 'delete', 'secrets/sallyport-ca', '-n', SYSTEM],
      ['no', 'manager', 'create', 'configmaps', '-n', SYSTEM],
      ['no', 'manager', 'create', 'validatingwebhookconfigurations'],
      ['no', 'manager', 'update', 'validatingwebhookconfigurations/another'],
      ['no', 'manager', 'update', 'workloadnetworkpolicies.sallyport.dev', '-A'],
    ];
    const wrong: string[] = [];
    for (const [wanted, ...question] of questions) {
      const [account, ...rest] = question as [string, ...string[]];
      if ((await may(account, ...rest)) !== wanted) wrong.push(`${question.join(' ')}: wanted ${wanted}`);
    }
    assert.deepEqual(wrong, []);
  });

  it('enforces a policy in names on both nodes and between them, and says so', async () => {
    await town.apply(policy('api', 'web'));
    await status('api', 'Accepted', 'True');
    await status('api', 'Enforced', 'True');
    await asks('web', 'ok');
    await asks('stranger', 'refused');
    assert.equal(await field(['wnp', 'api', '-n', 'shop'], '.status.containers.enforced'), '2');
    const line = await town.kubectl('get', 'wnp', 'api', '-n', 'shop', '--no-headers');
    assert.match(line, /^api\s+Deployment\/api\s.*True\s+True\s/);
  });

  it('answers for the agent of any node or pod through kubectl', async () => {
    const [pod] = await shop.pods('api');
    const plugin = (...words: readonly string[]) =>
      run([join(ROOT, 'packaging/kubectl-sallyport'), ...words], { env: { KUBECONFIG: town.kubeconfig } });
    for (const node of town.nodes) assert.match(await plugin('status'), new RegExp(`^${node} +true`, 'm'));
    assert.match(await plugin('on', pod!.node, 'status'), new RegExp(`ready, .* on ${pod!.node} `));
    assert.match(
      await plugin('for', `shop/${pod!.name}`, 'endpoint', 'list'),
      new RegExp(pod!.address.replaceAll('.', '\\.')),
    );
    await assert.rejects(plugin('on', 'nowhere', 'status'), /no agent runs on node "nowhere"/);
  });

  it('refuses a policy that is wrong before it is stored, and says what is wanted', async () => {
    const wrong = policy('wrong', 'web').replace('protocol: TCP, port', 'protocol: TPC, port');
    const { status: code, stderr } = await town.attempt(['apply', '--validate=false', '-f', '-'], { input: wrong });
    assert.notEqual(code, 0);
    assert.match(stderr, /TPC/);
  });

  it('enforces NetworkPolicy: default-deny denies what no policy of its own allows, and goes when it goes', async () => {
    await town.apply(DENY_ALL);
    await asks('stranger', 'refused');
    await town.kubectl('delete', 'wnp', 'api', '-n', 'shop');
    await asks('web', 'refused');
    await town.kubectl('delete', 'networkpolicy', 'default-deny', '-n', 'shop');
    await asks('stranger', 'ok');
    await town.apply(policy('api', 'web'));
    await asks('stranger', 'refused');
  });

  it('knows the new pods of a workload that is rolled and scaled, from their first packet', async () => {
    await town.kubectl('rollout', 'restart', 'deployment/web', 'deployment/api', '-n', 'shop');
    for (const name of ['web', 'api']) await shop.rolledOut(name);
    await town.kubectl('scale', 'deployment/web', '--replicas=4', '-n', 'shop');
    await shop.rolledOut('web');
    await waitFor('four webs', async () => (await shop.pods('web')).length === 4, PATIENCE_MS);
    await asks('web', 'ok');
    await asks('stranger', 'refused');
    await town.kubectl('scale', 'deployment/web', '--replicas=2', '-n', 'shop');
    await shop.rolledOut('web');
  });

  it('goes on with another manager when the one that leads is gone', async () => {
    const leader = () => field(['lease', 'sallyport-manager', '-n', SYSTEM], '.spec.holderIdentity');
    const before = await leader();
    const pod = before.split('_')[0]!;
    await town.kubectl('delete', 'pod', pod, '-n', SYSTEM, '--grace-period=0', '--force');
    await waitFor('another leads', async () => ![before, ''].includes(await leader()), PATIENCE_MS);
    await town.apply(policy('second', 'stranger'));
    await status('second', 'Enforced', 'True');
    await asks('stranger', 'ok');
    await town.kubectl('delete', 'wnp', 'second', '-n', 'shop');
    await asks('stranger', 'refused');
  });

  it('loses no packet and lets nobody through while its agents are replaced', async () => {
    const [webs, apis] = [await shop.pods('web'), await shop.pods('api')];
    const pairs = webs.flatMap((web) => apis.map((api) => ({ web, api })));
    const apart = pairs.find(({ web, api }) => web.node !== api.node);
    assert.ok(apart !== undefined, 'all run on one node');
    const { web, api } = apart;
    const conversation = shop.conversation(web, api, 30_000);
    conversation.catch(() => {}); // asked below
    await town.kubectl('rollout', 'restart', 'daemonset/sallyport-agent', '-n', SYSTEM);
    const rollout = town.kubectl('rollout', 'status', 'daemonset/sallyport-agent', '-n', SYSTEM, '--timeout=150s');
    let over = false;
    const watching = rollout.finally(() => {
      over = true;
    });
    watching.catch(() => {}); // asked below
    let asked = 0;
    while (!over) {
      assert.equal(await shop.asks('stranger', 'api'), 'refused');
      asked += 1;
    }
    await watching;
    assert.ok(asked > 0);
    const { exchanges, lost } = await conversation;
    assert.ok(exchanges > 100, `${exchanges} exchanges`);
    assert.equal(lost, 0);
    await asks('web', 'ok');
  });

  const parts = [changes, addresses, staticPods, administrators, managers, crowd, drain, outage, documented];
  for (const part of parts) part(() => place);

  it('has seen every container that a kubelet has begun, whatever came and went', async () => {
    const path = '.status.conditions[?(@.type=="Enforced")].reason';
    const is = async () => (await field(['cwnp', 'everybody'], path)) === 'Staged';
    await waitFor('every node has the policy for everybody', is, PATIENCE_MS);
    assert.equal(await field(['events', '-A', '--field-selector=reason=Degraded'], '.items[*].message'), '');
  });

  it('leaves nothing when it is undeployed, and what ran goes on', async () => {
    const { status: code, stdout, stderr } = await typed(place, UNDEPLOY, tmpdir());
    assert.equal(code, 0, stdout + stderr);
    await asks('stranger', 'ok');
    const kinds = ['crd', 'namespace', 'clusterrole', 'clusterrolebinding', 'validatingwebhookconfiguration'];
    const left = (await town.kubectl('get', kinds.join(','), '-o', 'name')).split('\n');
    assert.deepEqual(
      left.filter((name) => name.includes('sallyport')),
      [],
    );
    for (const { pid } of place.nodes) {
      const look = 'ls -d /sys/fs/bpf/sallyport /run/sallyport /var/lib/sallyport; nft list tables; bpftool link show';
      const inside = ['nsenter', '--target', String(pid), '--mount', '--net', '--', '/bin/sh', '-c', look];
      assert.doesNotMatch((await attempt(inside)).stdout, /sallyport/);
    }
    assert.equal((await place.deployer('down')).status, 0, 'a second time there is nothing to do');
  });
});
