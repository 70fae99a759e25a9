/** The scenarios that send traffic for a moment and are repeated in rounds. */

import * as traffic from '../../test/rig/traffic.ts';
import type { Measurement } from '../record.ts';
import type { RoundScenario } from '../rounds.ts';
import { MEASURED_CPU, OTHER_CPU, onCpu, PORTS, startServers, type Topology } from '../topology.ts';

export type TrafficScenario = RoundScenario<Topology>;

const SLICE_MS = 200;

/**
 * Client and server on CPUs of their own, as containers mostly are; then both on one, where neither the waking of an
 * idle CPU nor what else the machine does is in the result: what remains is the work of a packet's way.
 */
export async function latencies(
  topology: Topology,
  slice: (client: traffic.Runner) => Promise<traffic.Latencies>,
): Promise<Measurement[]> {
  const servers = await startServers(topology);
  try {
    const apart = await slice(onCpu(topology.client, OTHER_CPU));
    const together = await slice(onCpu(topology.client, MEASURED_CPU));
    for (const { operations, errors } of [apart, together]) {
      if (operations === 0) throw new Error(`bench: no operation succeeded, ${errors} failed`);
    }
    return [
      { metric: 'p50', unit: 'µs', value: apart.p50Ns / 1000 },
      { metric: 'p99', unit: 'µs', value: apart.p99Ns / 1000 },
      { metric: 'rate', unit: '1/s', value: apart.perSecond },
      { metric: 'p50-one-cpu', unit: 'µs', value: together.p50Ns / 1000 },
      { metric: 'errors', unit: '', value: apart.errors + together.errors },
    ];
  } finally {
    servers.close();
  }
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

/** Connections that ask one thing. */
export function crr(topology: Topology): Promise<Measurement[]> {
  return latencies(topology, (client) =>
    traffic.crr(client, { address: topology.server.ipv4, port: PORTS.once }, { durationMs: SLICE_MS }),
  );
}

export const trafficScenarios: readonly TrafficScenario[] = [
  { name: 'crr', rounds: 9, measure: crr },
  {
    name: 'rr',
    rounds: 9,
    measure: (topology) =>
      latencies(topology, (client) =>
        traffic.rr(client, { address: topology.server.ipv4, port: PORTS.echo }, { durationMs: SLICE_MS }),
      ),
  },
  { name: 'stream1', rounds: 7, measure: (topology) => throughput(topology, 1) },
  { name: 'stream4', rounds: 7, measure: (topology) => throughput(topology, 4) },
  {
    name: 'udp-pps',
    rounds: 7,
    async measure({ client, server }) {
      const receiver = await traffic.udpReceive(onCpu(server, OTHER_CPU), {
        port: PORTS.udpSink,
        durationMs: 2 * SLICE_MS,
      });
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
