/** A Docker daemon of the tests' own: its data, socket, network namespace, mounts and cgroups are nobody else's. */

import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Daemon, type DaemonOptions, overlayWorks } from './daemon.ts';
import { IMAGE, imageArchive } from './image.ts';
import type { Namespace } from './netns.ts';
import { attempt, Background, type Outcome, type RunOptions, run } from './process.ts';

/** `cgroupParent: '/docker'` is what a daemon takes by default. */
export interface DockerOptions extends DaemonOptions {
  /** Further arguments of dockerd. */
  readonly args?: readonly string[];
}

export interface ContainerOptions {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly network?: string;
  /** Further arguments of `docker run`, before the image. */
  readonly args?: readonly string[];
  /** Sleeps for ever unless told. */
  readonly command?: readonly string[];
}

/** Part of what `docker inspect` says. */
export interface Inspection {
  readonly Id: string;
  readonly Name: string;
  readonly State: { readonly Pid: number; readonly Running: boolean; readonly ExitCode: number };
  readonly NetworkSettings: {
    readonly Networks: Readonly<Record<string, { readonly IPAddress: string; readonly GlobalIPv6Address: string }>>;
  };
}

/** Starts a daemon with our image in it. Takes a second or two. */
export async function startDocker(options: DockerOptions = {}): Promise<Docker> {
  const archive = await imageArchive();
  const docker = new Docker(await Daemon.create('docker', options), options.args ?? []);
  try {
    await docker.start();
    await docker.cli(['load', '-q', '-i', archive]);
    return docker;
  } catch (error) {
    docker.close();
    throw error;
  }
}

export class Docker {
  /** Path of the engine's socket. */
  readonly socket: string;
  readonly #daemon: Daemon;
  readonly #args: readonly string[];

  constructor(daemon: Daemon, args: readonly string[]) {
    this.#daemon = daemon;
    this.#args = args;
    this.socket = join(daemon.directory, 'docker.sock');
    mkdirSync(join(daemon.directory, 'cli'));
    const config = { 'deprecated-key-path': join(daemon.directory, 'key.json') };
    writeFileSync(join(daemon.directory, 'daemon.json'), JSON.stringify(config));
  }

  get namespace(): Namespace {
    return this.#daemon.namespace;
  }

  get cgroupParent(): string {
    return this.#daemon.cgroupParent;
  }

  get pid(): number {
    return this.#daemon.pid;
  }

  /** Kills containers and daemon, removes everything of theirs. Idempotent. */
  close(): void {
    this.#daemon.close();
  }

  /** @internal */
  async start(): Promise<void> {
    const { directory, cgroupParent } = this.#daemon;
    rmSync(join(directory, 'docker.pid'), { force: true });
    const command = [
      ...['dockerd', '--config-file', join(directory, 'daemon.json')],
      ...['--data-root', join(directory, 'data'), '--exec-root', join(directory, 'run')],
      ...['--pidfile', join(directory, 'docker.pid'), '-H', `unix://${this.socket}`],
      ...['--cgroup-parent', cgroupParent, '--exec-opt', 'native.cgroupdriver=cgroupfs'],
      ...['--storage-driver', overlayWorks(directory) ? 'overlay2' : 'vfs'],
      ...['--ipv6', '--fixed-cidr-v6', 'fd5a:13::/64', '--log-level', 'warn'],
      ...this.#args,
    ];
    await this.#daemon.start(
      command,
      async () => existsSync(this.socket) && (await this.attempt(['version'])).status === 0,
    );
  }

  /** Stops the daemon, which ends its containers, and starts it anew on the same data. */
  async restart(): Promise<void> {
    this.#daemon.stop();
    await this.start();
  }

  /** Runs the `docker` command against this daemon. Throws `CommandError` unless its status is 0. */
  cli(args: readonly string[], options?: RunOptions): Promise<string> {
    return run(this.command(args), options);
  }

  attempt(args: readonly string[], options?: RunOptions): Promise<Outcome> {
    return attempt(this.command(args), options);
  }

  /** The command line of `docker` for this daemon. */
  command(args: readonly string[]): string[] {
    return ['docker', '--config', join(this.#daemon.directory, 'cli'), '--host', `unix://${this.socket}`, ...args];
  }

  /** `docker run -d`; returns when the container runs. */
  async run(options: ContainerOptions): Promise<Container> {
    const labels = Object.entries(options.labels ?? {}).flatMap(([key, value]) => ['--label', `${key}=${value}`]);
    const network = options.network === undefined ? [] : ['--network', options.network];
    const args = ['run', '-d', '--name', options.name, ...labels, ...network, ...(options.args ?? [])];
    const id = (await this.cli([...args, IMAGE, ...(options.command ?? ['sleep', '2147483647'])])).trim();
    return new Container(this, id, options.name);
  }
}

export class Container {
  readonly docker: Docker;
  readonly id: string;
  readonly name: string;
  readonly inImage = true;

  constructor(docker: Docker, id: string, name: string) {
    this.docker = docker;
    this.id = id;
    this.name = name;
  }

  async inspect(): Promise<Inspection> {
    return (JSON.parse(await this.docker.cli(['inspect', this.id])) as [Inspection])[0];
  }

  /** Its IPv4 address in its only, or the named, network. */
  async ipv4(network?: string): Promise<string> {
    const networks = (await this.inspect()).NetworkSettings.Networks;
    const found = network === undefined ? Object.values(networks)[0] : networks[network];
    if (!found) throw new Error(`rig: container "${this.name}" is not in network "${network ?? '(any)'}"`);
    return found.IPAddress;
  }

  /** `docker exec`. Throws `CommandError` unless its status is 0. */
  exec(command: readonly string[], options?: RunOptions): Promise<string> {
    return this.docker.cli(['exec', this.id, ...command], options);
  }

  attempt(command: readonly string[], options?: RunOptions): Promise<Outcome> {
    return this.docker.attempt(['exec', this.id, ...command], options);
  }

  /** `docker exec` in the background. */
  start(command: readonly string[]): Background {
    return new Background(this.docker.command(['exec', '-i', this.id, ...command]));
  }

  async stop(): Promise<void> {
    await this.docker.cli(['stop', '-t', '0', this.id]);
  }

  async remove(): Promise<void> {
    await this.docker.cli(['rm', '-f', this.id]);
  }
}
