/**
 * Clients on one node and a server on another, joined by an Ethernet segment. Behind NAT every source port is a peer of
 * its own to the agents; without, an address is.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PeerAgentView } from '../src/agent/api/between-contract.ts';
import { closeOnExit, waitFor } from '../test/rig/cleanup.ts';
import { putBehindNat } from '../test/rig/nat.ts';
import { createNode, type Endpoint, type Node } from '../test/rig/node.ts';
import { run } from '../test/rig/process.ts';
import { createSegment, type Uplink } from '../test/rig/segment.ts';
import { Agent, PROGRAM } from './agent.ts';
import { ingressAndEgress } from './policies.ts';
import type { Topology } from './topology.ts';

const DOMAIN = 'bench';
const AGENT_PORT = 7350;
/** As many as it takes for `hold.rate`, which is for each, not to be what is measured. */
const CLIENTS = 4;

export interface PairPlan {
  readonly name: string;
  /** `untagged`: each knows the other by its addresses only. */
  readonly agents: 'none' | 'untagged' | 'tagged';
  readonly nat: boolean;
}

/** One end. */
interface Side {
  readonly name: string;
  readonly node: Node;
  readonly uplink: Uplink;
  /** The address the other node sees it at. */
  readonly seenAt: string;
  /** Where its endpoints are, as the other node sees them. */
  readonly network: string;
}

export interface Pair extends Topology {
  readonly clients: readonly Endpoint[];
  /** Of the clients' node and of the server's; none where the plan has none. */
  readonly agents: readonly Agent[];
  /** Of the packets between the agents so many are lost from now on: 0.01 is one in a hundred, 0 none. */
  loseBetweenAgents(share: number): Promise<void>;
}

/** Both nodes; agents are connected with each other, and the policies at both ends let the clients speak to the server. */
export async function createPair(plan: PairPlan): Promise<Pair> {
  const closers: (() => void)[] = [];
  const close = closeOnExit(() => {
    for (const one of closers.splice(0).reverse()) one();
  });
  const owned = <T extends { readonly close: () => void }>(made: T): T => {
    closers.push(made.close);
    return made;
  };
  try {
    const segment = owned(await createSegment(plan.name));
    const [west, east] = [owned(await createNode({ name: 'west' })), owned(await createNode({ name: 'east' }))];
    const clients: Endpoint[] = [];
    for (let n = 0; n < CLIENTS; n += 1) clients.push(await createEndpoint(west, `client${n}`));
    const server = await createEndpoint(east, 'server');
    const farther = await segment.connect(east);
    let sides: readonly [Side, Side];
    if (plan.nat) {
      const { uplink, boxes, visible } = owned(await putBehindNat(west, segment));
      await segment.routeTo(boxes[0]!.outside, farther);
      sides = [side(west, uplink, visible.ipv4, `${visible.ipv4}/32`), side(east, farther)];
    } else {
      sides = [side(west, await segment.connect(west)), side(east, farther)];
      await segment.routeAll();
    }
    const agents = plan.agents === 'none' ? [] : await startAgents(sides, plan.agents === 'tagged', owned);
    const loseBetweenAgents = (share: number) => lose(sides, share);
    return { node: west, client: clients[0]!, server, clients, agents, close, loseBetweenAgents };
  } catch (error) {
    close();
    throw error;
  }
}

function side(node: Node, uplink: Uplink, seenAt = uplink.ipv4, network = node.ipv4Network): Side {
  return { name: node.name, node, uplink, seenAt, network };
}

async function createEndpoint(node: Node, name: string): Promise<Endpoint> {
  const endpoint = await node.createEndpoint(name);
  await endpoint.namespace.sysctl({ 'net.ipv4.ip_local_port_range': '1024 65535' });
  // Something must run in the cgroup for the agent to learn the namespace from.
  await endpoint.start(['/bin/sh', '-c', 'echo up; exec sleep 2147483647']).output(/up/);
  return endpoint;
}

async function startAgents(
  sides: readonly [Side, Side],
  tagged: boolean,
  owned: <T extends { readonly close: () => void }>(made: T) => T,
): Promise<Agent[]> {
  const directory = mkdtempSync(join(tmpdir(), `sallyport-test-${process.pid}-`));
  owned({ close: () => rmSync(directory, { recursive: true, force: true }) });
  const keys = join(directory, 'tag-keys.json');
  await run([PROGRAM, 'ca', 'init', '--directory', join(directory, 'ca'), '--domain', DOMAIN]);
  await run([PROGRAM, 'keys', 'init', '--file', keys]);
  const started: Promise<Agent>[] = [];
  for (const [n, one] of sides.entries()) {
    const other = sides[1 - n]!;
    const trust = join(directory, one.name);
    await run([PROGRAM, 'ca', 'issue', one.name, '--directory', join(directory, 'ca'), '--out', trust]);
    const workloads = [...one.node.endpoints.values()].map(({ name, cgroup }) => ({
      cgroup: cgroup.name,
      workload: `bench/Unit/${name}`,
    }));
    const agent = owned(
      new Agent(one.node.host, workloads, {}, tagged ? between(one, other, trust, keys) : { tags: { keys: 'off' } }),
    );
    const peer = tagged ? 'names' : other.network;
    const files = workloads.map(({ workload }) => ingressAndEgress(workload, peer));
    for (const { file, text } of files) agent.writePolicy(file, text);
    agent.start();
    started.push(agent.enforcing(workloads.length, files.length).then(() => agent));
  }
  const agents = await Promise.all(started);
  if (tagged) for (const agent of agents) await connected(agent);
  return agents;
}

function between(one: Side, other: Side, trust: string, keys: string): Record<string, unknown> {
  return {
    node: one.name,
    domain: DOMAIN,
    network: { publicAddresses: one.seenAt === one.uplink.ipv4 ? [] : [one.seenAt] },
    tags: { keys },
    handshake: {
      listen: `${one.uplink.ipv4}:${AGENT_PORT}`,
      certificate: join(trust, 'agent.crt'),
      key: join(trust, 'agent.key'),
      authority: join(trust, 'authority.crt'),
      // Who is behind NAT dials, and is not dialled.
      agents: [
        {
          name: other.name,
          address: other.seenAt === other.uplink.ipv4 ? `${other.seenAt}:${AGENT_PORT}` : '',
          cidrs: [other.network],
        },
      ],
    },
  };
}

async function connected(agent: Agent): Promise<void> {
  await waitFor(
    'both agents are connected',
    async () => {
      const peers = await agent.get<readonly PeerAgentView[]>('/v1/peers/agents');
      return peers.every(({ state, inbound, identities }) => (state === 'connected' || inbound) && identities > 0);
    },
    30_000,
  );
}

/** Where they arrive, so that each TCP finds out as it would from a network. */
async function lose(sides: readonly [Side, Side], share: number): Promise<void> {
  const ports = ['--sport', '--dport'] as const;
  for (const [n, { node }] of sides.entries()) {
    const rules = ['iptables-legacy', '-w'];
    await node.host.run([...rules, '-F', 'INPUT']);
    if (share === 0) continue;
    const match = ['-p', 'tcp', ports[n]!, String(AGENT_PORT), '-m', 'statistic', '--mode', 'random'];
    await node.host.run([...rules, '-A', 'INPUT', ...match, '--probability', String(share), '-j', 'DROP']);
  }
}
