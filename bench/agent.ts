/** An agent as it is shipped (`bin/sallyport`), with a place of its own for everything, beside any other. */

import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { StatusView } from '../src/agent/api/contract.ts';
import { mountBpffs } from '../src/libbpf/index.ts';
import { closeOnExit, waitFor, waitSync } from '../test/rig/cleanup.ts';
import { uniqueName } from '../test/rig/names.ts';
import type { Place } from '../test/rig/netns.ts';
import { type Background, isRunning } from '../test/rig/process.ts';

export const PROGRAM = join(import.meta.dirname, '../bin/sallyport');

/** USER_HZ is 100 on every architecture Node runs on. */
const TICK_MS = 10;

export interface PlainWorkload {
  /** Below the cgroup2 mount, without a leading slash. */
  readonly cgroup: string;
  /** `namespace/kind/name`. */
  readonly workload: string;
}

export class Agent {
  /** Stops it, which detaches everything, and removes its files. Idempotent. */
  readonly close: () => void;
  readonly #host: Place;
  readonly #directory: string;
  readonly #pins: string;
  #process: Background | undefined;

  /** For the workloads of one host. Sizes are entries of the kernel's tables; `more` are sections of its configuration. */
  constructor(
    host: Place,
    workloads: readonly PlainWorkload[],
    sizes: Readonly<Record<string, number>> = {},
    more: Readonly<Record<string, unknown>> = {},
  ) {
    this.#host = host;
    this.#directory = mkdtempSync(join(tmpdir(), `sallyport-test-${process.pid}-`));
    mkdirSync(join(this.#directory, 'policies'));
    mountBpffs('/sys/fs/bpf');
    this.#pins = join('/sys/fs/bpf', uniqueName('bench'));
    const config = {
      datapath: { pins: this.#pins, sizes },
      policies: { directory: join(this.#directory, 'policies') },
      state: { directory: join(this.#directory, 'state') },
      api: { socket: join(this.#directory, 'agent.sock') },
      metrics: { address: 'off' },
      sources: {
        docker: { enabled: false },
        cri: { enabled: false },
        cgroups: workloads.map(({ cgroup, workload }) => ({ path: `/${cgroup}`, workload })),
      },
      events: { log: 'none' },
      fail: { stop: 'open' },
      log: { level: 'warn' },
      ...more,
    };
    writeFileSync(join(this.#directory, 'agent.yaml'), stringify(config));
    this.close = closeOnExit(() => {
      this.#stop();
      rmSync(this.#pins, { recursive: true, force: true });
      rmSync(this.#directory, { recursive: true, force: true });
    });
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Starts it; does not wait. */
  start(): void {
    this.#process = this.#host.start([PROGRAM, 'agent', '--config', join(this.#directory, 'agent.yaml')]);
  }

  /** Waits until `endpoints` are enforced under `policies`. */
  async enforcing(endpoints: number, policies: number, timeoutMs = 60_000): Promise<void> {
    await waitFor(
      `an agent enforces ${policies} policies on ${endpoints} endpoints`,
      async () => {
        if (!this.#process?.running) throw new Error(`bench: the agent ended: ${this.#process?.stderr.slice(-2000)}`);
        const status = await this.status().catch(() => undefined); // its socket comes when it is ready for it
        if (status?.policies.errors.length) throw new Error(`bench: ${JSON.stringify(status.policies.errors[0])}`);
        return (
          status?.ready === true && status.endpoints.enforced === endpoints && status.policies.enforce === policies
        );
      },
      timeoutMs,
    );
  }

  /** Publishes a policy file, whole. */
  writePolicy(name: string, text: string): void {
    const partial = join(this.#directory, `${name}.partial`);
    writeFileSync(partial, text);
    renameSync(partial, join(this.#directory, 'policies', name));
  }

  removePolicy(name: string): void {
    rmSync(join(this.#directory, 'policies', name), { force: true });
  }

  status(): Promise<StatusView> {
    return this.get<StatusView>('/v1/status');
  }

  /** What its API answers at a path. */
  async get<T>(path: string): Promise<T> {
    return JSON.parse(await this.text(path)) as T;
  }

  /** The same, as it is sent. */
  text(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: join(this.#directory, 'agent.sock'), path }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(`bench: the agent answered ${response.statusCode}: ${text.slice(0, 500)}`));
        });
      });
      call.on('error', reject);
      call.end();
    });
  }

  /** Resident memory in bytes. */
  get memory(): number {
    const [, kib] = readFileSync(`/proc/${this.pid}/status`, 'latin1').match(/^VmRSS:\s+(\d+) kB/m) ?? [];
    return Number(kib) * 1024;
  }

  /** Milliseconds of CPU it has had. */
  get cpu(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, 'latin1');
    const [user, system] = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 13)
      .map(Number);
    return (user! + system!) * TICK_MS;
  }

  #stop(): void {
    const agent = this.#process;
    if (!agent || !isRunning(agent.pid)) return;
    agent.kill('SIGTERM');
    waitSync(() => !isRunning(agent.pid), 10_000);
    agent.close();
  }
}
