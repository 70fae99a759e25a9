/** A containerd of the tests' own, with its CRI service and a bridge by CNI: pods without a kubelet. */

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Cri } from './cri.ts';
import { Daemon, type DaemonOptions, overlayWorks } from './daemon.ts';
import { IMAGE, imageArchive, PAUSE_IMAGE } from './image.ts';
import type { Namespace } from './netns.ts';
import { attempt, Background, type Outcome, type RunOptions, run } from './process.ts';

const CACHE = join(import.meta.dirname, '../../.cache/cni');
const PLUGIN_DIRECTORIES = ['/usr/lib/cni', '/opt/cni/bin', join(CACHE, 'usr/lib/cni')];
const NAMESPACE = 'k8s.io';
/** runtime.v1.ContainerState. */
const CONTAINER_EXITED = 2;

export interface PodOptions {
  readonly name: string;
  /** `default` unless told. */
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly hostNetwork?: boolean;
  /** It and its containers. */
  readonly privileged?: boolean;
  /** As its API server calls it; another one for each unless told. */
  readonly uid?: string;
  /** Of its cgroup, below all pods' own. */
  readonly cgroup?: string;
}

/** The plug-ins of the Debian package, unpacked into the cache where they are not installed. */
export async function pluginDirectory(): Promise<string> {
  const found = PLUGIN_DIRECTORIES.find((path) => existsSync(join(path, 'bridge')));
  if (found) return found;
  mkdirSync(CACHE, { recursive: true });
  const download = ['apt-get', '-q', 'download', 'containernetworking-plugins'];
  if ((await attempt(download, { cwd: CACHE, timeout: 120_000 })).status !== 0) {
    await run(['apt-get', '-q', 'update'], { timeout: 300_000 });
    await run(download, { cwd: CACHE, timeout: 120_000 });
  }
  await run(['/bin/sh', '-c', 'dpkg -x containernetworking-plugins_*.deb . && rm *.deb'], { cwd: CACHE });
  return join(CACHE, 'usr/lib/cni');
}

/** Starts one with our image in it. */
export async function startContainerd(options: DaemonOptions = {}): Promise<Containerd> {
  const [archive, plugins] = [await imageArchive(), await pluginDirectory()];
  const containerd = new Containerd(await Daemon.create('containerd', options), plugins);
  try {
    await containerd.start();
    await containerd.ctr(['images', 'import', archive], { timeout: 120_000 });
    return containerd;
  } catch (error) {
    containerd.close();
    throw error;
  }
}

export class Containerd {
  /** Path of the socket, which serves the CRI too. */
  readonly socket: string;
  readonly cri: Cri;
  readonly #daemon: Daemon;
  readonly #config: string;
  #pods = 0;

  constructor(daemon: Daemon, plugins: string) {
    this.#daemon = daemon;
    const { directory } = daemon;
    this.socket = join(directory, 'containerd.sock');
    this.#config = join(directory, 'config.toml');
    this.cri = new Cri(this.socket);
    mkdirSync(join(directory, 'cni'));
    writeFileSync(join(directory, 'cni/10-bridge.conflist'), JSON.stringify(network(directory)));
    writeFileSync(
      this.#config,
      `version = 2
root = "${directory}/root"
state = "${directory}/state"
[grpc]
  address = "${this.socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "${directory}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "${overlayWorks(directory) ? 'overlayfs' : 'native'}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${plugins}"
    conf_dir = "${directory}/cni"
`,
    );
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
    this.cri.close();
    this.#daemon.close();
  }

  /** @internal */
  async start(): Promise<void> {
    await this.#daemon.start(
      ['containerd', '--config', this.#config, '--log-level', 'warn'],
      async () => existsSync(this.socket) && (await this.cri.ready()),
    );
  }

  /** Runs `ctr` in the namespace of the CRI. Throws `CommandError` unless its status is 0. */
  ctr(args: readonly string[], options?: RunOptions): Promise<string> {
    return run(this.command(args), options);
  }

  command(args: readonly string[]): string[] {
    return ['ctr', '--address', this.socket, '--namespace', NAMESPACE, ...args];
  }

  /** Runs a pod sandbox; containers are added to it. */
  async createPod(options: PodOptions): Promise<Pod> {
    this.#pods += 1;
    const namespace = options.namespace ?? 'default';
    const uid = options.uid ?? `00000000-0000-4000-8000-${String(this.#pods).padStart(12, '0')}`;
    const config = {
      metadata: { name: options.name, uid, namespace, attempt: 0 },
      logDirectory: join(this.#daemon.directory, 'logs', uid),
      labels: {
        'io.kubernetes.pod.name': options.name,
        'io.kubernetes.pod.namespace': namespace,
        'io.kubernetes.pod.uid': uid,
        ...options.labels,
      },
      annotations: { ...options.annotations },
      linux: {
        cgroupParent: join(this.cgroupParent, options.cgroup ?? '', `pod${uid}`),
        securityContext: {
          namespaceOptions: { network: options.hostNetwork ? 2 : 0 },
          privileged: options.privileged ?? false,
        },
      },
    };
    const { podSandboxId } = await this.cri.runPodSandbox({ config });
    return new Pod(this, podSandboxId, config);
  }
}

type PodConfig = Parameters<Cri['runPodSandbox']>[0]['config'];

export class Pod {
  readonly containerd: Containerd;
  readonly id: string;
  readonly #config: PodConfig;

  constructor(containerd: Containerd, id: string, config: PodConfig) {
    this.containerd = containerd;
    this.id = id;
    this.#config = config;
  }

  get uid(): string {
    return this.#config.metadata.uid;
  }

  /** Its addresses, IPv4 first; none with the host's network. */
  async addresses(): Promise<string[]> {
    const { status } = await this.containerd.cri.podSandboxStatus({ podSandboxId: this.id });
    const { ip, additionalIps } = status.network;
    return [ip, ...additionalIps.map((more) => more.ip)].filter(Boolean);
  }

  /** Creates and starts a container in it; sleeps for ever unless given a command. */
  async createContainer(name: string, command: readonly string[] = ['sleep', '2147483647']): Promise<PodContainer> {
    const { cri } = this.containerd;
    const { containerId } = await cri.createContainer({
      podSandboxId: this.id,
      config: {
        metadata: { name, attempt: 0 },
        image: { image: `docker.io/library/${IMAGE}` },
        command: [...command],
        labels: { ...this.#config.labels, 'io.kubernetes.container.name': name },
        logPath: `${name}.log`,
        linux: { securityContext: { privileged: this.#config.linux.securityContext.privileged } },
      },
      sandboxConfig: this.#config,
    });
    await cri.startContainer({ containerId });
    return new PodContainer(this, containerId, name);
  }

  async remove(): Promise<void> {
    await this.containerd.cri.stopPodSandbox({ podSandboxId: this.id });
    await this.containerd.cri.removePodSandbox({ podSandboxId: this.id });
  }
}

export class PodContainer {
  readonly pod: Pod;
  readonly id: string;
  readonly name: string;
  readonly inImage = true;
  #executions = 0;

  constructor(pod: Pod, id: string, name: string) {
    this.pod = pod;
    this.id = id;
    this.name = name;
  }

  /** Runs a command in it. Throws `CommandError` unless its status is 0. */
  exec(command: readonly string[], options?: RunOptions): Promise<string> {
    return run(this.#command(command), options);
  }

  attempt(command: readonly string[], options?: RunOptions): Promise<Outcome> {
    return attempt(this.#command(command), options);
  }

  start(command: readonly string[]): Background {
    return new Background(this.#command(command));
  }

  /** Of its first process, as this machine numbers it. */
  async pid(): Promise<number> {
    const tasks = await this.pod.containerd.ctr(['tasks', 'ls']);
    const [, pid] = tasks.match(new RegExp(`^${this.id}\\s+(\\d+)`, 'm')) ?? [];
    if (pid === undefined) throw new Error(`rig: container "${this.name}" does not run`);
    return Number(pid);
  }

  /** Its exit status; undefined while it has not ended. */
  async exitStatus(): Promise<number | undefined> {
    const { status } = await this.pod.containerd.cri.containerStatus({ containerId: this.id });
    return status.state === CONTAINER_EXITED ? status.exitCode : undefined;
  }

  async stop(): Promise<void> {
    await this.pod.containerd.cri.stopContainer({ containerId: this.id, timeout: 0 });
  }

  async remove(): Promise<void> {
    await this.pod.containerd.cri.removeContainer({ containerId: this.id });
  }

  #command(command: readonly string[]): string[] {
    this.#executions += 1;
    const execution = `e${process.pid}-${this.#executions}`;
    return this.pod.containerd.command(['tasks', 'exec', '--exec-id', execution, this.id, ...command]);
  }
}

/** The bridge plug-in with an IPv4 and an IPv6 range, as single-node clusters have it. */
function network(directory: string): object {
  const ipam = {
    type: 'host-local',
    dataDir: join(directory, 'ipam'),
    ranges: [[{ subnet: '10.89.0.0/16' }], [{ subnet: 'fd5a:14::/64' }]],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
  };
  const bridge = { type: 'bridge', bridge: 'cni0', isGateway: true, ipMasq: false, hairpinMode: true, ipam };
  return { cniVersion: '0.4.0', name: 'bridge', plugins: [bridge] };
}
