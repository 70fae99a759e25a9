/** An agent on a node of a real cluster: names, policies by kubectl, reports, and the API server's being away. */

import { strict as assert } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { EndpointView, PolicyView, StatusView } from '../../src/agent/api/contract.ts';
import type { NodeReportResource } from '../../src/model/schema/node-report.ts';
import { waitFor } from '../rig/cleanup.ts';
import { IMAGE } from '../rig/image.ts';
import { attempt, Background, run } from '../rig/process.ts';
import { type Cluster, cluster, type Description } from './cluster.ts';
import { Relay } from './relay.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const NAMESPACE = 'agent-suite';
/** In the node's own file systems. */
const HOME = '/run/sallyport-agent-suite';
const PATIENCE_MS = 60_000;

const container = (name: string, port: number, more = '') => `
        - name: ${name}
          image: docker.io/library/${IMAGE}
          imagePullPolicy: Never
          command: [httpd, -f, -p, "${port}", -h, /tmp]
          ports: [{ name: ${name}, containerPort: ${port} }]${more}`;

const deployment = (name: string, node: string, containers: string) => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: ${NAMESPACE} }
spec:
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      nodeName: ${node}
      terminationGracePeriodSeconds: 0
      containers:${containers}
`;

const PROBE = `
          readinessProbe: { tcpSocket: { port: main }, periodSeconds: 1, failureThreshold: 2 }`;

const CLOSED = `
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: { name: closed, namespace: ${NAMESPACE} }
spec:
  subject: { workload: Deployment/web, container: main }
  ingress: []
`;

const ONLY_SIDE = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: only-side, namespace: ${NAMESPACE} }
spec:
  podSelector: { matchLabels: { app: web } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: client } } }], ports: [{ port: side }] }]
`;

describe('an agent of a cluster', function () {
  this.timeout(240_000);
  let ground: Cluster;
  let node: Description['nodes'][number];
  let directory: string;
  let relay: Relay;
  let agent: Background | undefined;

  const onNode = (command: readonly string[]): string[] => [
    ...['nsenter', '--target', String(node.pid), '--mount', '--net', '--uts', '--'],
    ...command,
  ];
  const ask = async <T>(...args: string[]): Promise<T> =>
    JSON.parse(
      await run(onNode([`${ROOT}/bin/sallyport`, '--socket', `${HOME}/agent.sock`, ...args, '-o', 'json'])),
    ) as T;
  const status = (): Promise<StatusView> => ask('status');
  const endpoints = (): Promise<EndpointView[]> => ask('endpoint', 'list');

  async function start(): Promise<void> {
    const cgroup = dirname(/^0::(.*)$/m.exec(readFileSync(`/proc/${node.pid}/cgroup`, 'utf8'))![1]!);
    const settings = {
      node: node.name,
      'datapath.pins': '/sys/fs/bpf/sallyport-agent-suite',
      'policies.directory': `${HOME}/policies`,
      'state.directory': `${HOME}/state`,
      'api.socket': `${HOME}/agent.sock`,
      'metrics.address': 'off',
      'sources.docker.enabled': 'false',
      'sources.cri.enabled': 'true',
      'kubernetes.enabled': 'true',
      'kubernetes.kubeconfig': join(directory, 'kubeconfig'),
      'kubernetes.wait': '2s',
      'gate.cgroups': JSON.stringify([`${cgroup}/**/{id}`]),
    };
    const set = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    agent = new Background(onNode([`${ROOT}/bin/sallyport`, 'agent', ...set]));
    await waitFor(
      'the agent is ready',
      async () => (await status().catch(() => undefined))?.ready === true,
      PATIENCE_MS,
    );
  }

  async function stop(): Promise<void> {
    agent?.kill('SIGTERM');
    await agent?.exited;
    agent = undefined;
  }

  const podsOf = async (app: string): Promise<{ name: string; address: string }[]> => {
    const path = '{range .items[*]}{.metadata.name} {.status.podIP}{"\\n"}{end}';
    const out = await ground.kubectl('get', 'pods', '-n', NAMESPACE, '-l', `app=${app}`, '-o', `jsonpath=${path}`);
    return out
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split(' '))
      .map(([name = '', address = '']) => ({ name, address }));
  };

  /** Whether the client gets an answer from a pod's port. */
  async function reaches(address: string, port: number): Promise<boolean> {
    const script = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${address} ${port}`;
    const args = ['exec', '-n', NAMESPACE, 'deploy/client', '--', 'sh', '-c', script];
    return (await ground.attempt(args)).stdout.startsWith('HTTP/');
  }

  const untilReaches = (address: string, port: number, is: boolean): Promise<void> =>
    waitFor(
      `${address}:${port} ${is ? 'answers' : 'does not answer'}`,
      async () => (await reaches(address, port)) === is,
      PATIENCE_MS,
    );

  const ready = async (app: string): Promise<boolean> => {
    const path = 'jsonpath={.status.replicas} {.status.readyReplicas}';
    const [all, up] = (await ground.kubectl('get', '-n', NAMESPACE, `deploy/${app}`, '-o', path)).split(' ');
    return all !== undefined && all === up;
  };

  before(async () => {
    ground = await cluster();
    const { nodes } = JSON.parse(readFileSync(join(dirname(ground.kubeconfig), 'nodes.json'), 'utf8')) as Description;
    node = nodes[0]!;
    directory = mkdtempSync(join(tmpdir(), 'sallyport-test-agent-'));
    relay = await Relay.beside(ground.kubeconfig, join(directory, 'kubeconfig'));
    // Kubernetes 1.20 does not know rules of validation, and ignores them.
    await ground.kubectl('apply', '--validate=false', '-f', join(ROOT, 'k8s/crds'));
    await ground.kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s');
    await ground.kubectl('create', 'namespace', NAMESPACE);
    await start();
  });

  after(async () => {
    await stop();
    await attempt(
      onNode([
        `${ROOT}/bin/sallyport`,
        'agent',
        '--remove',
        '--set',
        'datapath.pins=/sys/fs/bpf/sallyport-agent-suite',
        '--set',
        `api.socket=${HOME}/agent.sock`,
      ]),
    );
    await attempt(onNode(['rm', '-rf', HOME]));
    await relay?.cut();
    await ground?.attempt(['delete', 'namespace', NAMESPACE, '--wait=false']);
    await ground?.attempt(['delete', 'nodereport', node.name, '--ignore-not-found']);
    rmSync(directory, { recursive: true });
  });

  it('knows the containers of a deployment by its name, from their beginning', async () => {
    await ground.apply(
      [
        deployment('web', node.name, container('main', 8080, PROBE) + container('side', 9090)),
        deployment('client', node.name, container('idle', 7070)),
      ].join('---'),
    );
    await ground.kubectl('rollout', 'status', '-n', NAMESPACE, 'deploy/web', 'deploy/client', '--timeout=90s');
    const mine = (await endpoints()).filter(({ namespace }) => namespace === NAMESPACE);
    assert.deepEqual(mine.map(({ kind, name }) => `${kind}/${name}`).sort(), ['Deployment/client', 'Deployment/web']);
    const web = mine.find(({ name }) => name === 'web')!;
    assert.equal(web.enforced, true);
    assert.deepEqual(web.containers.map(({ name }) => name).sort(), ['main', 'side']);
    const [{ address } = assert.fail()] = await podsOf('web');
    for (const port of [8080, 9090]) assert.equal(await reaches(address, port), true);
  });

  it('enforces what kubectl applies, in the container it is about, and ends it when that is deleted', async () => {
    const [{ address } = assert.fail()] = await podsOf('web');
    await ground.apply(CLOSED);
    await untilReaches(address, 8080, false);
    const listed = await ask<PolicyView[]>('policy', 'get');
    const closed = listed.find(({ name }) => name === 'closed');
    assert.equal(closed?.file, `kubernetes/WorkloadNetworkPolicy/${NAMESPACE}/closed.json`);
    assert.ok(listed.some(({ file }) => file === 'built in'));
    const reported = async () => {
      const report = JSON.parse(
        await ground.kubectl('get', 'nodereport', node.name, '-o', 'json'),
      ) as NodeReportResource;
      return report.status?.policies.find(({ name }) => name === 'closed')?.state === 'Enforced';
    };
    await waitFor('the node reports it', reported, PATIENCE_MS);
    // The kubelet goes on reaching what it probes.
    for (let i = 0; i < 4; i++) {
      await new Promise((done) => setTimeout(done, 1_000));
      assert.equal(await ready('web'), true);
    }
    await ground.kubectl('delete', '-n', NAMESPACE, 'workloadnetworkpolicy', 'closed');
    await untilReaches(address, 8080, true);
  });

  it("enforces Kubernetes' own policies by labels and names of ports", async () => {
    const [{ address } = assert.fail()] = await podsOf('web');
    await ground.apply(ONLY_SIDE);
    await untilReaches(address, 8080, false);
    assert.equal(await reaches(address, 9090), true);
  });

  it('goes on while the API server is away: with what is enforced, and with new pods of what it knows', async () => {
    await relay.cut();
    const away = async () => (await status()).sources.some(({ name, healthy }) => name === 'kubernetes' && !healthy);
    await waitFor('the agent has noticed', away, PATIENCE_MS);
    await ground.kubectl('scale', '-n', NAMESPACE, 'deploy/web', '--replicas=2');
    await ground.kubectl('rollout', 'status', '-n', NAMESPACE, 'deploy/web', '--timeout=90s');
    const known = (await endpoints()).filter(({ namespace, name }) => namespace === NAMESPACE && name === 'web');
    assert.deepEqual(
      known.map(({ kind, enforced }) => `${kind} ${enforced}`),
      ['Deployment true', 'Deployment true'],
    );
    for (const { address } of await podsOf('web')) {
      assert.equal(await reaches(address, 8080), false);
      assert.equal(await reaches(address, 9090), true);
    }
  });

  it('begins anew while the API server is away, with what was in force', async () => {
    await stop();
    await start();
    for (const { address } of await podsOf('web')) {
      assert.equal(await reaches(address, 8080), false);
      assert.equal(await reaches(address, 9090), true);
    }
    await ground.kubectl('delete', '-n', NAMESPACE, 'networkpolicy', 'only-side');
    await relay.open();
    for (const { address } of await podsOf('web')) await untilReaches(address, 8080, true);
    const works = async () => (await status()).sources.every(({ healthy }) => healthy);
    await waitFor('all sources work again', works, PATIENCE_MS);
  });
});
