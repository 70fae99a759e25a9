/** A cluster with a shop in it, into which Sallyport is deployed; and questions people ask of that. */

import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { waitFor } from '../rig/cleanup.ts';
import { attempt, type Outcome, type RunOptions, run } from '../rig/process.ts';
import { type Cluster, cluster, type Description } from './cluster.ts';
import { PORT, Shop } from './shop.ts';

export const ROOT = resolve(import.meta.dirname, '../..');
export const SYSTEM = 'sallyport-system';
export const PATIENCE_MS = 60_000;
/** Both nodes are of one kernel: each agent's gate must keep to its own. */
export const AGENT_SET = 'gate.cgroups=["/**/$(NODE_NAME)/**/{id}"]';

/** Lets one workload of the shop be asked by another, and by nobody else. */
export function policy(name: string, from: string, subject = 'Deployment/api'): string {
  return `
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: { name: ${name}, namespace: shop }
spec:
  subject: { workload: ${subject} }
  ingress:
    - name: from-others
      from: [{ workload: ${from.includes('/') ? from : `Deployment/${from}`} }]
      ports: [{ protocol: TCP, port: ${PORT} }, { protocol: UDP, port: ${PORT} }]
`;
}

/** A node of the cluster, as this machine reaches it. */
export type LocalNode = Description['nodes'][number];

export class Town {
  readonly cluster: Cluster;
  readonly shop: Shop;

  private constructor(ground: Cluster) {
    this.cluster = ground;
    this.shop = new Shop(ground, 'shop');
  }

  static async found(): Promise<Town> {
    return new Town(await cluster());
  }

  kubectl(...args: readonly string[]): Promise<string> {
    return this.cluster.kubectl(...args);
  }

  /** The deployer, as `make deploy` and `make undeploy` call it. */
  deployer(verb: 'up' | 'down', ...options: readonly string[]): Promise<Outcome> {
    const main = join(ROOT, 'packaging/deploy-cluster/main.ts');
    const command = [process.execPath, main, verb, '--kubeconfig', this.cluster.kubeconfig, ...options];
    return attempt(command, { timeout: 280_000 });
  }

  get nodes(): readonly LocalNode[] {
    const text = readFileSync(join(dirname(this.cluster.kubeconfig), 'nodes.json'), 'utf8');
    return (JSON.parse(text) as Description).nodes;
  }

  node(name: string): LocalNode {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`there is no node ${name}`);
    return found;
  }

  /** Runs a command where a node sees its files and its network. Throws `CommandError` unless its status is 0. */
  onNode(name: string, command: readonly string[], options?: RunOptions): Promise<string> {
    return run(this.#inside(name, command), options);
  }

  tryOnNode(name: string, command: readonly string[]): Promise<Outcome> {
    return attempt(this.#inside(name, command));
  }

  #inside(name: string, command: readonly string[]): string[] {
    return ['nsenter', '--target', String(this.node(name).pid), '--mount', '--net', '--uts', '--', ...command];
  }

  /** `ctr` for a node's containers: it needs no API server. What it runs in them speaks through pipes of the node. */
  ctr(name: string, args: readonly string[]): Promise<Outcome> {
    return attempt(this.#inside(name, ['ctr', '--namespace', 'k8s.io', ...args]));
  }

  async field(what: readonly string[], path: string): Promise<string> {
    return (await this.kubectl('get', ...what, '-o', `jsonpath={${path}}`)).trim();
  }

  /** Waits until what comes of every pod of one workload asking every pod of another is this. */
  async asks(from: string, wanted: string, to = 'api'): Promise<void> {
    const is = async () => (await this.shop.asks(from, to)) === wanted;
    await waitFor(`${from} asks ${to}: ${wanted}`, is, PATIENCE_MS);
  }

  /** Waits until a policy's condition is this. */
  async status(name: string, type: string, wanted: string): Promise<void> {
    const path = `.status.conditions[?(@.type=="${type}")].status`;
    const is = async () => (await this.field(['wnp', name, '-n', 'shop'], path)) === wanted;
    await waitFor(`policy ${name}: ${type} is ${wanted}`, is, PATIENCE_MS);
  }
}
