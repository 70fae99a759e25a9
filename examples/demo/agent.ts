/** An agent with pins, socket, configuration and policies of its own, and what a reader would type at it. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import type { StatusView } from '../../src/agent/api/contract.ts';
import { AgentClient } from '../../src/cli/client.ts';
import { closeOnExit, waitFor } from '../../test/rig/cleanup.ts';
import { attempt, type Background, type Outcome } from '../../test/rig/process.ts';
import type { Report } from './report.ts';

export const SALLYPORT = resolve(import.meta.dirname, '../../bin/sallyport');
/** Under emulation a command takes some seconds. */
const COMMAND_MS = 120_000;
const POLICIES = resolve(import.meta.dirname, 'policies');

export interface AgentOptions {
  /** Its node's name, before the prompt. */
  readonly name: string;
  /** Where the agent runs. */
  readonly host: { start(command: readonly string[]): Background };
  /** Exists; everything is put below it. */
  readonly directory: string;
  readonly report: Report;
  readonly settings: Readonly<Record<string, unknown>>;
}

export class Agent {
  readonly close: () => void;
  readonly #options: AgentOptions;
  readonly #directory: string;
  readonly #pins: string;
  #process: Background | undefined;

  constructor(options: AgentOptions) {
    const { name, directory } = options;
    this.#options = options;
    this.#directory = join(directory, name);
    this.#pins = `/sys/fs/bpf/sallyport-demo-${process.pid}-${name}`;
    mkdirSync(join(this.#directory, 'policies'), { recursive: true });
    this.configure({});
    this.close = closeOnExit(() => {
      this.#process?.close();
      // Links go with their pins, and maps with the last link.
      rmSync(this.#pins, { recursive: true, force: true });
    });
  }

  /** Writes the configuration that the next start reads: what the agent was made with, and this. */
  configure(settings: Readonly<Record<string, unknown>>): void {
    const own = {
      node: this.#options.name,
      domain: 'demo',
      api: { socket: this.#socket },
      policies: { directory: join(this.#directory, 'policies') },
      state: { directory: join(this.#directory, 'state') },
      datapath: { pins: this.#pins },
      metrics: { address: '127.0.0.1:9464' },
      log: { level: 'warn' },
      ...this.#options.settings,
    };
    writeFileSync(this.#config, stringify({ ...own, ...settings }));
  }

  /** Starts it, and waits until it enforces. */
  async start(timeoutMs = 60_000): Promise<void> {
    const agent = this.#options.host.start([SALLYPORT, 'agent', '--config', this.#config]);
    this.#process = agent;
    let said = '';
    const answers = async (): Promise<boolean> => {
      if (!agent.running) throw new Error(`the agent ended: ${agent.stderr.slice(-2000)}${agent.stdout.slice(-2000)}`);
      try {
        const status = await this.ask<StatusView>('/v1/status');
        said = status.problems.join('\n');
        return status.ready;
      } catch (error) {
        said = String(error); // its socket comes when it is ready for it
        return false;
      }
    };
    await waitFor('the agent is ready', answers, timeoutMs).catch((error: unknown) => {
      throw new Error(`agent of ${this.#options.name}: ${said}`, { cause: error });
    });
  }

  /** As systemd ends it. What it has put into the kernel stays. */
  async stop(): Promise<void> {
    this.#process?.kill('SIGTERM');
    await this.#process?.exited;
    this.#process = undefined;
  }

  /** `kill -9`. */
  kill(): void {
    this.#process?.kill('SIGKILL');
    this.#process?.close();
    this.#process = undefined;
    this.#tell('kill -9 AGENT', '');
  }

  /** What its API answers. Cheaper than a command, for what is asked again and again. */
  ask<T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<T> {
    const client = new AgentClient({ socket: this.#socket, timeoutMs: 30_000, signal: new AbortController().signal });
    return client.get<T>(path, query);
  }

  sallyport(args: readonly string[], input?: string): Promise<Outcome> {
    const command = [SALLYPORT, '--socket', this.#socket, ...args];
    return attempt(command, { timeout: COMMAND_MS, ...(input === undefined ? {} : { input }) });
  }

  /** Runs a command and tells what it said. */
  async show(...args: readonly string[]): Promise<void> {
    const { stdout, stderr } = await this.sallyport(args);
    this.#tell(`sallyport ${args.join(' ')}`, stdout + stderr);
  }

  /** What a command says as JSON; an empty list where it fails. */
  async list<T>(...args: readonly string[]): Promise<readonly T[]> {
    const { stdout } = await this.sallyport([...args, '-o', 'json']);
    return JSON.parse(stdout || '[]') as T[];
  }

  /** Applies one of the policies beside this file. */
  async apply(name: string): Promise<void> {
    const path = join(POLICIES, `${name}.yaml`);
    const { status, stdout, stderr } = await this.sallyport(['policy', 'apply', '-f', path]);
    this.#tell(`sallyport policy apply -f ${name}.yaml`, stdout + stderr);
    if (status !== 0) throw new Error(`policy ${name} was refused`);
  }

  /** Applies one that reads otherwise than in its file. */
  async applyChanged(name: string, change: (text: string) => string, what: string): Promise<void> {
    const text = change(readFileSync(join(POLICIES, `${name}.yaml`), 'utf8'));
    const { stdout, stderr } = await this.sallyport(['policy', 'apply', '-f', '-'], text);
    this.#tell(`sallyport policy apply -f - # ${what}`, stdout + stderr);
  }

  /** Metrics as Prometheus would scrape them. */
  async metrics(): Promise<readonly string[]> {
    return (await this.sallyport(['metrics'])).stdout.split('\n');
  }

  /** One of them: its line. */
  async metric(series: string): Promise<string> {
    return (await this.metrics()).find((line) => line.startsWith(`${series} `)) ?? `${series} 0`;
  }

  #tell(command: string, output: string): void {
    this.#options.report.command(command, output, this.#options.name);
  }

  get #socket(): string {
    return join(this.#directory, 'agent.sock');
  }

  get #config(): string {
    return join(this.#directory, 'agent.yaml');
  }
}
