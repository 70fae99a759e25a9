/** A full node: 250 endpoints, each with a policy of its own, 10,000 rules in all. What its agent costs and does. */

import { createNode, type Node } from '../../test/rig/node.ts';
import { Agent } from '../agent.ts';
import { denyPort, manyRules } from '../policies.ts';
import type { BenchRecord, ScenarioName } from '../record.ts';
import { median, percentile, round } from '../statistics.ts';
import { timed } from '../subject.ts';
import { PORTS } from '../topology.ts';
import { changeDelays } from './policy-latency.ts';

const ENDPOINTS = 250;
const RULES = 10_000;

/** Scenarios that a full node has something to say to. */
export const FULL_NODE_SCENARIOS: readonly ScenarioName[] = ['memory', 'start', 'policy-latency'];

export async function fullNode(scenarios: readonly ScenarioName[]): Promise<BenchRecord[]> {
  const node = await createNode({ name: 'full' });
  let agent: Agent | undefined;
  try {
    await fill(node);
    agent = new Agent(node.host, [...node.endpoints.values()].map(workloadOf));
    for (const endpoint of node.endpoints.values()) {
      const [policy] = manyRules(RULES / ENDPOINTS, workloadOf(endpoint).workload, 'Unit/e0');
      agent.writePolicy(`${endpoint.name}.yaml`, policy!.text.replace('name: rules-0', `name: ${endpoint.name}`));
    }
    const took = await timed(async () => {
      agent!.start();
      await agent!.enforcing(ENDPOINTS, ENDPOINTS, 120_000);
    });
    const records = [record('start', `all-${ENDPOINTS}-endpoints`, 'ms', took)];
    const idle = await memoryOver(agent, 5);
    if (scenarios.includes('policy-latency')) records.push(...(await latency(node, agent)));
    records.push(
      record('memory', 'rss', 'MB', median(idle) / 1e6),
      record('memory', 'rss-most', 'MB', Math.max(...idle, agent.memory) / 1e6),
    );
    return records.filter(({ scenario }) => scenarios.includes(scenario));
  } finally {
    agent?.close();
    node.close();
  }
}

function record(scenario: ScenarioName, metric: string, unit: string, value: number): BenchRecord {
  return { scenario, subject: 'sallyport', rules: RULES, metric, unit, value: round(value), ratio: null };
}

function workloadOf({ name, cgroup }: { name: string; cgroup: { name: string } }) {
  return { cgroup: cgroup.name, workload: `bench/Unit/${name}` };
}

/** Adds endpoints `e0`, `e1`…, in each of which something runs. */
export async function fill(node: Node, count: number = ENDPOINTS): Promise<void> {
  const names = Array.from({ length: count }, (_, index) => `e${index}`);
  const makers = Array.from({ length: 4 }, async () => {
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      const endpoint = await node.createEndpoint(name);
      await endpoint.start(['/bin/sh', '-c', 'echo up; exec sleep 2147483647']).output(/up/);
    }
  });
  await Promise.all(makers);
}

/** One sample a second. */
async function memoryOver(agent: Agent, seconds: number): Promise<number[]> {
  const samples = [agent.memory];
  for (let second = 0; second < seconds; second += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    samples.push(agent.memory);
  }
  return samples;
}

/** Of a change to one of the 250 policies' subjects. */
async function latency(node: Node, agent: Agent): Promise<BenchRecord[]> {
  const [client, server] = [node.endpoints.get('e0')!, node.endpoints.get('e1')!];
  const delays = await changeDelays(client, server, server.ipv4, async (blocked) => {
    if (blocked) agent.writePolicy('blocked.yaml', denyPort(workloadOf(server).workload, PORTS.probe));
    else agent.removePolicy('blocked.yaml');
  });
  return [
    record('policy-latency', `p50-of-${ENDPOINTS}`, 'ms', percentile(delays, 0.5)),
    record('policy-latency', `p99-of-${ENDPOINTS}`, 'ms', percentile(delays, 0.99)),
  ];
}
