/** A real agent on a node of the rig's: its own process, pins, socket and policy directory. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { StatusView } from '../../../src/agent/api/contract.ts';
import { AgentClient } from '../../../src/cli/client.ts';
import { mountBpffs } from '../../../src/libbpf/index.ts';
import { closeOnExit, waitFor } from '../../rig/cleanup.ts';
import { createNode, type Endpoint, type Node } from '../../rig/node.ts';
import type { Background, Outcome, RunOptions } from '../../rig/process.ts';
import { buildTraffic, serve } from '../../rig/traffic.ts';

const MAIN = join(import.meta.dirname, '../../../src/cli/main.ts');
/** In an emulated machine all takes its time. */
const EMULATED = process.env.SALLYPORT_VM !== undefined;
/** What was built begins sooner than what is translated first: where test/run says that it was built just now, too. */
const BUILT = EMULATED || process.env.SALLYPORT_BUILT !== undefined;
/** The command line of `sallyport`. */
export const PROGRAM = BUILT
  ? [join(import.meta.dirname, '../../../bin/sallyport')]
  : [process.execPath, '--disable-warning=ExperimentalWarning', MAIN];
const COMMAND_MS = EMULATED ? 120_000 : 30_000;
const START_MS = EMULATED ? 300_000 : 60_000;
const BPFFS = '/sys/fs/bpf';

/** Its socket comes when it is ready for it. */
const NOT_YET: Pick<StatusView, 'ready'> & { endpoints: { enforced: number } } = {
  ready: false,
  endpoints: { enforced: 0 },
};

/** A policy for one unit of the station's namespace. */
export function unitPolicy(name: string, unit: string, spec: string): string {
  return `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: ${name}, namespace: test}
spec:
  subject: {workload: Unit/${unit}}
${spec}
`;
}

/** Where the agent runs: a namespace of the rig's. */
export interface Host {
  attempt(command: readonly string[], options?: RunOptions): Promise<Outcome>;
  start(command: readonly string[]): Background;
}

export class Station {
  readonly host: Host;
  readonly directory: string;
  readonly policies: string;
  readonly socket: string;
  readonly pins: string;
  /** What it was made with. */
  readonly settings: Record<string, unknown>;
  readonly close: () => void;
  /** A command, with its arguments, that becomes the agent: one that takes rights from it. */
  under: readonly string[] = [];
  readonly #config: string;
  readonly #node: Node | undefined;
  #agent: Background | undefined;

  /**
   * @param sources the `sources` of the configuration
   * @param settings other settings, in place of the station's own
   */
  constructor(host: Host, sources: object, node?: Node, settings: object = {}) {
    this.host = host;
    this.#node = node;
    this.directory = mkdtempSync(join(tmpdir(), 'sallyport-test-agent-'));
    this.policies = join(this.directory, 'policies');
    this.socket = join(this.directory, 'run', 'agent.sock');
    this.#config = join(this.directory, 'agent.yaml');
    mountBpffs(BPFFS);
    this.pins = mkdtempSync(join(BPFFS, 'sallyport-test-agent-'));
    mkdirSync(this.policies);
    this.settings = { ...this.#standard(sources), ...settings };
    this.configure(this.settings);
    this.close = closeOnExit(() => {
      this.#agent?.close();
      node?.close();
      rmSync(this.pins, { recursive: true, force: true });
      rmSync(this.directory, { recursive: true, force: true });
    });
  }

  /** A node with one endpoint for each name, each with an echo server on TCP and UDP 80 and 8080. */
  static async create(endpoints: readonly string[]): Promise<Station> {
    await buildTraffic();
    const node = await createNode();
    const station = new Station(
      node.host,
      {
        docker: { enabled: 'false' },
        cri: { enabled: 'false' },
        cgroups: [{ path: `/${node.cgroup.name}/*`, workload: 'test/Unit/{name}' }],
      },
      node,
    );
    for (const name of endpoints) {
      const endpoint = await node.createEndpoint(name);
      await serve(endpoint, { tcp: '80,8080', udp: '80,8080' });
    }
    return station;
  }

  /** Writes the configuration the next start will read. */
  configure(settings: object): void {
    writeFileSync(this.#config, stringify(settings));
  }

  get node(): Node {
    if (this.#node === undefined) throw new Error('the station has no node');
    return this.#node;
  }

  get agent(): Background {
    if (this.#agent === undefined) throw new Error('no agent was started');
    return this.#agent;
  }

  endpoint(name: string): Endpoint {
    const endpoint = this.node.endpoints.get(name);
    if (endpoint === undefined) throw new Error(`no endpoint ${name}`);
    return endpoint;
  }

  /** Starts the agent and waits until it is ready and enforces all endpoints of the node. */
  async start(flags: readonly string[] = []): Promise<void> {
    this.launch(flags);
    const wanted = this.#node?.endpoints.size ?? 0;
    await waitFor(
      'the agent is ready',
      async () => {
        if (!this.agent.running) throw new Error(`the agent ended: ${this.agent.stdout}${this.agent.stderr}`);
        const { ready, endpoints } = await this.ask<StatusView>('/v1/status').catch(() => NOT_YET);
        return ready && endpoints.enforced >= wanted;
      },
      START_MS,
    );
  }

  /** Starts the agent and waits for nothing. */
  launch(flags: readonly string[] = []): void {
    this.#agent = this.host.start([...this.under, ...PROGRAM, 'agent', '--config', this.#config, ...flags]);
  }

  /** Ends the agent as SIGTERM does. @returns its exit status */
  async stop(): Promise<number | null> {
    this.agent.kill('SIGTERM');
    return (await this.agent.exited).status;
  }

  /** Ends the agent as a crash does. */
  async kill(): Promise<void> {
    this.agent.kill('SIGKILL');
    await this.agent.exited;
  }

  /** What its API answers. Cheaper than a command, for what is asked again and again. */
  ask<T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<T> {
    const client = new AgentClient({ socket: this.socket, timeoutMs: 30_000, signal: new AbortController().signal });
    return client.get<T>(path, query);
  }

  cli(args: readonly string[], input?: string): Promise<Outcome> {
    const command = [...PROGRAM, '--socket', this.socket, ...args];
    return this.host.attempt(command, {
      env: { SALLYPORT_DATAPATH_PINS: this.pins },
      timeout: COMMAND_MS,
      ...(input === undefined ? {} : { input }),
    });
  }

  /** Starts a command that does not end by itself. */
  background(args: readonly string[]): Background {
    return this.host.start([...PROGRAM, '--socket', this.socket, ...args]);
  }

  /** What a command prints as JSON; its exit status must be one of those given. */
  async json<T>(args: readonly string[], statuses: readonly (number | null)[] = [0]): Promise<T> {
    const outcome = await this.cli([...args, '-o', 'json']);
    if (!statuses.includes(outcome.status)) throw new Error(`sallyport ${args.join(' ')}: ${outcome.stderr}`);
    return JSON.parse(outcome.stdout) as T;
  }

  status(): Promise<StatusView> {
    return this.json<StatusView>(['status'], [0, 1, 8]);
  }

  /** The value of one series of the agent's metrics; 0 where it has none. */
  async metric(series: string): Promise<number> {
    const { stdout } = await this.cli(['metrics', '--match', series.replace(/\{.*/, '')]);
    const line = stdout.split('\n').find((text) => text.startsWith(`${series} `));
    return line === undefined ? 0 : Number(line.slice(series.length + 1));
  }

  async apply(yaml: string): Promise<void> {
    const { status, stderr } = await this.cli(['policy', 'apply', '-f', '-'], yaml);
    if (status !== 0) throw new Error(stderr);
  }

  /** Detaches everything. The agent must have ended. */
  remove(): Promise<Outcome> {
    return this.host.attempt([...PROGRAM, 'agent', '--config', this.#config, '--remove']);
  }

  #standard(sources: object): Record<string, unknown> {
    return {
      node: 'station',
      domain: 'test',
      datapath: {
        pins: this.pins,
        sizes: { flows: 4096, subjects: 4096, peers: 4096, ports: 4096, networks: 4096, endpoints: 256 },
      },
      policies: { directory: this.policies },
      state: { directory: join(this.directory, 'state') },
      api: { socket: this.socket },
      metrics: { address: '127.0.0.1:9464' },
      // There may be other agents on this machine, whose containers would wait for this one in vain.
      gate: { enabled: false },
      sources,
    };
  }
}
