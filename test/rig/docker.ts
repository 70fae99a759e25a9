/** A Docker daemon of the tests' own: its data, socket, network namespace, mounts and cgroups are nobody else's. */

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeCgroup } from './cgroup.ts';
import { closeOnExit, waitFor, waitSync } from './cleanup.ts';
import { IMAGE, imageArchive } from './image.ts';
import { uniqueName } from './names.ts';
import { Namespace } from './netns.ts';
import { attempt, attemptSync, Background, isRunning, type Outcome, type RunOptions, run } from './process.ts';

export interface DockerOptions {
  /** Where the daemon and its bridge live; a new namespace unless told. */
  readonly namespace?: Namespace;
  /** Parent of the containers' cgroups, from the root; a new one unless told. `/docker` is the daemon's own default. */
  readonly cgroupParent?: string;
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
  const own = options.namespace === undefined;
  const namespace = options.namespace ?? (await Namespace.create('docker'));
  const docker = new Docker(namespace, own, options.cgroupParent ?? `/${uniqueName('docker')}`, options.args ?? []);
  try {
    await docker.ready();
    await docker.cli(['load', '-q', '-i', archive]);
    return docker;
  } catch (error) {
    docker.close();
    throw error;
  }
}

export class Docker {
  readonly namespace: Namespace;
  readonly cgroupParent: string;
  /** Path of the engine's socket. */
  readonly socket: string;
  /** Kills containers and daemon, removes everything of theirs. Idempotent. */
  readonly close: () => void;
  readonly #directory: string;
  readonly #daemonCommand: readonly string[];
  #daemon: Background;

  constructor(namespace: Namespace, ownNamespace: boolean, cgroupParent: string, args: readonly string[]) {
    this.namespace = namespace;
    this.cgroupParent = cgroupParent;
    this.#directory = mkdtempSync(join(tmpdir(), 'sallyport-test-docker-'));
    this.socket = join(this.#directory, 'docker.sock');
    mkdirSync(join(this.#directory, 'cli'));
    const config = { 'deprecated-key-path': join(this.#directory, 'key.json') };
    writeFileSync(join(this.#directory, 'daemon.json'), JSON.stringify(config));
    this.#daemonCommand = namespace.enter([
      // Mounts of its own vanish with it.
      ...['unshare', '--mount', '--propagation', 'slave', '--', 'dockerd'],
      ...['--config-file', join(this.#directory, 'daemon.json')],
      ...['--data-root', join(this.#directory, 'data'), '--exec-root', join(this.#directory, 'run')],
      ...['--pidfile', join(this.#directory, 'docker.pid'), '-H', `unix://${this.socket}`],
      ...['--cgroup-parent', cgroupParent, '--exec-opt', 'native.cgroupdriver=cgroupfs'],
      ...['--storage-driver', overlayWorks(this.#directory) ? 'overlay2' : 'vfs'],
      ...['--ipv6', '--fixed-cidr-v6', 'fd5a:13::/64', '--log-level', 'warn'],
      ...args,
    ]);
    const restore = ownNamespace ? () => {} : rememberFirewall(namespace);
    this.#daemon = new Background(this.#daemonCommand);
    this.close = closeOnExit(() => {
      this.#stopDaemon();
      if (namespace.name === undefined) attemptSync(['ip', 'link', 'del', 'docker0']);
      restore();
      if (ownNamespace) namespace.close();
      rmSync(this.#directory, { recursive: true, force: true });
    });
  }

  get pid(): number {
    return this.#daemon.pid;
  }

  /** @internal */
  async ready(): Promise<void> {
    await waitFor(
      'dockerd answers',
      async () => {
        if (!this.#daemon.running) throw new Error(`rig: dockerd ended: ${this.#daemon.stderr.slice(-2000)}`);
        return existsSync(this.socket) && (await this.attempt(['version'])).status === 0;
      },
      60_000,
    );
  }

  /** Stops the daemon, which ends its containers, and starts it anew on the same data. */
  async restart(): Promise<void> {
    this.#stopDaemon();
    rmSync(join(this.#directory, 'docker.pid'), { force: true });
    this.#daemon = new Background(this.#daemonCommand);
    await this.ready();
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
    return ['docker', '--config', join(this.#directory, 'cli'), '--host', `unix://${this.socket}`, ...args];
  }

  /** `docker run -d`; returns when the container runs. */
  async run(options: ContainerOptions): Promise<Container> {
    const labels = Object.entries(options.labels ?? {}).flatMap(([key, value]) => ['--label', `${key}=${value}`]);
    const network = options.network === undefined ? [] : ['--network', options.network];
    const args = ['run', '-d', '--name', options.name, ...labels, ...network, ...(options.args ?? [])];
    const id = (await this.cli([...args, IMAGE, ...(options.command ?? ['sleep', '2147483647'])])).trim();
    return new Container(this, id, options.name);
  }

  #stopDaemon(): void {
    const shims = isRunning(this.pid) ? processesInMountNamespaceOf(this.pid) : [];
    // Containers first: the daemon would grant each ten seconds.
    for (const mount of cgroupMounts()) {
      const path = join(mount, this.cgroupParent);
      if (existsSync(join(path, 'cgroup.kill'))) writeFileSync(join(path, 'cgroup.kill'), '1');
    }
    if (isRunning(this.pid)) {
      this.#daemon.kill('SIGTERM');
      waitSync(() => !isRunning(this.pid), 10_000);
    }
    this.#daemon.close();
    for (const pid of shims) if (isRunning(pid)) attemptSync(['kill', '-9', String(pid)]);
    waitSync(() => shims.every((pid) => !isRunning(pid)), 5000);
    for (const mount of cgroupMounts()) removeCgroup(join(mount, this.cgroupParent));
  }
}

export class Container {
  readonly docker: Docker;
  readonly id: string;
  readonly name: string;

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

/** Whether overlayfs works above `directory`; it does not above another overlay. */
function overlayWorks(directory: string): boolean {
  const script =
    'cd "$0" && mkdir -p probe/l probe/u probe/w probe/m && ' +
    'mount -t overlay overlay -o lowerdir=probe/l,upperdir=probe/u,workdir=probe/w probe/m && umount probe/m';
  const works = attemptSync(['unshare', '--mount', '--', '/bin/sh', '-c', script, directory]).status === 0;
  rmSync(join(directory, 'probe'), { recursive: true, force: true });
  return works;
}

function processesInMountNamespaceOf(pid: number): number[] {
  const own = readlinkSync(`/proc/${pid}/ns/mnt`);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== pid)
    .map(Number)
    .filter((other) => {
      try {
        return readlinkSync(`/proc/${other}/ns/mnt`) === own;
      } catch {
        return false; // gone meanwhile
      }
    });
}

/** Mount points of every cgroup hierarchy, version 1 and 2. */
function cgroupMounts(): string[] {
  return readFileSync('/proc/self/mountinfo', 'latin1')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(' ')[4]!);
}

/** The daemon writes rules and sets forwarding in a namespace that outlives it: returns what puts them back. */
function rememberFirewall(namespace: Namespace): () => void {
  const inside = (command: readonly string[]) => attemptSync(namespace.enter(command));
  const nft = inside(['nft', 'list', 'ruleset']).stdout;
  const legacy = ['iptables-legacy', 'ip6tables-legacy'].map(
    (tool) => [tool, inside([`${tool}-save`]).stdout] as const,
  );
  const forwarding = readFileSync('/proc/sys/net/ipv4/ip_forward', 'latin1').trim();
  return () => {
    attemptSync(namespace.enter(['nft', '-f', '-']), { input: `flush ruleset\n${nft}` });
    for (const [tool, rules] of legacy) {
      if (inside([`${tool}-save`]).stdout === '') continue;
      for (const table of ['filter', 'nat']) {
        for (const flag of ['-F', '-X']) inside([tool, '-t', table, flag]);
      }
      inside([tool, '-P', 'FORWARD', 'ACCEPT']);
      if (rules) attemptSync(namespace.enter([`${tool}-restore`]), { input: rules });
    }
    inside(['/bin/sh', '-c', `echo ${forwarding} > /proc/sys/net/ipv4/ip_forward`]);
  };
}
