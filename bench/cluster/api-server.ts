/** A real API server, with its etcd and nothing else: what it is told stays as it is, since no controller sees it. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubernetesClient } from '../../src/sources/kubernetes/client.ts';
import { type Connection, connect } from '../../src/sources/kubernetes/connection.ts';
import { NAMESPACES } from '../../src/sources/kubernetes/resource.ts';
import { ControlPlane } from '../../test/cluster/control-plane.ts';
import { planCluster } from '../../test/cluster/plan.ts';
import { ensurePrograms } from '../../test/cluster/programs.ts';
import { closeOnExit } from '../../test/rig/cleanup.ts';
import { uniqueInterface } from '../../test/rig/names.ts';
import { Namespace } from '../../test/rig/netns.ts';
import { attempt, attemptSync, CommandError, type RunOptions, run } from '../../test/rig/process.ts';

const CRDS = join(import.meta.dirname, '../../k8s/crds');

export class ApiServer {
  readonly kubeconfig: string;
  readonly client: KubernetesClient;
  readonly close: () => void;
  readonly #wire: string;

  private constructor(kubeconfig: string, connection: Connection, wire: string, close: () => void) {
    this.kubeconfig = kubeconfig;
    this.client = new KubernetesClient(connection);
    this.#wire = wire;
    this.close = closeOnExit(() => {
      void connection.close();
      close();
    });
  }

  /** Starts one that knows our kinds, and a wire to it from a node's namespace; nobody else uses that. */
  static async start(node: Namespace): Promise<ApiServer> {
    await ensurePrograms();
    const routes = (await run(['ip', '-4', 'route', 'show', 'table', 'all'])).split('\n').map((line) => line.trim());
    const taken = routes.map((line) => line.replace(/^(local|broadcast|unreachable|blackhole) /, ''));
    const plan = planCluster(1, process.pid, taken);
    const directory = mkdtempSync(join(tmpdir(), `sallyport-test-${process.pid}-`));
    const plane = new ControlPlane(directory, plan);
    const wire = uniqueInterface();
    const close = closeOnExit(() => {
      plane.stop();
      attemptSync(['ip', 'link', 'del', wire]);
      rmSync(directory, { recursive: true, force: true });
    });
    try {
      await Namespace.current().ip([
        `link add ${wire} type veth peer name api0 netns ${node.name}`,
        `addr add ${plan.address}/${plan.prefix} dev ${wire}`,
        `link set ${wire} up`,
      ]);
      await node.ip([`addr add ${plan.workers[0]!.address}/${plan.prefix} dev api0`, 'link set api0 up']);
      await plane.start({ alone: true });
      const connection = await connect({ kubeconfig: plane.kubeconfig });
      const server = new ApiServer(plane.kubeconfig, connection, wire, close);
      await server.kubectl(['apply', '--validate=false', '-f', CRDS]);
      await server.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
      return server;
    } catch (error) {
      close();
      throw error;
    }
  }

  async kubectl(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const env = { KUBECONFIG: this.kubeconfig };
    const outcome = await attempt(['kubectl', ...args], { timeout: 120_000, ...options, env });
    if (outcome.status !== 0) throw new CommandError(['kubectl', ...args], outcome);
    return outcome.stdout;
  }

  async createNamespaces(names: readonly string[]): Promise<void> {
    await inParallel(names, async (name) => {
      await this.client.create(NAMESPACES, { metadata: { name } });
    });
  }

  /** Bytes that went over the wire to the node and back, whatever they were. */
  get traffic(): number {
    const read = (what: string): number =>
      Number(readFileSync(`/sys/class/net/${this.#wire}/statistics/${what}_bytes`, 'latin1'));
    return read('rx') + read('tx');
  }
}

/** Works on all of them, some at a time. */
export async function inParallel<T>(
  items: Iterable<T>,
  work: (item: T) => Promise<void>,
  together = 16,
): Promise<void> {
  const left = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = left.next(); next.done !== true; next = left.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: together }, worker));
}
