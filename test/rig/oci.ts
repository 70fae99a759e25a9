/** Containers by an OCI runtime (crun) alone, with no daemon: for machines where none can be started. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cgroup2Mount } from './cgroup.ts';
import { closeOnExit } from './cleanup.ts';
import { fillRootfs } from './image.ts';
import type { Endpoint } from './node.ts';
import { attempt, attemptSync, Background, type Outcome, type RunOptions, run } from './process.ts';

export interface OciOptions {
  readonly name: string;
  /** Whose network namespace it runs in, and below whose cgroup. */
  readonly endpoint: Endpoint;
  /** Sleeps for ever unless told. */
  readonly command?: readonly string[];
}

/** Containers that share a root file system (busybox and the traffic tool), read-only. */
export class Oci {
  readonly directory: string;
  readonly close: () => void;
  readonly #containers = new Set<OciContainer>();

  private constructor() {
    this.directory = mkdtempSync(join(tmpdir(), `sallyport-test-${process.pid}-`));
    this.close = closeOnExit(() => {
      for (const container of this.#containers) container.close();
      rmSync(this.directory, { recursive: true, force: true });
    });
  }

  static async create(): Promise<Oci> {
    const oci = new Oci();
    mkdirSync(join(oci.directory, 'rootfs'));
    await fillRootfs(join(oci.directory, 'rootfs'));
    return oci;
  }

  async run(options: OciOptions): Promise<OciContainer> {
    const container = new OciContainer(this, options);
    this.#containers.add(container);
    await container.begin();
    return container;
  }

  /** crun refuses mixed hierarchies: there it is shown cgroup2 alone. */
  command(args: readonly string[]): string[] {
    const crun = ['crun', '--root', join(this.directory, 'state'), '--cgroup-manager', 'cgroupfs', ...args];
    if (cgroup2Mount() === '/sys/fs/cgroup') return crun;
    const script = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"';
    return ['unshare', '--mount', '--propagation', 'private', '--', '/bin/sh', '-c', script, 'sh', ...crun];
  }
}

export class OciContainer {
  readonly id: string;
  readonly name: string;
  readonly inImage = true;
  readonly close: () => void;
  readonly #oci: Oci;
  readonly #bundle: string;
  #main: Background | undefined;

  constructor(oci: Oci, options: OciOptions) {
    this.#oci = oci;
    this.name = options.name;
    this.id = `sallyport-test-${process.pid}-${options.name}`;
    this.#bundle = join(oci.directory, `bundle-${options.name}`);
    mkdirSync(this.#bundle);
    writeFileSync(join(this.#bundle, 'config.json'), JSON.stringify(specification(oci, options)));
    this.close = closeOnExit(() => {
      attemptSync(oci.command(['delete', '--force', this.id]));
      this.#main?.close();
    });
  }

  /** @internal */
  async begin(): Promise<void> {
    this.#main = new Background(this.#oci.command(['run', '--bundle', this.#bundle, this.id]));
    for (let tries = 0; tries < 200; tries += 1) {
      const state = await attempt(this.#oci.command(['state', this.id]));
      if (state.status === 0 && state.stdout.includes('"running"')) return;
      if (!this.#main.running) break;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`rig: container "${this.name}" does not run: ${this.#main.stderr}`);
  }

  /** Runs a command in it. Throws `CommandError` unless its status is 0. */
  exec(command: readonly string[], options?: RunOptions): Promise<string> {
    return run(this.#oci.command(['exec', this.id, ...command]), options);
  }

  attempt(command: readonly string[], options?: RunOptions): Promise<Outcome> {
    return attempt(this.#oci.command(['exec', this.id, ...command]), options);
  }

  /** Runs a command in it in the background. */
  start(command: readonly string[]): Background {
    return new Background(this.#oci.command(['exec', this.id, ...command]));
  }
}

/** What Docker grants that traffic needs. */
const CAPABILITIES = ['CAP_NET_RAW', 'CAP_NET_BIND_SERVICE'];

function specification(oci: Oci, { endpoint, command, name }: OciOptions): object {
  return {
    ociVersion: '1.0.2',
    hostname: name,
    root: { path: join(oci.directory, 'rootfs'), readonly: true },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: command ?? ['sleep', '2147483647'],
      env: ['PATH=/bin'],
      cwd: '/',
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=65536k'] },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs' },
    ],
    linux: {
      cgroupsPath: `/${endpoint.cgroup.name}/${name}`,
      namespaces: [
        ...['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })),
        { type: 'network', path: endpoint.namespace.path },
      ],
    },
  };
}
