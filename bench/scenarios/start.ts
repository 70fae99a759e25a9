/** From the agent's start to the first packet it refuses. */

import type { Endpoint } from '../../test/rig/node.ts';
import * as traffic from '../../test/rig/traffic.ts';
import { Agent } from '../agent.ts';
import { denyPort, manyRules } from '../policies.ts';
import type { BenchRecord } from '../record.ts';
import { median, round } from '../statistics.ts';
import { CLIENT, SERVER, sizesFor } from '../subjects/sallyport.ts';
import { createTopology, PORTS } from '../topology.ts';

const RULES = 1_000;
const STARTS = 5;

export async function start(): Promise<BenchRecord[]> {
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
      agent = new Agent(node.host, workloads, sizesFor(RULES));
      const files = manyRules(RULES, SERVER, 'Unit/client');
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
  const common = { scenario: 'start', subject: 'sallyport', rules: RULES, unit: 'ms', ratio: null } as const;
  return [
    { ...common, metric: 'first-refusal', value: round(median(delays)) },
    { ...common, metric: 'first-refusal-most', value: round(Math.max(...delays)) },
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
