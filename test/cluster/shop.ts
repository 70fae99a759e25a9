/** Workloads of a shop: an api that answers, and those who ask it, two of each, one on each node. */

import { z } from 'zod';
import { IMAGE } from '../rig/image.ts';
import { CommandError } from '../rig/process.ts';
import type { Cluster } from './cluster.ts';

export const PORT = 8080;
/** `traffic connect`: its exit codes. */
const OUTCOMES = ['ok', 'refused', 'timeout', 'unreachable'] as const;
export type Outcome = (typeof OUTCOMES)[number] | 'error';

const Pods = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string(), deletionTimestamp: z.string().optional() }),
      spec: z.object({ nodeName: z.string().default('') }),
      status: z.object({ podIP: z.string().default(''), phase: z.string() }),
    }),
  ),
});

const Conversation = z.object({ exchanges: z.number(), lost: z.number() });

/** What pods run. */
export const SERVE = ['traffic', 'serve', '--tcp', `${PORT}`, '--udp', `${PORT}`];
export const IDLE = ['sleep', '2147483647'];

export interface Pod {
  readonly name: string;
  readonly node: string;
  readonly address: string;
}

/** Two of them, one on each node, unless told how many; those may be anywhere. */
export const deployment = (namespace: string, name: string, command: readonly string[], replicas?: number) => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  replicas: ${replicas ?? 2}
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      terminationGracePeriodSeconds: 0
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ${replicas === undefined ? 'DoNotSchedule' : 'ScheduleAnyway'}
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
    const texts = [
      deployment(this.namespace, 'api', SERVE),
      ...['web', 'stranger'].map((name) => deployment(this.namespace, name, IDLE)),
    ];
    await this.#cluster.apply(texts.join('---'));
    for (const name of ['api', 'web', 'stranger']) await this.rolledOut(name);
  }

  async close(): Promise<void> {
    await this.#cluster.kubectl('delete', 'namespace', this.namespace, '--ignore-not-found');
  }

  async rolledOut(name: string, seconds = 100): Promise<void> {
    const args = ['rollout', 'status', `deployment/${name}`, '-n', this.namespace, `--timeout=${seconds}s`];
    const outcome = await this.#cluster.attempt(args, { timeout: (seconds + 20) * 1_000 });
    if (outcome.status !== 0) throw new CommandError(['kubectl', ...args], outcome);
  }

  /** Those that run and are to stay, sorted by node. */
  async pods(name: string): Promise<readonly Pod[]> {
    const text = await this.#cluster.kubectl('get', 'pods', '-n', this.namespace, '-l', `app=${name}`, '-o', 'json');
    return Pods.parse(JSON.parse(text))
      .items.filter(({ metadata, status }) => metadata.deletionTimestamp === undefined && status.phase === 'Running')
      .map(({ metadata, spec, status }) => ({ name: metadata.name, node: spec.nodeName, address: status.podIP }))
      .sort((a, b) => (`${a.node}/${a.name}` < `${b.node}/${b.name}` ? -1 : 1));
  }

  /** The pods of a workload, one on each node: after a rollout, which has more for a while, both may be on one. */
  async spread(name: string): Promise<readonly Pod[]> {
    for (;;) {
      const [first, ...others] = await this.pods(name);
      if (first === undefined || others.some(({ node }) => node !== first.node)) return await this.pods(name);
      await this.#cluster.kubectl('delete', 'pod', first.name, '-n', this.namespace);
      await this.rolledOut(name);
    }
  }

  /** What comes of every pod of one workload asking every pod of another; one word where all agree. */
  async asks(from: string, to: string): Promise<Outcome | readonly string[]> {
    const [askers, answerers] = [await this.pods(from), await this.pods(to)];
    const outcomes: string[] = [];
    for (const asker of askers) {
      for (const { address, node } of answerers) {
        outcomes.push(`${asker.node} → ${node}: ${await this.connects(asker.name, address)}`);
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

  /** Whether a pod has a connection to another. */
  async holds(from: Pod, to: Pod): Promise<boolean> {
    const args = ['exec', '-n', this.namespace, from.name, '--', 'netstat', '-tn'];
    const lines = (await this.#cluster.attempt(args)).stdout.split('\n');
    return lines.some((line) => line.includes(` ${to.address}:${PORT} `) && line.includes('ESTABLISHED'));
  }

  /** What comes of one pod asking an address, from a port of its own choice if need be. */
  async connects(pod: string, address: string, how: Way = {}): Promise<Outcome> {
    const args = ['exec', '-n', this.namespace, pod, '--', ...connectCommand(address, how)];
    return outcomeOf((await this.#cluster.attempt(args)).status);
  }

  /** The same of many addresses, of which each is asked once, in one go. */
  async reaches(pod: string, addresses: readonly string[]): Promise<readonly Outcome[]> {
    const lines = addresses.map((address) => `${connectCommand(address).join(' ')} > /dev/null; echo $?`);
    const args = ['exec', '-n', this.namespace, pod, '--', 'sh', '-c', lines.join('\n')];
    const { stdout } = await this.#cluster.attempt(args);
    return stdout
      .trim()
      .split('\n')
      .map((line) => outcomeOf(Number(line)));
  }
}

export interface Way {
  readonly udp?: boolean;
  readonly sourcePort?: number;
}

/** What a pod runs to ask an address. Its exit status: `outcomeOf`. */
export function connectCommand(address: string, { udp = false, sourcePort }: Way = {}): string[] {
  const from = sourcePort === undefined ? [] : ['--source-port', String(sourcePort)];
  const how = [...(udp ? ['--udp'] : []), ...from, '--exchange', '--timeout', '4000'];
  return ['traffic', 'connect', '--address', address, '--port', `${PORT}`, ...how];
}

export function outcomeOf(status: number | null): Outcome {
  return OUTCOMES[status ?? -1] ?? 'error';
}
