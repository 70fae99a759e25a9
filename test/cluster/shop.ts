/** Workloads of a shop: an api that answers, and those who ask it, two of each, one on each node. */

import { z } from 'zod';
import { IMAGE } from '../rig/image.ts';
import type { Cluster } from './cluster.ts';

export const PORT = 8080;
/** `traffic connect`: its exit codes. */
const OUTCOMES = ['ok', 'refused', 'timeout', 'unreachable'] as const;
export type Outcome = (typeof OUTCOMES)[number] | 'error';

const Pods = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string(), deletionTimestamp: z.string().optional() }),
      spec: z.object({ nodeName: z.string() }),
      status: z.object({ podIP: z.string(), phase: z.string() }),
    }),
  ),
});

const Conversation = z.object({ exchanges: z.number(), lost: z.number() });

export interface Pod {
  readonly name: string;
  readonly node: string;
  readonly address: string;
}

const deployment = (namespace: string, name: string, command: readonly string[]) => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  replicas: 2
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      terminationGracePeriodSeconds: 0
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: DoNotSchedule
          labelSelector: { matchLabels: { app: ${name} } }
      containers:
        - name: ${name}
          image: docker.io/library/${IMAGE}
          imagePullPolicy: Never
          command: ${JSON.stringify(command)}
`;

export class Shop {
  readonly namespace: string;
  readonly #cluster: Cluster;

  constructor(cluster: Cluster, namespace: string) {
    this.#cluster = cluster;
    this.namespace = namespace;
  }

  async open(): Promise<void> {
    await this.#cluster.kubectl('create', 'namespace', this.namespace);
    const serve = ['traffic', 'serve', '--tcp', `${PORT}`, '--udp', `${PORT}`];
    const idle = ['sleep', '2147483647'];
    const texts = [
      deployment(this.namespace, 'api', serve),
      ...['web', 'stranger'].map((name) => deployment(this.namespace, name, idle)),
    ];
    await this.#cluster.apply(texts.join('---'));
    for (const name of ['api', 'web', 'stranger']) await this.rolledOut(name);
  }

  async close(): Promise<void> {
    await this.#cluster.kubectl('delete', 'namespace', this.namespace, '--ignore-not-found');
  }

  async rolledOut(name: string): Promise<void> {
    await this.#cluster.kubectl('rollout', 'status', `deployment/${name}`, '-n', this.namespace, '--timeout=100s');
  }

  /** Those that run and are to stay, sorted by node. */
  async pods(name: string): Promise<readonly Pod[]> {
    const text = await this.#cluster.kubectl('get', 'pods', '-n', this.namespace, '-l', `app=${name}`, '-o', 'json');
    return Pods.parse(JSON.parse(text))
      .items.filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && status.phase === 'Running')
      .map(({ metadata, spec, status }) => ({ name: metadata.name, node: spec.nodeName, address: status.podIP }))
      .sort((a, b) => (`${a.node}/${a.name}` < `${b.node}/${b.name}` ? -1 : 1));
  }

  /** What comes of every pod of one workload asking every pod of another; one word where all agree. */
  async asks(from: string, to: string): Promise<Outcome | readonly string[]> {
    const [askers, answerers] = [await this.pods(from), await this.pods(to)];
    const outcomes: string[] = [];
    for (const asker of askers) {
      for (const { address, node } of answerers) {
        outcomes.push(`${asker.node} → ${node}: ${await this.#connect(asker.name, address)}`);
      }
    }
    const words = new Set(outcomes.map((line) => line.split(': ')[1]));
    return words.size === 1 ? ([...words][0] as Outcome) : outcomes;
  }

  /** One TCP connection between two pods, an exchange each 20 ms: how many of them failed while it went on. */
  async conversation(from: Pod, to: Pod, durationMs: number): Promise<{ exchanges: number; lost: number }> {
    const numbers = ['--port', `${PORT}`, '--interval', '20', '--duration', `${durationMs}`];
    const open = ['traffic', 'hold-open', '--address', to.address, ...numbers];
    const args = ['exec', '-n', this.namespace, from.name, '--', ...open];
    const { stdout, stderr } = await this.#cluster.attempt(args, { timeout: durationMs + 60_000 });
    const told = stdout.split('\n').find((line) => line.startsWith('{'));
    if (told === undefined) throw new Error(`the conversation ended early: ${stderr}`);
    return Conversation.parse(JSON.parse(told));
  }

  async #connect(pod: string, address: string): Promise<Outcome> {
    const connect = [
      'traffic',
      'connect',
      '--address',
      address,
      '--port',
      `${PORT}`,
      '--exchange',
      '--timeout',
      '4000',
    ];
    const { status } = await this.#cluster.attempt(['exec', '-n', this.namespace, pod, '--', ...connect]);
    return OUTCOMES[status ?? -1] ?? 'error';
  }
}
