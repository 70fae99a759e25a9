/**
 * A node of a large cluster: what its agent costs while pods come and go, here and elsewhere. The API server is a real
 * one; nobody runs what it is told, and what a manager would write of it is written by the bench, at a manager's pace.
 */

import { PODS, WORKLOAD_IDENTITIES, WORKLOAD_NETWORK_POLICIES } from '../../src/sources/kubernetes/resource.ts';
import { createNode } from '../../test/rig/node.ts';
import { Agent } from '../agent.ts';
import { ApiServer, inParallel } from '../cluster/api-server.ts';
import { identityObject, member, namespaces, podObject, policyObject, workloadOf } from '../cluster/population.ts';
import type { BenchRecord } from '../record.ts';
import { round } from '../statistics.ts';
import { fill } from './full-node.ts';

/** Each workload has two identities. */
const WORKLOADS = 5_000;
const POLICIES = 5_000;
const ENDPOINTS = 250;
/** Pods of other nodes, at first and at last: what they cost this agent must not tell the two apart. */
const ELSEWHERE = [500, 5_000] as const;
/** Changes of pods a second, of which some are on this node; and what a manager writes of them at most. */
const CHANGES = 100;
const CHANGES_HERE = 5;
const WRITES = 20;
/** Workloads that are new, a second. */
const NEW_WORKLOADS = 1;
const MEASURED_MS = 60_000;
const SETTLE_MS = 15_000;

const NODE = 'bench-node';
const DOMAIN = 'local';

interface Cost {
  /** Share of one CPU. */
  readonly cpu: number;
  readonly bytesPerSecond: number;
  /** Changes that were really made, a second. */
  readonly changes: number;
  readonly memory: number;
}

export async function scale(): Promise<BenchRecord[]> {
  const node = await createNode({ name: 'scale' });
  const ending: (() => void)[] = [() => node.close()];
  try {
    await fill(node, ENDPOINTS);
    const cluster = await ApiServer.start(node.namespace);
    ending.push(cluster.close);
    const crowd = new Crowd(cluster);
    await crowd.settle();
    await crowd.pods(ELSEWHERE[0]);
    const workloads = [...node.endpoints.values()].map(({ cgroup }, n) => ({
      cgroup: cgroup.name,
      workload: workloadOf(member(n)),
    }));
    const kubernetes = { enabled: 'true', kubeconfig: cluster.kubeconfig };
    const agent = new Agent(node.host, workloads, {}, { node: NODE, domain: DOMAIN, kubernetes });
    ending.push(agent.close);
    agent.start();
    await agent.enforcing(ENDPOINTS, POLICIES + 1, 300_000);
    await pause(SETTLE_MS);
    const idle = await during(agent, cluster, async () => 0, MEASURED_MS / 2);
    const few = await during(agent, cluster, (ms) => crowd.change(ms), MEASURED_MS);
    await crowd.pods(ELSEWHERE[1]);
    await pause(SETTLE_MS);
    const many = await during(agent, cluster, (ms) => crowd.change(ms), MEASURED_MS);
    const [least, most] = ELSEWHERE;
    return [
      record('cpu-idle', '%', idle.cpu * 100),
      record('cpu', '%', many.cpu * 100),
      record('rss-most', 'MB', Math.max(idle.memory, few.memory, many.memory) / 1e6),
      record('changes', '/s', many.changes),
      record('traffic-idle', 'kB/s', idle.bytesPerSecond / 1e3),
      record(`traffic-of-${least}`, 'kB/s', few.bytesPerSecond / 1e3),
      record(`traffic-of-${most}`, 'kB/s', many.bytesPerSecond / 1e3),
    ];
  } finally {
    for (const end of ending.reverse()) end();
  }
}

function record(metric: string, unit: string, value: number): BenchRecord {
  return { scenario: 'scale', subject: 'sallyport', rules: POLICIES, metric, unit, value: round(value), ratio: null };
}

/** What the agent does and is told meanwhile. */
async function during(
  agent: Agent,
  cluster: ApiServer,
  work: (durationMs: number) => Promise<number>,
  durationMs: number,
): Promise<Cost> {
  const [cpu, traffic, began] = [agent.cpu, cluster.traffic, performance.now()];
  let memory = agent.memory;
  const sampling = setInterval(() => {
    memory = Math.max(memory, agent.memory);
  }, 500);
  const [changes] = await Promise.all([work(durationMs), pause(durationMs)]);
  clearInterval(sampling);
  const seconds = (performance.now() - began) / 1_000;
  return {
    cpu: (agent.cpu - cpu) / 1_000 / seconds,
    bytesPerSecond: (cluster.traffic - traffic) / seconds,
    changes: changes / seconds,
    memory,
  };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}

/** All the cluster but this node, and its pods. */
class Crowd {
  readonly #cluster: ApiServer;
  /** Pods of other nodes, the oldest first. */
  readonly #elsewhere: { readonly namespace: string; readonly name: string }[] = [];
  readonly #here: { readonly namespace: string; readonly name: string }[] = [];
  #made = 0;
  #changed = 0;
  #workloads = WORKLOADS;

  constructor(cluster: ApiServer) {
    this.#cluster = cluster;
  }

  /** Workloads, policies, and this node's pods. */
  async settle(): Promise<void> {
    const { client } = this.#cluster;
    await this.#cluster.createNamespaces(namespaces);
    const numbers = Array.from({ length: WORKLOADS }, (_, n) => n);
    await inParallel(numbers, async (n) => {
      await client.create(WORKLOAD_IDENTITIES, identityObject(member(n), DOMAIN));
      if (n < POLICIES) await client.create(WORKLOAD_NETWORK_POLICIES, policyObject(n, WORKLOADS));
      if (n < ENDPOINTS) this.#here.push(await this.#create(n, NODE));
    });
  }

  /** Makes pods of other nodes until there are so many. */
  async pods(count: number): Promise<void> {
    const missing = Array.from({ length: Math.max(0, count - this.#elsewhere.length) }, (_, n) => n);
    await inParallel(missing, async (n) => {
      this.#elsewhere.push(await this.#create(n % WORKLOADS, `node-${n % 100}`));
    });
  }

  /** Changes pods for so long. @returns how often */
  async change(durationMs: number): Promise<number> {
    const begun = performance.now();
    const kinds: readonly (readonly [perSecond: number, work: () => Promise<void>])[] = [
      [CHANGES - CHANGES_HERE, () => this.#changeElsewhere()],
      [CHANGES_HERE, () => this.#changeHere()],
      [WRITES, () => this.#write()],
      [NEW_WORKLOADS, () => this.#begin()],
    ];
    const done = [0, 0, 0, 0];
    const under = new Set<Promise<void>>();
    for (let now = 0; now < durationMs; now = performance.now() - begun) {
      for (const [kind, [perSecond, work]] of kinds.entries()) {
        while (done[kind]! < (now / 1_000) * perSecond && under.size < 64) {
          done[kind]! += 1;
          const one = work().finally(() => under.delete(one));
          under.add(one);
        }
      }
      await pause(10);
    }
    await Promise.all(under);
    return done[0]! + done[1]!;
  }

  /** One pod begins, its kubelet tells of it, the oldest ends: in turns. */
  async #changeElsewhere(): Promise<void> {
    this.#changed += 1;
    const turn = this.#changed % 3;
    const { client } = this.#cluster;
    if (turn === 0) {
      const n = this.#changed % WORKLOADS;
      this.#elsewhere.push(await this.#create(n, `node-${n % 100}`));
    } else if (turn === 1) {
      const pod = this.#elsewhere.at(-1 - (this.#changed % 50));
      if (pod !== undefined) await client.patchStatus(PODS, pod, running(this.#changed));
    } else {
      const pod = this.#elsewhere.shift();
      if (pod !== undefined) await client.delete(PODS, pod);
    }
  }

  async #changeHere(): Promise<void> {
    this.#changed += 1;
    const pod = this.#here[this.#changed % this.#here.length]!;
    await this.#cluster.client.patchStatus(PODS, pod, running(this.#changed));
  }

  /** How many pods a workload has now. */
  async #write(): Promise<void> {
    this.#changed += 1;
    const { metadata } = identityObject(member(this.#changed % WORKLOADS), DOMAIN);
    const status = { pods: this.#changed % 7, nodes: this.#changed % 5 };
    await this.#cluster.client.patchStatus(WORKLOAD_IDENTITIES, metadata, status);
  }

  async #begin(): Promise<void> {
    this.#workloads += 1;
    await this.#cluster.client.create(WORKLOAD_IDENTITIES, identityObject(member(this.#workloads), DOMAIN));
  }

  async #create(workload: number, on: string): Promise<{ readonly namespace: string; readonly name: string }> {
    this.#made += 1;
    const pod = podObject(member(workload), on, this.#made);
    await this.#cluster.client.create(PODS, pod);
    return { namespace: pod.metadata.namespace ?? '', name: pod.metadata.name };
  }
}

/** What a kubelet says of a pod. */
function running(number: number): object {
  const at = new Date().toISOString();
  return {
    phase: 'Running',
    podIP: `10.9.${(number >> 8) & 255}.${number & 255}`,
    startTime: at,
    conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: at, message: `change ${number}` }],
  };
}
