/** From `kubectl apply` to the first packet that fares so, in a cluster with 1,000 policies that a manager judges. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VALIDATING_WEBHOOKS, WORKLOAD_NETWORK_POLICIES } from '../../src/sources/kubernetes/resource.ts';
import { install, isReady, metric, startManager } from '../../test/cluster/manager-process.ts';
import { closeOnExit, waitFor } from '../../test/rig/cleanup.ts';
import { createNode } from '../../test/rig/node.ts';
import { Agent } from '../agent.ts';
import { ApiServer, inParallel } from '../cluster/api-server.ts';
import { member, namespaces, policyObject, workloadOf } from '../cluster/population.ts';
import type { BenchRecord } from '../record.ts';
import { percentile, round } from '../statistics.ts';
import { timed } from '../subject.ts';
import { PORTS } from '../topology.ts';
import { changeDelays } from './policy-latency.ts';

const POLICIES = 1_000;
const MANAGER = 'bench-manager';
/** As in the changes that are measured: the one whose ingress is forbidden and allowed again. */
const [CLIENT, SERVER] = [member(0), member(1)];
const BLOCKED = { namespace: SERVER.namespace, name: 'blocked' };
const FIELD_MANAGER = 'bench';

export async function applyToEnforced(): Promise<BenchRecord[]> {
  const node = await createNode({ name: 'apply' });
  const directory = mkdtempSync(join(tmpdir(), `sallyport-test-${process.pid}-`));
  const ending: (() => void)[] = [() => node.close(), closeOnExit(() => rmSync(directory, { recursive: true }))];
  try {
    const [client, server] = [await node.createEndpoint('client'), await node.createEndpoint('server')];
    for (const endpoint of [client, server]) {
      await endpoint.start(['/bin/sh', '-c', 'echo up; exec sleep 2147483647']).output(/up/);
    }
    const cluster = await ApiServer.start(node.namespace);
    ending.push(cluster.close);
    await fill(cluster);
    ending.push(await manage(cluster, directory));
    const workloads = [
      { cgroup: client.cgroup.name, workload: workloadOf(CLIENT) },
      { cgroup: server.cgroup.name, workload: workloadOf(SERVER) },
    ];
    const kubernetes = { enabled: 'true', kubeconfig: cluster.kubeconfig };
    const agent = new Agent(node.host, workloads, {}, { node: 'bench-node', kubernetes });
    ending.push(agent.close);
    agent.start();
    // One is built in.
    await agent.enforcing(2, POLICIES + 1, 120_000);
    const stored: number[] = [];
    const delays = await changeDelays(client, server, server.ipv4, async (blocked) => {
      stored.push(await timed(() => change(cluster, blocked)));
    });
    return [
      record('p50', percentile(delays, 0.5)),
      record('p99', percentile(delays, 0.99)),
      record('stored-p50', percentile(stored, 0.5)),
      record('stored-p99', percentile(stored, 0.99)),
      record('kubectl-p50', percentile(await kubectlTakes(cluster), 0.5)),
    ];
  } finally {
    for (const end of ending.reverse()) end();
  }
}

function record(metric: string, value: number): BenchRecord {
  const common = { scenario: 'apply-to-enforced', subject: 'sallyport', rules: POLICIES, unit: 'ms' } as const;
  return { ...common, metric, value: round(value), ratio: null };
}

async function fill(cluster: ApiServer): Promise<void> {
  await cluster.createNamespaces(namespaces);
  const numbers = Array.from({ length: POLICIES }, (_, n) => n);
  await inParallel(numbers, async (n) => {
    // Of the server none: it would be denied what is measured.
    const policy = policyObject(n === 1 ? POLICIES : n, POLICIES);
    await cluster.client.create(WORKLOAD_NETWORK_POLICIES, policy);
  });
}

/** The manager, with its webhook, as one process. Resolves when the API server asks it. */
async function manage(cluster: ApiServer, directory: string): Promise<() => void> {
  const ground = {
    apply: async (yaml: string) => void (await cluster.kubectl(['apply', '-f', '-'], { input: yaml })),
    kubectl: (...args: readonly string[]) => cluster.kubectl(args),
  };
  const manager = startManager(await install(ground, MANAGER, directory), 'bench', [19_843, 19_864]);
  try {
    await waitFor('the manager is ready', () => isReady(manager), 60_000);
    const there = () =>
      cluster.client.get(VALIDATING_WEBHOOKS, { name: MANAGER }).then(
        () => true,
        () => false,
      );
    await waitFor('the webhook is configured', there, 60_000);
    // It says of each policy what became of it, some of them a second.
    const idle = async () => (await metric(manager, 'sallyport_manager_queue')) === 0;
    await waitFor('the manager has said all', idle, 180_000);
    return () => manager.process.close();
  } catch (error) {
    manager.process.close();
    throw error;
  }
}

/** What `kubectl apply` and `kubectl delete` ask the server. */
async function change({ client }: ApiServer, blocked: boolean): Promise<void> {
  if (blocked) await client.apply(WORKLOAD_NETWORK_POLICIES, BLOCKING, { fieldManager: FIELD_MANAGER });
  else await client.delete(WORKLOAD_NETWORK_POLICIES, BLOCKED);
}

const BLOCKING = {
  metadata: BLOCKED,
  spec: {
    subject: { workload: `Deployment/${SERVER.name}` },
    priority: 1,
    ingress: [{ action: 'Deny', ports: [{ protocol: 'UDP', port: PORTS.probe }] }],
  },
};

/** The program itself, from its start to its end. */
async function kubectlTakes(cluster: ApiServer): Promise<number[]> {
  const { apiVersion, kind } = { apiVersion: 'sallyport.dev/v1alpha1', kind: 'WorkloadNetworkPolicy' };
  const input = JSON.stringify({ apiVersion, kind, ...BLOCKING });
  const took: number[] = [];
  for (let turn = 0; turn < 10; turn += 1) {
    took.push(await timed(() => cluster.kubectl(['apply', '--validate=false', '-f', '-'], { input })));
    await change(cluster, false);
  }
  return took;
}
