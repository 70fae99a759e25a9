/**
 * A real Kubernetes cluster of the tests' own: two nodes, each with containerd, kubelet and kube-proxy in namespaces of
 * their own, on one kernel; and the control plane on the machine's side of the wire between them. It needs no network
 * but Debian's mirror, once, for sources. With TEST_KUBECONFIG set, that cluster is used instead, and left running.
 * (Not KUBECONFIG: that may lead to a cluster somebody works with, where no test should deny anything.)
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { closeOnExit, waitFor } from '../rig/cleanup.ts';
import { uniqueInterface, uniqueName } from '../rig/names.ts';
import { Namespace } from '../rig/netns.ts';
import { attempt, attemptSync, CommandError, type Outcome, type RunOptions, run } from '../rig/process.ts';
import { ControlPlane } from './control-plane.ts';
import { removeFromEveryHierarchy } from './hierarchies.ts';
import { rememberKernelSettings } from './kernel-settings.ts';
import { type Plan, planCluster, type WorkerPlan } from './plan.ts';
import { ensurePrograms } from './programs.ts';
import { Worker } from './worker.ts';

const READY_TIMEOUT_MS = 120_000;

/** What the cluster tells of itself beside its kubeconfig, for those who did not start it. */
export interface Description {
  /** The process that keeps it: SIGUSR2 takes the API server away, and brings it back. */
  readonly keeper: number;
  readonly nodes: readonly {
    readonly name: string;
    readonly address: string;
    readonly socket: string;
    readonly pid: number;
  }[];
}

export interface ServerSwitch {
  stop(): Promise<void>;
  /** Resolves when it is ready. */
  start(): Promise<void>;
}

export interface Cluster {
  readonly kubeconfig: string;
  readonly nodes: readonly string[];
  /** Runs kubectl as administrator. Throws `CommandError` unless its status is 0. */
  kubectl(...args: readonly string[]): Promise<string>;
  attempt(args: readonly string[], options?: RunOptions): Promise<Outcome>;
  apply(yaml: string): Promise<void>;
  /** Imports an archive of images on every node. */
  loadImage(archive: string): Promise<void>;
  /** Its API server, which can be away for a while. */
  readonly server: ServerSwitch;
  /** Ends it, and removes all of it. Idempotent; an existing cluster is left as it is. */
  down(): void;
}

let shared: Promise<Cluster> | undefined;

/** The cluster of this run of mocha; started when first asked for, ended by `hooks.ts`. */
export function cluster(): Promise<Cluster> {
  shared ??= process.env.TEST_KUBECONFIG ? useCluster(process.env.TEST_KUBECONFIG) : startCluster();
  return shared;
}

/** Ends the cluster of this run, if anybody asked for it. */
export async function endCluster(): Promise<void> {
  const ending = shared;
  shared = undefined;
  if (ending) (await ending.catch(() => undefined))?.down();
}

/** Starts a cluster; a minute on two processors. */
export async function startCluster(options: { readonly workers?: number } = {}): Promise<Cluster> {
  await ensurePrograms();
  const routes = (await run(['ip', '-4', 'route', 'show', 'table', 'all'])).split('\n').map((line) => line.trim());
  const taken = routes.map((line) => line.replace(/^(local|broadcast|unreachable|blackhole) /, ''));
  const starting = new StartedCluster(planCluster(options.workers ?? 2, process.pid, taken));
  try {
    await starting.start();
    return starting;
  } catch (error) {
    starting.down();
    throw error;
  }
}

class Kubectl {
  readonly kubeconfig: string;

  constructor(kubeconfig: string) {
    this.kubeconfig = kubeconfig;
  }

  attempt(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const env = { ...options.env, KUBECONFIG: this.kubeconfig };
    return attempt(['kubectl', ...args], { timeout: 120_000, ...options, env });
  }

  async run(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const outcome = await this.attempt(args, options);
    if (outcome.status !== 0) throw new CommandError(['kubectl', ...args], outcome);
    return outcome.stdout;
  }
}

class StartedCluster implements Cluster {
  readonly workers: Worker[] = [];
  readonly down: () => void;
  readonly #plan: Plan;
  readonly #directory = mkdtempSync(join(tmpdir(), `sallyport-test-${process.pid}-`));
  readonly #cgroup = `/${uniqueName('cluster')}`;
  readonly #bridge = uniqueInterface();
  readonly #plane: ControlPlane;
  readonly #kubectl: Kubectl;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#plane = new ControlPlane(join(this.#directory, 'control-plane'), plan);
    this.#kubectl = new Kubectl(this.#plane.kubeconfig);
    const restore = rememberKernelSettings();
    this.down = closeOnExit(() => {
      for (const worker of this.workers) worker.stop();
      this.#plane.stop();
      removeFromEveryHierarchy(this.#cgroup);
      attemptSync(['ip', 'link', 'del', this.#bridge]);
      restore();
      rmSync(this.#directory, { recursive: true, force: true });
    });
  }

  get kubeconfig(): string {
    return this.#plane.kubeconfig;
  }

  get server(): ServerSwitch {
    return { stop: () => this.#plane.stopServer(), start: () => this.#plane.startServer() };
  }

  get nodes(): readonly string[] {
    return this.#plan.workers.map(({ name }) => name);
  }

  kubectl(...args: readonly string[]): Promise<string> {
    return this.#kubectl.run(args);
  }

  attempt(args: readonly string[], options?: RunOptions): Promise<Outcome> {
    return this.#kubectl.attempt(args, options);
  }

  async apply(yaml: string): Promise<void> {
    await this.#kubectl.run(['apply', '-f', '-'], { input: yaml });
  }

  async loadImage(archive: string): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.loadImage(archive)));
  }

  /** @internal */
  async start(): Promise<void> {
    const { address, prefix } = this.#plan;
    await Namespace.current().ip([
      `link add ${this.#bridge} type bridge`,
      `addr add ${address}/${prefix} dev ${this.#bridge}`,
      `link set ${this.#bridge} up`,
    ]);
    await this.#plane.start();
    for (const worker of this.#plan.workers) {
      const common = { kubeconfig: this.kubeconfig, bridge: this.#bridge, plan: this.#plan, worker };
      const [directory, cgroup] = [this.#directory, this.#cgroup].map((parent) => join(parent, worker.name));
      this.workers.push(await Worker.start({ directory: directory!, cgroup: cgroup!, ...common }));
    }
    const description: Description = {
      keeper: process.pid,
      nodes: this.workers.map(({ name, address: at, socket, pid }) => ({ name, address: at, socket, pid })),
    };
    writeFileSync(join(dirname(this.kubeconfig), 'nodes.json'), JSON.stringify(description));
    await this.#untilReady();
  }

  /** What a controller manager that gives out networks would write. */
  async #tellPods({ name, pods }: WorkerPlan): Promise<void> {
    const patch = JSON.stringify({ spec: { podCIDR: pods, podCIDRs: [pods] } });
    await this.kubectl('patch', 'node', name, '--patch', patch);
  }

  async #untilReady(): Promise<void> {
    const ready = async () => {
      this.#plane.check();
      const lines = (await this.attempt(['get', 'nodes', '--no-headers'])).stdout.split('\n');
      return this.nodes.every((name) => lines.some((line) => line.startsWith(name) && / Ready /.test(line)));
    };
    try {
      await waitFor('the nodes are ready', ready, READY_TIMEOUT_MS);
      await Promise.all(this.#plan.workers.map((worker) => this.#tellPods(worker)));
      const account = async () => (await this.attempt(['get', 'serviceaccount', 'default'])).status === 0;
      await waitFor('the default service account is there', account, READY_TIMEOUT_MS);
    } catch (error) {
      throw new Error(
        `${error instanceof Error ? error.message : error}\n${[this.#plane, ...this.workers].map((one) => one.logs()).join('\n')}`,
      );
    }
  }
}

/** A cluster that somebody else started; images reach it where it is one of ours. */
async function useCluster(kubeconfig: string): Promise<Cluster> {
  const kubectl = new Kubectl(kubeconfig);
  const names = await kubectl.run(['get', 'nodes', '-o', 'name']);
  const answers = async (): Promise<boolean> => (await kubectl.attempt(['get', '--raw', '/readyz'])).status === 0;
  const turn = async (on: boolean): Promise<void> => {
    const { keeper } = JSON.parse(readFileSync(join(dirname(kubeconfig), 'nodes.json'), 'utf8')) as Description;
    process.kill(keeper, 'SIGUSR2');
    await waitFor(`the API server is ${on ? 'there' : 'away'}`, async () => (await answers()) === on, READY_TIMEOUT_MS);
  };
  return {
    kubeconfig,
    server: { stop: () => turn(false), start: () => turn(true) },
    nodes: names
      .split('\n')
      .filter(Boolean)
      .map((name) => name.replace('node/', '')),
    kubectl: (...args) => kubectl.run(args),
    attempt: (args, options) => kubectl.attempt(args, options),
    apply: async (yaml) => {
      await kubectl.run(['apply', '-f', '-'], { input: yaml });
    },
    loadImage: async (archive) => {
      const { nodes } = JSON.parse(readFileSync(join(dirname(kubeconfig), 'nodes.json'), 'utf8')) as Description;
      for (const { socket } of nodes) {
        await run(['ctr', '--address', socket, '--namespace', 'k8s.io', 'images', 'import', archive], {
          timeout: 180_000,
        });
      }
    },
    down: () => {},
  };
}
