/** Agents of a real cluster shake hands by themselves: what bears no tag is decided by who is who, on both nodes. */

import { strict as assert } from 'node:assert';
import { generateKeyPairSync } from 'node:crypto';
import { join, resolve } from 'node:path';
import type { HandshakeRecordView, PeerAgentView, PeerView } from '../../src/agent/api/between-contract.ts';
import { agentUri } from '../../src/trust/certificate.ts';
import { requestOf } from '../../src/trust/request.ts';
import { waitFor } from '../rig/cleanup.ts';
import { IMAGE } from '../rig/image.ts';
import { attempt, type Outcome, run } from '../rig/process.ts';
import { type Cluster, cluster } from './cluster.ts';
import { IDLE, outcomeOf, PORT, type Pod, SERVE, Shop } from './shop.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const SYSTEM = 'sallyport-system';
const DOMAIN = 'cluster.local';
const PATIENCE_MS = 60_000;
const NAMESPACE = 'hands';

const POLICY = `
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: { name: api, namespace: ${NAMESPACE} }
spec:
  subject: { workload: Deployment/api }
  ingress:
    - name: from-web
      from: [{ workload: Deployment/web }, { workload: Pod/probe }]
`;

/** `web` may open to the meter, which is on the network of its node, and to nobody else of the node. */
const METERED = `
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: { name: meter, namespace: ${NAMESPACE} }
spec:
  subject: { workload: Pod/meter }
  ingress: [{ name: from-web, from: [{ workload: Deployment/web }] }]
---
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: { name: web, namespace: ${NAMESPACE} }
spec:
  subject: { workload: Deployment/web }
  egress: [{ name: to-meter, to: [{ workload: Pod/meter }] }]
`;
const KUBELET = 10250;

/** On the network of its node. */
const hostPod = (name: string, node: string, command = IDLE) => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: ${NAMESPACE} }
spec:
  hostNetwork: true
  nodeName: ${node}
  terminationGracePeriodSeconds: 0
  containers:
    - name: ${name}
      image: docker.io/library/${IMAGE}
      imagePullPolicy: Never
      command: ${JSON.stringify(command)}
`;

describe('agents of a cluster', function () {
  this.timeout(300_000);
  let town: Cluster;
  let shop: Shop;

  const deployer = (verb: 'up' | 'down', ...options: readonly string[]): Promise<Outcome> =>
    attempt(
      [
        process.execPath,
        join(ROOT, 'packaging/deploy-cluster/main.ts'),
        verb,
        '--kubeconfig',
        town.kubeconfig,
        ...options,
      ],
      { timeout: 280_000 },
    );

  const field = async (what: readonly string[], path: string) =>
    (await town.kubectl('get', ...what, '-o', `jsonpath={${path}}`)).trim();
  const agentOf = (node: string) =>
    field(
      [
        'pods',
        '-n',
        SYSTEM,
        '-l',
        'app.kubernetes.io/name=sallyport-agent',
        '--field-selector',
        `spec.nodeName=${node}`,
      ],
      '.items[?(@.status.phase=="Running")].metadata.name',
    );
  /** What the CLI says beside the agent of a node. */
  const ask = async <T>(node: string, ...words: readonly string[]): Promise<T> => {
    const command = [
      'exec',
      '-n',
      SYSTEM,
      await agentOf(node),
      '-c',
      'agent',
      '--',
      'sallyport',
      ...words,
      '-o',
      'json',
    ];
    return JSON.parse(await town.kubectl(...command)) as T;
  };
  const connected = () =>
    waitFor(
      'every agent is connected with the other',
      async () => {
        const all = await Promise.all(
          town.nodes.map((node) => ask<PeerAgentView[]>(node, 'peer', 'agents').catch(() => [])),
        );
        return all.every((agents) => agents.length === town.nodes.length - 1 && agents.every(isConnected));
      },
      PATIENCE_MS,
    );
  const isConnected = ({ state }: PeerAgentView) => state === 'connected';

  /** One datagram, and whether it was answered. */
  const datagram = async (from: Pod, address: string): Promise<string> => {
    const words = ['--address', address, '--port', `${PORT}`, '--udp', '--exchange', '--timeout', '4000'];
    const { status } = await town.attempt(['exec', '-n', NAMESPACE, from.name, '--', 'traffic', 'connect', ...words]);
    return ['ok', 'refused', 'timeout', 'unreachable'][status ?? -1] ?? 'error';
  };
  /** Of two workloads, one pod each, on different nodes. */
  const apart = async (one: string, other: string): Promise<readonly [Pod, Pod]> => {
    const [from, to] = [(await shop.pods(one))[0]!, (await shop.pods(other)).at(-1)!];
    assert.notEqual(from.node, to.node);
    return [from, to];
  };
  const enforced = async (policy: string): Promise<void> => {
    const condition = '.status.conditions[?(@.type=="Enforced")].status';
    const words = ['wnp', policy, '-n', NAMESPACE];
    await waitFor(`${policy} is enforced`, async () => (await field(words, condition)) === 'True', PATIENCE_MS);
  };
  const records = (node: string) => ask<HandshakeRecordView[]>(node, 'handshake', 'records', '--result', 'refused');

  before(async () => {
    town = await cluster();
    shop = new Shop(town, NAMESPACE);
    await run([process.execPath, join(ROOT, 'packaging/image/main.ts')], { timeout: 180_000 });
    await shop.open();
    const gates = ['--agent-set', 'gate.cgroups=["/**/$(NODE_NAME)/**/{id}"]'];
    const { status, stdout, stderr } = await deployer('up', ...gates);
    assert.equal(status, 0, stdout + stderr);
  });

  after(async () => {
    await deployer('down');
    await shop.close();
  });

  it('have certificates of their nodes, and are connected, with nobody having configured them', async () => {
    await connected();
    for (const node of town.nodes) {
      const [other] = await ask<PeerAgentView[]>(node, 'peer', 'agents');
      assert.equal(
        other?.name,
        town.nodes.find((name) => name !== node),
      );
      const key = ['stat', '-c', '%a', '/var/lib/sallyport/tls/agent.key'];
      const inside = ['exec', '-n', SYSTEM, await agentOf(node), '-c', 'agent', '--'];
      assert.equal((await town.kubectl(...inside, ...key)).trim(), '600');
    }
    const states = await field(
      ['csr'],
      '.items[?(@.spec.signerName=="sallyport.dev/agent")].status.conditions[*].type',
    );
    assert.match(states, /^Approved( Approved)+$/);
  });

  it('deny no datagram that nobody denies', async () => {
    const [stranger, api] = await apart('stranger', 'api');
    assert.equal(await datagram(stranger, api.address), 'ok');
  });

  it('agree on the first datagram between two nodes, and deliver it', async () => {
    await town.apply(POLICY);
    await enforced('api');
    const [web, api] = await apart('web', 'api');
    assert.equal(await datagram(web, api.address), 'ok');
    for (const [node, workload] of [
      [web.node, `${NAMESPACE}/Deployment/api`],
      [api.node, `${NAMESPACE}/Deployment/web`],
    ] as const) {
      const peers = await ask<PeerView[]>(node, 'peer', 'list');
      const peer = peers.find(({ remoteWorkload }) => remoteWorkload?.startsWith(workload));
      assert.equal(peer?.kind, 'verified', JSON.stringify(peers));
    }
  });

  it('refuse one that policy denies, and both have a record of it', async () => {
    const [stranger, api] = await apart('stranger', 'api');
    assert.notEqual(await datagram(stranger, api.address), 'ok');
    for (const node of [stranger.node, api.node]) {
      const found = (await records(node)).find(({ source }) => source.address === stranger.address);
      assert.ok(found !== undefined, `no record on ${node}`);
      assert.deepEqual([found.source.workload, found.source.node], [`${NAMESPACE}/Deployment/stranger`, stranger.node]);
      assert.equal(found.destination.workload, `${NAMESPACE}/Deployment/api`);
      assert.equal(found.reason, 'policy');
    }
  });

  it('agree on what pods on the network of their node send, each by its own name', async () => {
    const [{ node }, api] = await apart('web', 'api');
    const pods = ['probe', 'other'].map((name) => ({ name, node, address: '' }));
    await town.apply(pods.map(({ name }) => hostPod(name, node)).join('---'));
    const ready = ['--for=condition=Ready', '-n', NAMESPACE, '--timeout=60s'];
    await town.kubectl('wait', ...ready, ...pods.map(({ name }) => `pod/${name}`));
    const [probe, other] = pods;
    assert.ok(probe !== undefined && other !== undefined);
    assert.equal(await datagram(probe, api.address), 'ok');
    assert.notEqual(await datagram(other, api.address), 'ok');
    const found = (await records(node)).find(({ source }) => source.workload === `${NAMESPACE}/Pod/other`);
    assert.equal(found?.reason, 'policy');
  });

  it('need not be asked who opens by TCP to a pod on the network of another node, or that it is this one', async () => {
    const [web, { node }] = await apart('web', 'api');
    const [stranger] = await apart('stranger', 'api');
    await town.apply(hostPod('meter', node, SERVE));
    await town.kubectl('wait', '--for=condition=Ready', '-n', NAMESPACE, '--timeout=60s', 'pod/meter');
    await town.apply(METERED);
    for (const name of ['meter', 'web']) await enforced(name);
    const address = await field(['node', node], '.status.addresses[?(@.type=="InternalIP")].address');
    const kubelet = async ({ name }: Pod) => {
      const open = ['traffic', 'connect', '--address', address, '--port', `${KUBELET}`, '--timeout', '4000'];
      return outcomeOf((await town.attempt(['exec', '-n', NAMESPACE, name, '--', ...open])).status);
    };
    try {
      assert.equal(await shop.connects(web.name, address), 'ok');
      assert.notEqual(await shop.connects(stranger.name, address), 'ok');
      assert.equal(await kubelet(stranger), 'ok');
      assert.notEqual(await kubelet(web), 'ok');
    } finally {
      await town.kubectl('delete', 'wnp', 'meter', 'web', '-n', NAMESPACE);
      await town.kubectl('delete', 'pod', 'meter', '-n', NAMESPACE);
    }
  });

  it('go on while one of them is replaced, with no manager there: what is verified stays so, and it keeps its certificate', async () => {
    const [web, api] = await apart('web', 'api');
    const words = ['--address', api.address, '--port', `${PORT}`, '--udp', '--interval', '20', '--duration', '25000'];
    const held = ['exec', '-n', NAMESPACE, web.name, '--', 'traffic', 'hold-open', ...words];
    const conversation = town.attempt(held, { timeout: 90_000 });
    await town.kubectl('scale', 'deployment/sallyport-manager', '-n', SYSTEM, '--replicas=0');
    await waitFor(
      'the managers are gone',
      async () =>
        (await field(
          ['pods', '-n', SYSTEM, '-l', 'app.kubernetes.io/name=sallyport-manager'],
          '.items[*].metadata.name',
        )) === '',
      PATIENCE_MS,
    );
    const before = await agentOf(web.node);
    await town.kubectl('delete', 'pod', before, '-n', SYSTEM);
    await waitFor('another agent runs', async () => !['', before].includes(await agentOf(web.node)), PATIENCE_MS);
    await connected();
    const { stdout, stderr } = await conversation;
    const told = stdout.split('\n').find((line) => line.startsWith('{'));
    assert.ok(told !== undefined, stderr);
    const { exchanges, lost } = JSON.parse(told) as { exchanges: number; lost: number };
    assert.ok(exchanges > 100, told);
    assert.equal(lost, 0, told);
    await town.kubectl('scale', 'deployment/sallyport-manager', '-n', SYSTEM, '--replicas=2');
  });

  it('get no certificate of another node: not with their own token, nor anybody with any other', async () => {
    const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const requests = { own: town.nodes[0]!, other: town.nodes[1]! };
    const pod = await agentOf(requests.own);
    const uid = await field(['pod', pod, '-n', SYSTEM], '.metadata.uid');
    const token = async (bound: object): Promise<string> => {
      const path = `/api/v1/namespaces/${SYSTEM}/serviceaccounts/sallyport-agent/token`;
      const wanted = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: bound };
      const { stdout, stderr } = await town.attempt(['create', '--raw', path, '-f', '-'], {
        input: JSON.stringify(wanted),
      });
      assert.notEqual(stdout, '', stderr);
      return (JSON.parse(stdout) as { status: { token: string } }).status.token;
    };
    const ofPod = await token({ boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: pod, uid } });
    const ofAccount = await token({});
    const asked = async (name: string, node: string, bearer: string | undefined, approve = false) => {
      const request = requestOf(keys.privateKey, keys.publicKey, { name: node, uris: [agentUri(DOMAIN, node)] });
      const object = {
        apiVersion: 'certificates.k8s.io/v1',
        kind: 'CertificateSigningRequest',
        metadata: { name, labels: { 'app.kubernetes.io/managed-by': 'sallyport' } },
        spec: {
          request: Buffer.from(request).toString('base64'),
          signerName: 'sallyport.dev/agent',
          usages: ['digital signature', 'client auth', 'server auth'],
        },
      };
      const who = bearer === undefined ? [] : ['--token', bearer];
      const { status, stderr } = await town.attempt([...who, 'create', '-f', '-'], { input: JSON.stringify(object) });
      assert.equal(status, 0, stderr);
      if (approve) await town.attempt(['certificate', 'approve', name]);
      const said = async () => {
        const conditions = await field(['csr', name], '.status.conditions[*].reason');
        const signed = await field(['csr', name], '.status.certificate');
        return signed === '' ? conditions.split(' ').at(-1)! : 'signed';
      };
      let answer = '';
      await waitFor(
        `${name} is answered`,
        async () => {
          answer = await said();
          return answer !== '' && answer !== 'KubectlApprove' && answer !== 'AgentOfItsNode';
        },
        PATIENCE_MS,
      );
      return answer;
    };
    assert.equal(await asked('hands-own', requests.own, ofPod), 'signed');
    assert.equal(await asked('hands-other', requests.other, ofPod), 'WrongNode');
    assert.equal(await asked('hands-account', requests.own, ofAccount), 'NoPod');
    assert.equal(await asked('hands-admin', requests.own, undefined), 'NotAnAgent');
    assert.equal(await asked('hands-approved', requests.own, undefined, true), 'NotAnAgent');
  });
});
