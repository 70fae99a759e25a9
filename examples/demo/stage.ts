/** A Docker daemon, an agent beside it, and what a reader would type: all in a network namespace of their own. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { closeOnExit, waitFor } from '../../test/rig/cleanup.ts';
import { type Container, type Docker, startDocker } from '../../test/rig/docker.ts';
import { attempt, type Background, type Outcome } from '../../test/rig/process.ts';
import { buildTraffic } from '../../test/rig/traffic.ts';

const SALLYPORT = resolve(import.meta.dirname, '../../bin/sallyport');

export class Stage {
  readonly docker: Docker;
  readonly directory: string;
  readonly pins: string;
  #agent: Background | undefined;
  readonly close: () => void;

  private constructor(docker: Docker) {
    this.docker = docker;
    this.directory = mkdtempSync(join(tmpdir(), 'sallyport-demo-'));
    this.pins = `/sys/fs/bpf/sallyport-demo-${process.pid}`;
    mkdirSync(join(this.directory, 'policies'));
    this.close = closeOnExit(() => {
      this.#agent?.close();
      this.docker.close();
      // Links go with their pins, and maps with the last link.
      rmSync(this.pins, { recursive: true, force: true });
      rmSync(this.directory, { recursive: true, force: true });
    });
  }

  static async open(): Promise<Stage> {
    await buildTraffic();
    return new Stage(await startDocker());
  }

  /** One service of the compose project `shop`, as `docker compose up` would run it. */
  service(name: string): Promise<Container> {
    const labels = { 'com.docker.compose.project': 'shop', 'com.docker.compose.service': name };
    return this.docker.run({ name, labels });
  }

  /** Starts the agent and waits until it enforces. */
  async startAgent(): Promise<void> {
    const settings = {
      'api.socket': this.#socket,
      'policies.directory': join(this.directory, 'policies'),
      'state.directory': join(this.directory, 'state'),
      'datapath.pins': this.pins,
      'sources.docker.enabled': 'true',
      'sources.docker.socket': this.docker.socket,
      'sources.cri.enabled': 'false',
      'metrics.address': '127.0.0.1:9464',
      'log.level': 'warn',
    };
    const flags = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    const agent = this.docker.namespace.start([SALLYPORT, 'agent', ...flags]);
    this.#agent = agent;
    await waitFor(
      'the agent answers',
      async () => {
        if (!agent.running)
          throw new Error(`the agent ended: ${agent.stderr.slice(-2000)}${agent.stdout.slice(-2000)}`);
        return (await this.sallyport(['status'])).status === 0;
      },
      20_000,
    );
  }

  /** `kill -9`. */
  killAgent(): void {
    this.#agent?.kill('SIGKILL');
    this.#agent?.close();
    this.#agent = undefined;
  }

  sallyport(args: readonly string[], input?: string): Promise<Outcome> {
    const command = [SALLYPORT, '--socket', this.#socket, ...args];
    return attempt(command, input === undefined ? { timeout: 30_000 } : { timeout: 30_000, input });
  }

  /** Metrics as Prometheus would scrape them. */
  async metrics(): Promise<string> {
    return (await this.sallyport(['metrics'])).stdout;
  }

  get #socket(): string {
    return join(this.directory, 'agent.sock');
  }
}
