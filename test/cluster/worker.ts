/**
 * A node of the cluster: containerd, kubelet and kube-proxy in network, mount and UTS namespaces of their own, below a
 * cgroup of their own. What they see at /run, /var/lib and /sys/fs/bpf is theirs alone, so everything is where a real
 * node has it, and all of it ends with its processes.
 */

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Cgroup } from '../rig/cgroup.ts';
import { waitFor } from '../rig/cleanup.ts';
import { pluginDirectory } from '../rig/containerd.ts';
import { overlayWorks } from '../rig/daemon.ts';
import { imageArchive, PAUSE_IMAGE } from '../rig/image.ts';
import { uniqueInterface } from '../rig/names.ts';
import { Namespace, Place } from '../rig/netns.ts';
import { attempt, Background, run } from '../rig/process.ts';
import { makeInEveryHierarchy } from './hierarchies.ts';
import type { Plan, WorkerPlan } from './plan.ts';
import { program } from './programs.ts';

const START_TIMEOUT_MS = 60_000;

export interface WorkerOptions {
  readonly directory: string;
  /** Path of its cgroup in every hierarchy, below the mount. */
  readonly cgroup: string;
  readonly kubeconfig: string;
  readonly bridge: string;
  readonly plan: Plan;
  readonly worker: WorkerPlan;
}

export class Worker {
  readonly name: string;
  readonly address: string;
  readonly namespace: Namespace;
  /** Of its containers and daemons, as the agent's patterns have it. */
  readonly cgroup: string;
  /** Of its containerd, as this process reaches it. */
  readonly socket: string;
  readonly #options: WorkerOptions;
  /** Not in its namespaces yet, but in its cgroup. */
  readonly #outside: Place;
  readonly #running: Background[] = [];
  #init: Background | undefined;

  private constructor(options: WorkerOptions, namespace: Namespace) {
    const { worker, directory, cgroup } = options;
    this.name = worker.name;
    this.address = worker.address;
    this.namespace = namespace;
    this.cgroup = cgroup;
    this.socket = join(directory, 'run/containerd/containerd.sock');
    this.#options = options;
    makeInEveryHierarchy(cgroup);
    this.#outside = new Place(Namespace.current(), new Cgroup(join(cgroup, 'system')));
  }

  static async start(options: WorkerOptions): Promise<Worker> {
    const worker = new Worker(options, await Namespace.create(options.worker.name));
    await worker.#connect();
    await worker.#furnish();
    await worker.#startContainerd();
    worker.#startKubernetes();
    return worker;
  }

  /** The first process of the node: whoever enters its namespaces sees what the node sees. */
  get pid(): number {
    return this.#init?.pid ?? 0;
  }

  /** The command line that runs `command` on the node. */
  enter(command: readonly string[]): string[] {
    const target = ['nsenter', '--target', String(this.pid), '--mount', '--net', '--uts', '--'];
    return this.#outside.wrap([...target, ...command]);
  }

  run(command: readonly string[]): Promise<string> {
    return run(this.enter(command));
  }

  async loadImage(archive: string): Promise<void> {
    await run(this.#ctr(['images', 'import', '--digests', archive]), { timeout: 180_000 });
  }

  /** What its daemons said last. */
  logs(): string {
    return this.#running
      .map(({ command, stderr }) => `== ${command.join(' ').slice(-120)}\n${stderr.slice(-4000)}`)
      .join('\n');
  }

  /** Stops its daemons; what runs in its cgroup, and its directory, are removed by the cluster. */
  stop(): void {
    for (const one of this.#running.splice(0).reverse()) one.close();
    this.#init?.close();
    this.namespace.close();
  }

  /** A wire to the bridge, an address, ways to the other nodes' pods. */
  async #connect(): Promise<void> {
    const { bridge, plan, worker } = this.#options;
    const port = uniqueInterface();
    await Namespace.current().ip([
      `link add ${port} type veth peer name eth0 netns ${this.namespace.name}`,
      `link set ${port} master ${bridge} up`,
    ]);
    const others = plan.workers.filter(({ name }) => name !== worker.name);
    await this.namespace.ip([
      `addr add ${worker.address}/${plan.prefix} dev eth0`,
      'link set eth0 up',
      `route add default via ${plan.address}`,
      ...others.map(({ pods, address }) => `route add ${pods} via ${address}`),
    ]);
    await Namespace.current().ip([`route add ${worker.pods} via ${worker.address} dev ${bridge}`]);
    await this.namespace.sysctl({ 'net.ipv4.ip_forward': 1 });
  }

  /** Its mounts, held by one process that does nothing. */
  async #furnish(): Promise<void> {
    const { directory, worker, plan } = this.#options;
    for (const name of ['run', 'lib', 'log']) mkdirSync(join(directory, name), { recursive: true });
    for (const name of ['cni/net.d', 'manifests']) mkdirSync(join(directory, 'lib', name), { recursive: true });
    writeFileSync(join(directory, 'lib/cni/net.d/10-bridge.conflist'), JSON.stringify(network(worker)));
    const snapshotter = overlayWorks(directory) ? 'overlayfs' : 'native';
    writeFileSync(join(directory, 'containerd.toml'), containerdConfig(await pluginDirectory(), snapshotter));
    writeFileSync(join(directory, 'kubelet.json'), JSON.stringify(kubeletConfig(this.cgroup)));
    writeFileSync(
      join(directory, 'proxy.json'),
      JSON.stringify(proxyConfig(this.#options.kubeconfig, plan, this.name)),
    );
    const script = [
      'set -e',
      // What the machine mounts is seen; what is mounted here is seen here only, in the pods too.
      'mount --make-rslave / && mount --make-rshared /',
      'mount --bind "$0/run" /run && mount --bind "$0/lib" /var/lib && mount --bind "$0/log" /var/log',
      'mount -t bpf bpf /sys/fs/bpf',
      'hostname "$1"',
      'echo furnished',
      'exec sleep 2147483647',
    ].join('\n');
    const isolated = ['unshare', '--mount', '--uts', '--propagation', 'slave', '--', '/bin/sh', '-c', script];
    this.#init = this.#outside.start(this.namespace.enter([...isolated, directory, this.name]));
    await this.#init.output(/furnished/);
  }

  async #startContainerd(): Promise<void> {
    const { directory } = this.#options;
    const containerd = this.#start([
      'containerd',
      '--config',
      join(directory, 'containerd.toml'),
      '--log-level',
      'warn',
    ]);
    await waitFor(
      `containerd of ${this.name} answers`,
      async () => {
        if (!containerd.running) throw new Error(`cluster: containerd ended: ${containerd.stderr.slice(-3000)}`);
        return existsSync(this.socket) && (await attempt(this.#ctr(['version']))).status === 0;
      },
      START_TIMEOUT_MS,
    );
    await this.loadImage(await imageArchive());
  }

  #startKubernetes(): void {
    const { directory, kubeconfig } = this.#options;
    this.#start([
      program('kubelet'),
      `--kubeconfig=${kubeconfig}`,
      `--config=${join(directory, 'kubelet.json')}`,
      `--hostname-override=${this.name}`,
      `--node-ip=${this.address}`,
      '--container-runtime=remote',
      '--container-runtime-endpoint=unix:///run/containerd/containerd.sock',
      `--pod-infra-container-image=docker.io/library/${PAUSE_IMAGE}`,
    ]);
    this.#start([program('kube-proxy'), `--config=${join(directory, 'proxy.json')}`]);
  }

  #start(command: readonly string[]): Background {
    // It would ask a cloud that is not there for ten seconds.
    const env = { AWS_EC2_METADATA_DISABLED: 'true' };
    const process = new Background(this.enter(command), { cwd: '/', env });
    this.#running.push(process);
    return process;
  }

  #ctr(args: readonly string[]): string[] {
    return ['ctr', '--address', this.socket, '--namespace', 'k8s.io', ...args];
  }
}

function network({ pods }: WorkerPlan): object {
  const ipam = { type: 'host-local', ranges: [[{ subnet: pods }]], routes: [{ dst: '0.0.0.0/0' }] };
  const bridge = { type: 'bridge', bridge: 'cni0', isGateway: true, ipMasq: false, hairpinMode: true, ipam };
  const ports = { type: 'portmap', capabilities: { portMappings: true } };
  return { cniVersion: '0.4.0', name: 'bridge', plugins: [bridge, ports] };
}

function containerdConfig(plugins: string, snapshotter: string): string {
  return `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "${snapshotter}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${plugins}"
    conf_dir = "/var/lib/cni/net.d"
`;
}

function kubeletConfig(cgroupRoot: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    cgroupDriver: 'cgroupfs',
    cgroupRoot,
    enforceNodeAllocatable: [],
    failSwapOn: false,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    resolvConf: '/dev/null',
    evictionHard: { 'imagefs.available': '1%', 'nodefs.available': '1%', 'memory.available': '50Mi' },
    // A test sees at once what a person would wait for.
    syncFrequency: '5s',
    nodeStatusUpdateFrequency: '4s',
    fileCheckFrequency: '10s',
    staticPodPath: '/var/lib/manifests',
    configMapAndSecretChangeDetectionStrategy: 'Watch',
    maxPods: 60,
  };
}

function proxyConfig(kubeconfig: string, plan: Plan, name: string): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    clusterCIDR: plan.pods,
    hostnameOverride: name,
    clientConnection: { kubeconfig },
    // The machine's limits are the machine's.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    iptables: { minSyncPeriod: '0s', syncPeriod: '30s' },
  };
}
