/** A Docker daemon and an agent beside it, in a network namespace of their own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closeOnExit } from '../../test/rig/cleanup.ts';
import { type Container, type Docker, startDocker } from '../../test/rig/docker.ts';
import { createNode, type Node } from '../../test/rig/node.ts';
import { buildTraffic, connect, type Target } from '../../test/rig/traffic.ts';
import { Agent } from './agent.ts';
import type { Report } from './report.ts';

export class Stage {
  /** Where everything is kept. */
  readonly directory: string;
  readonly report: Report;
  readonly node: Node;
  readonly docker: Docker;
  readonly agent: Agent;
  readonly close: () => void;
  readonly #services = new Map<string, Container>();

  private constructor(report: Report, node: Node, docker: Docker) {
    this.report = report;
    this.node = node;
    this.docker = docker;
    this.directory = mkdtempSync(join(tmpdir(), 'sallyport-demo-'));
    const sources = { docker: { enabled: 'true', socket: docker.socket }, cri: { enabled: 'false' } };
    const { directory } = this;
    this.agent = new Agent({ name: 'docker', host: node.host, directory, report, settings: { sources } });
    this.close = closeOnExit(() => {
      this.agent.close();
      docker.close();
      node.close();
      rmSync(directory, { recursive: true, force: true });
    });
  }

  static async open(report: Report): Promise<Stage> {
    await buildTraffic();
    const node = await createNode({ name: 'docker' });
    try {
      return new Stage(report, node, await startDocker({ namespace: node.namespace }));
    } catch (error) {
      node.close();
      throw error;
    }
  }

  /** Starts one service of the compose project `shop`, as `docker compose up` would. */
  async run(name: string): Promise<Container> {
    const labels = { 'com.docker.compose.project': 'shop', 'com.docker.compose.service': name };
    const container = await this.docker.run({ name, labels });
    this.#services.set(name, container);
    return container;
  }

  service(name: string): Container {
    const container = this.#services.get(name);
    if (container === undefined) throw new Error(`no service ${name} runs`);
    return container;
  }

  /** One attempt, over TCP or UDP, that wants an answer. */
  async tries(from: string, what: string, target: Target, wanted: string): Promise<void> {
    const { result } = await connect(this.service(from), target, { timeoutMs: 400, exchange: true });
    this.report.expect(`${from} ${what}`, wanted, result);
  }
}
