/**
 * Two endpoints on one node, a client and a server, joined by veths and the node's routing. Each contestant has a
 * topology of its own, all at the same time, so that measuring A, B, C, A, B, C costs no setting up in between.
 */

import { createNode, type Endpoint, type Node } from '../test/rig/node.ts';
import type { Background } from '../test/rig/process.ts';
import { type Runner, serve } from '../test/rig/traffic.ts';

export const PORTS = {
  echo: 7000,
  once: 7100,
  sink: 7200,
  udpEcho: 7300,
  udpSink: 7400,
  probe: 7301,
  silent: 7500,
} as const;

export interface Topology {
  readonly node: Node;
  readonly client: Endpoint;
  readonly server: Endpoint;
  close(): void;
}

/** One contestant's two endpoints, with servers running. */
export async function createTopology(name: string): Promise<Topology> {
  const node = await createNode({ name });
  const client = await node.createEndpoint('client');
  const server = await node.createEndpoint('server');
  // A client that connects for ever must not run out of ports that wait.
  await client.namespace.sysctl({ 'net.ipv4.ip_local_port_range': '1024 65535' });
  return { node, client, server, close: () => node.close() };
}

/** Where servers run. */
export const MEASURED_CPU = 1;
/** Where clients run that shall not share it. */
export const OTHER_CPU = 0;

/** The servers of the latency scenarios. */
export function startServers({ server }: Topology): Promise<Background> {
  return serve(onCpu(server, MEASURED_CPU), {
    tcp: String(PORTS.echo),
    tcpOnce: String(PORTS.once),
    udp: `${PORTS.udpEcho},${PORTS.probe}`,
  });
}

/** Runs commands on one CPU. */
export function onCpu(where: Runner, cpu: number): Runner {
  const pinned = (command: readonly string[]) => ['taskset', '--cpu-list', String(cpu), ...command];
  return {
    attempt: (command, options) => where.attempt(pinned(command), options),
    start: (command) => where.start(pinned(command)),
  };
}
