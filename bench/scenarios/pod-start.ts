/** What a pod's start takes longer because its containers wait until they are protected, and who began before that. */

import { PODS, REPLICA_SETS } from '../../src/sources/kubernetes/resource.ts';
import { waitFor } from '../../test/rig/cleanup.ts';
import { type Containerd, startContainerd } from '../../test/rig/containerd.ts';
import { Place } from '../../test/rig/netns.ts';
import { addressOf, strikeCommand } from '../../test/rig/strike.ts';
import { Agent } from '../agent.ts';
import { ApiServer } from '../cluster/api-server.ts';
import { Listener } from '../cluster/listener.ts';
import { podObject } from '../cluster/population.ts';
import type { BenchRecord } from '../record.ts';
import { percentile, round } from '../statistics.ts';

const PODS_OF_EACH = 100;
const [ALLOWED, FORBIDDEN] = [7801, 7802] as const;
const NODE = 'bench-node';
/** The containers of one namespace wait at the gate, those of the other are let through; pods are started in turns. */
const KINDS = ['gated', 'free'] as const;
type Kind = (typeof KINDS)[number];
const kindOf = (number: number): Kind => KINDS[number % KINDS.length]!;

const POLICY = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: closed, namespace: gated}
spec:
  subject: {workload: Deployment/web}
  egress:
    - name: open
      to: [{entity: host}]
      ports: [{protocol: UDP, port: ${ALLOWED}}, {protocol: TCP, port: ${ALLOWED}}]
`;

export async function podStart(): Promise<BenchRecord[]> {
  const ending: (() => void)[] = [];
  try {
    const containerd = await startContainerd();
    ending.push(() => containerd.close());
    // The bridge is made with the first pod.
    const early = await containerd.createPod({ name: 'early' });
    const address = await addressOf(containerd.namespace, 'cni0');
    await early.remove();
    const listener = await Listener.start(containerd.namespace, [ALLOWED, FORBIDDEN]);
    ending.push(() => listener.close());
    const cluster = await ApiServer.start(containerd.namespace);
    ending.push(cluster.close);
    const ground = new Ground(containerd, cluster, listener, address);
    await ground.prepare();
    const agent = agentOf(containerd, cluster);
    ending.push(agent.close);
    agent.start();
    await agent.enforcing(0, POLICIES);
    const took = await ground.startAll();
    const reached = (kind: Kind): number =>
      listener.heard.filter(({ port, id }) => port === FORBIDDEN && kindOf(id) === kind).length;
    if (reached('free') < PODS_OF_EACH)
      throw new Error('bench: who is forbidden nothing did not reach the port either');
    const held = holdsOf(await agent.text('/v1/metrics'));
    return [
      record('p50', 'ms', percentile(took.gated, 0.5)),
      record('added-p50', 'ms', percentile(took.gated, 0.5) - percentile(took.free, 0.5)),
      record('held-p50', 'ms', held(0.5)),
      record('held-p99', 'ms', held(0.99)),
      record('unprotected', '', reached('gated')),
    ];
  } finally {
    for (const end of ending.reverse()) end();
  }
}

/** Ours, and the built-in one. */
const POLICIES = 2;

function record(metric: string, unit: string, value: number): BenchRecord {
  return { scenario: 'pod-start', subject: 'sallyport', rules: 1, metric, unit, value: round(value), ratio: null };
}

function agentOf(containerd: Containerd, cluster: ApiServer): Agent {
  return new Agent(
    new Place(containerd.namespace),
    [],
    {},
    {
      node: NODE,
      kubernetes: { enabled: 'true', kubeconfig: cluster.kubeconfig },
      sources: { docker: { enabled: 'false' }, cri: { enabled: 'true', socket: containerd.socket } },
      gate: { cgroups: [`${containerd.cgroupParent}/gated/**/{id}`], whenStale: 'closed', timeout: '60s' },
    },
  );
}

/** Pods as a kubelet starts them: the API server knows them before their runtime does. */
class Ground {
  readonly #containerd: Containerd;
  readonly #cluster: ApiServer;
  readonly #listener: Listener;
  readonly #address: string;
  readonly #owners = new Map<Kind, string>();

  constructor(containerd: Containerd, cluster: ApiServer, listener: Listener, address: string) {
    this.#containerd = containerd;
    this.#cluster = cluster;
    this.#listener = listener;
    this.#address = address;
  }

  async prepare(): Promise<void> {
    await this.#cluster.createNamespaces(KINDS);
    for (const kind of KINDS) this.#owners.set(kind, await this.#replicaSet(kind));
    await this.#cluster.kubectl(['apply', '--validate=false', '-f', '-'], { input: POLICY });
  }

  /** @returns milliseconds from asking for each pod to what its container did first */
  async startAll(): Promise<Readonly<Record<Kind, readonly number[]>>> {
    const took: Record<Kind, number[]> = { gated: [], free: [] };
    for (let number = 0; number < PODS_OF_EACH * KINDS.length; number += 1) {
      took[kindOf(number)].push(await this.#startOne(kindOf(number), number));
    }
    return took;
  }

  async #startOne(kind: Kind, number: number): Promise<number> {
    const object = await this.#podOf(kind, number);
    const { name, uid, labels } = object.metadata;
    const began = process.hrtime.bigint();
    const pod = await this.#containerd.createPod({
      name,
      namespace: kind,
      cgroup: kind,
      ...(uid === undefined ? {} : { uid }),
      ...(labels === undefined ? {} : { labels }),
    });
    const strike = (port: number): string[] => strikeCommand({ address: this.#address, port }, number);
    await pod.createContainer('first', strike(ALLOWED));
    const arrived = () => this.#listener.heard.find(({ port, id }) => port === ALLOWED && id === number);
    await waitFor(`pod ${number} begins`, () => arrived() !== undefined, 60_000);
    const other = await pod.createContainer('second', strike(FORBIDDEN));
    await waitFor(`pod ${number} has tried`, async () => (await other.exitStatus()) !== undefined, 60_000);
    await pod.remove();
    await this.#cluster.client.delete(PODS, { namespace: kind, name });
    return Number(arrived()!.at - began) / 1e6;
  }

  #podOf(kind: Kind, number: number) {
    const { metadata, spec } = podObject({ namespace: kind, name: 'web' }, NODE, number);
    const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-5', uid: this.#owners.get(kind)! };
    return this.#cluster.client.create(PODS, {
      metadata: { ...metadata, ownerReferences: [{ ...owner, controller: true }] },
      spec,
    });
  }

  async #replicaSet(namespace: string): Promise<string> {
    const owner = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      name: 'web',
      uid: crypto.randomUUID(),
      controller: true,
    };
    const labels = { app: 'web' };
    const template = { metadata: { labels }, spec: { containers: [{ name: 'first', image: 'none' }] } };
    const { metadata } = await this.#cluster.client.create(REPLICA_SETS, {
      metadata: { namespace, name: 'web-5', ownerReferences: [owner] },
      spec: { selector: { matchLabels: labels }, template },
    });
    return metadata.uid!;
  }
}

/** How long containers were held, in milliseconds, as a histogram tells it: interpolated between its bounds. */
export function holdsOf(metrics: string): (share: number) => number {
  const lines = metrics.matchAll(/^sallyport_gate_hold_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm);
  const buckets = Array.from(lines, ([, bound, count]) => ({ bound: Number(bound) * 1_000, count: Number(count) }));
  const all = buckets.at(-1)?.count ?? 0;
  return (share) => {
    const wanted = all * share;
    const at = buckets.findIndex(({ count }) => count >= wanted);
    const [below, above] = [buckets[at - 1] ?? { bound: 0, count: 0 }, buckets[at]];
    if (above === undefined || all === 0) return Number.NaN;
    const part = (wanted - below.count) / Math.max(1, above.count - below.count);
    return below.bound + (above.bound - below.bound) * part;
  };
}
