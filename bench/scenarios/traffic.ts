/** The scenarios that send traffic for a moment and are repeated in rounds. */

import * as traffic from '../../test/rig/traffic.ts';
import type { Measurement, ScenarioName } from '../record.ts';
import { MEASURED_CPU, onCpu, PORTS, startServers, type Topology } from '../topology.ts';

export interface TrafficScenario {
  readonly name: ScenarioName;
  readonly rounds: number;
  /** One round of one contestant. */
  measure(topology: Topology): Promise<readonly Measurement[]>;
}

const SLICE_MS = 250;

function latencies(result: traffic.Latencies): Measurement[] {
  if (result.operations === 0) throw new Error(`bench: no operation succeeded, ${result.errors} failed`);
  return [
    { metric: 'p50', unit: 'µs', value: result.p50Ns / 1000 },
    { metric: 'p99', unit: 'µs', value: result.p99Ns / 1000 },
    { metric: 'rate', unit: '1/s', value: result.perSecond },
    { metric: 'errors', unit: '', value: result.errors },
  ];
}

async function throughput({ client, server }: Topology, parallel: number): Promise<Measurement[]> {
  const sink = await traffic.serve(server, { tcpSink: String(PORTS.sink) });
  try {
    const target = { address: server.ipv4, port: PORTS.sink };
    const { bitsPerSecond } = await traffic.stream(client, target, { parallel, durationMs: 2 * SLICE_MS });
    return [{ metric: 'throughput', unit: 'Gbit/s', value: bitsPerSecond / 1e9 }];
  } finally {
    sink.close();
  }
}

async function withServers<T>(topology: Topology, work: (client: traffic.Runner) => Promise<T>): Promise<T> {
  const servers = await startServers(topology);
  try {
    return await work(onCpu(topology.client, MEASURED_CPU));
  } finally {
    servers.close();
  }
}

export const trafficScenarios: readonly TrafficScenario[] = [
  {
    name: 'crr',
    rounds: 11,
    measure: (topology) =>
      withServers(topology, async (client) => {
        const target = { address: topology.server.ipv4, port: PORTS.once };
        return latencies(await traffic.crr(client, target, { durationMs: SLICE_MS }));
      }),
  },
  {
    name: 'rr',
    rounds: 11,
    measure: (topology) =>
      withServers(topology, async (client) => {
        const target = { address: topology.server.ipv4, port: PORTS.echo };
        return latencies(await traffic.rr(client, target, { durationMs: SLICE_MS }));
      }),
  },
  { name: 'stream1', rounds: 7, measure: (topology) => throughput(topology, 1) },
  { name: 'stream4', rounds: 7, measure: (topology) => throughput(topology, 4) },
  {
    name: 'udp-pps',
    rounds: 7,
    async measure({ client, server }) {
      const receiver = await traffic.udpReceive(onCpu(server, 0), { port: PORTS.udpSink, durationMs: 2 * SLICE_MS });
      const target = { address: server.ipv4, port: PORTS.udpSink };
      const options = { durationMs: 2 * SLICE_MS - 50, size: 64 };
      const sent = await traffic.udpSend(onCpu(client, MEASURED_CPU), target, options);
      const received = await receiver.result();
      return [
        { metric: 'received', unit: '1/s', value: received.perSecond },
        { metric: 'sent', unit: '1/s', value: sent.perSecond },
      ];
    },
  },
];
