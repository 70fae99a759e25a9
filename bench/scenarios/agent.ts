/** What the agent itself costs: its memory on a full node, and the time from its start to the first packet it judges. */

import { createNode, type Endpoint, type Node } from '../../test/rig/node.ts';
import * as traffic from '../../test/rig/traffic.ts';
import { Agent } from '../agent.ts';
import { denyPort, manyRules } from '../policies.ts';
import type { BenchRecord, ScenarioName } from '../record.ts';
import { median, round } from '../statistics.ts';
import { timed } from '../subject.ts';
import { CLIENT, SERVER, sizesFor } from '../subjects/sallyport.ts';
import { createTopology, PORTS } from '../topology.ts';

const ENDPOINTS = 250;
const RULES = 10_000;
const STARTS = 5;

export interface AgentScenario {
  readonly name: ScenarioName;
  measure(): Promise<BenchRecord[]>;
}

export const agentScenarios: readonly AgentScenario[] = [
  { name: 'memory', measure: memory },
  { name: 'start', measure: start },
];

function record(scenario: ScenarioName, rules: number, metric: string, unit: string, value: number): BenchRecord {
  return { scenario, subject: 'sallyport', rules, metric, unit, value: round(value), ratio: null };
}

/** 250 endpoints, each with a policy of its own; 10,000 rules in all. */
async function memory(): Promise<BenchRecord[]> {
  const node = await createNode({ name: 'memory' });
  let agent: Agent | undefined;
  try {
    await fill(node);
    const workloads = [...node.endpoints.values()].map(({ name, cgroup }) => ({
      cgroup: cgroup.name,
      workload: `bench/Unit/${name}`,
    }));
    agent = new Agent(node.host, workloads);
    for (const { workload } of workloads) {
      const [policy] = manyRules(RULES / ENDPOINTS, workload, 'Unit/e0');
      const name = workload.split('/')[2]!;
      agent.writePolicy(`${name}.yaml`, policy!.text.replace('name: rules-0', `name: ${name}`));
    }
    const took = await timed(async () => {
      agent!.start();
      await agent!.enforcing(ENDPOINTS, ENDPOINTS, 120_000);
    });
    const samples: number[] = [agent.memory];
    for (let second = 0; second < 5; second += 1) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      samples.push(agent.memory);
    }
    return [
      record('memory', RULES, 'rss', 'MB', median(samples) / 1e6),
      record('memory', RULES, 'rss-most', 'MB', Math.max(...samples) / 1e6),
      record('start', RULES, `enforcing-${ENDPOINTS}-endpoints`, 'ms', took),
    ];
  } finally {
    agent?.close();
    node.close();
  }
}

async function fill(node: Node): Promise<void> {
  const names = Array.from({ length: ENDPOINTS }, (_, index) => `e${index}`);
  const makers = Array.from({ length: 4 }, async () => {
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      const endpoint = await node.createEndpoint(name);
      await endpoint.start(['/bin/sh', '-c', 'echo up; exec sleep 2147483647']).output(/up/);
    }
  });
  await Promise.all(makers);
}

/** From starting the process to the first packet that is refused because of it. */
async function start(): Promise<BenchRecord[]> {
  const rules = 1_000;
  const delays: number[] = [];
  for (let turn = 0; turn < STARTS; turn += 1) {
    const { node, client, server, close } = await createTopology(`start-${turn}`);
    let agent: Agent | undefined;
    try {
      for (const endpoint of [client, server]) {
        await endpoint.start(['/bin/sh', '-c', 'echo up; exec sleep 2147483647']).output(/up/);
      }
      const workloads = [
        { cgroup: client.cgroup.name, workload: CLIENT },
        { cgroup: server.cgroup.name, workload: SERVER },
      ];
      agent = new Agent(node.host, workloads, sizesFor(rules));
      const files = manyRules(rules, SERVER, 'Unit/client');
      for (const { file, text } of files) agent.writePolicy(file, text);
      agent.writePolicy('blocked.yaml', denyPort(SERVER, PORTS.probe));
      await traffic.serve(server, { udp: String(PORTS.probe) });
      const at = process.hrtime.bigint();
      agent.start();
      delays.push(Number((await firstRefusal(client, server.ipv4)) - at) / 1e6);
    } finally {
      agent?.close();
      close();
    }
  }
  return [
    record('start', rules, 'first-refusal', 'ms', median(delays)),
    record('start', rules, 'first-refusal-most', 'ms', Math.max(...delays)),
  ];
}

/** When the first datagram went that was not answered. Each is a flow of its own, which nobody has judged before. */
async function firstRefusal(client: Endpoint, address: string): Promise<bigint> {
  for (;;) {
    const at = process.hrtime.bigint();
    const target = { address, port: PORTS.probe, udp: true };
    if ((await traffic.connect(client, target, { timeoutMs: 50 })).result !== 'ok') return at;
  }
}
