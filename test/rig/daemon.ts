/** A container runtime's daemon of the tests' own: its directory, mounts, network namespace and cgroups. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeCgroup } from './cgroup.ts';
import { closeOnExit, waitFor, waitSync } from './cleanup.ts';
import { uniqueName } from './names.ts';
import { Namespace } from './netns.ts';
import { attemptSync, Background, isRunning } from './process.ts';

export interface DaemonOptions {
  /** Where the daemon and its containers' bridge live; a new namespace unless told. */
  readonly namespace?: Namespace;
  /** Parent of the containers' cgroups, from the root; a new one unless told. */
  readonly cgroupParent?: string;
}

export class Daemon {
  readonly name: string;
  readonly namespace: Namespace;
  readonly cgroupParent: string;
  /** Everything it writes is in here. */
  readonly directory: string;
  /** Kills containers and daemon, removes everything of theirs. Idempotent. */
  readonly close: () => void;
  #process: Background | undefined;

  private constructor(name: string, namespace: Namespace, ownNamespace: boolean, cgroupParent: string) {
    this.name = name;
    this.namespace = namespace;
    this.cgroupParent = cgroupParent;
    this.directory = mkdtempSync(join(tmpdir(), `sallyport-test-${process.pid}-`));
    const restore = ownNamespace ? () => namespace.close() : rememberFirewall(namespace);
    this.close = closeOnExit(() => {
      this.stop();
      restore();
      rmSync(this.directory, { recursive: true, force: true });
    });
  }

  static async create(name: string, options: DaemonOptions): Promise<Daemon> {
    const own = options.namespace === undefined;
    const namespace = options.namespace ?? (await Namespace.create(name));
    return new Daemon(name, namespace, own, options.cgroupParent ?? `/${uniqueName(name)}`);
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Starts it, in a mount namespace of its own whose mounts vanish with it, and waits until `answers`. */
  async start(command: readonly string[], answers: () => Promise<boolean>): Promise<void> {
    const isolated = ['unshare', '--mount', '--propagation', 'slave', '--', ...command];
    const process = new Background(this.namespace.enter(isolated));
    this.#process = process;
    await waitFor(
      `${this.name} answers`,
      async () => {
        if (!process.running) throw new Error(`rig: ${this.name} ended: ${process.stderr.slice(-2000)}`);
        return answers();
      },
      120_000,
    );
  }

  /** Kills its containers, then ends it. Its data stay. */
  stop(): void {
    const daemon = this.#process;
    if (!daemon) return;
    const shims = isRunning(daemon.pid) ? othersInMountNamespaceOf(daemon.pid) : [];
    // Containers first: a daemon that is asked to end grants each of them ten seconds.
    for (const path of this.#cgroups()) {
      if (existsSync(join(path, 'cgroup.kill'))) writeFileSync(join(path, 'cgroup.kill'), '1');
    }
    if (isRunning(daemon.pid)) {
      daemon.kill('SIGTERM');
      waitSync(() => !isRunning(daemon.pid), 10_000);
    }
    daemon.close();
    for (const pid of shims) if (isRunning(pid)) attemptSync(['kill', '-9', String(pid)]);
    waitSync(() => shims.every((pid) => !isRunning(pid)), 5000);
    for (const path of this.#cgroups()) removeCgroup(path);
    this.#process = undefined;
  }

  /** Its parent cgroup in every hierarchy, version 1 and 2. */
  #cgroups(): string[] {
    return readFileSync('/proc/self/mountinfo', 'latin1')
      .split('\n')
      .filter((line) => / - cgroup2? /.test(line))
      .map((line) => join(line.split(' ')[4]!, this.cgroupParent));
  }
}

/** Whether overlayfs works above `directory`; it does not above another overlay. */
export function overlayWorks(directory: string): boolean {
  const script =
    'cd "$0" && mkdir -p probe/l probe/u probe/w probe/m && ' +
    'mount -t overlay overlay -o lowerdir=probe/l,upperdir=probe/u,workdir=probe/w probe/m && umount probe/m';
  const works = attemptSync(['unshare', '--mount', '--', '/bin/sh', '-c', script, directory]).status === 0;
  rmSync(join(directory, 'probe'), { recursive: true, force: true });
  return works;
}

/** Shims, mostly: they outlive a daemon that is killed. */
function othersInMountNamespaceOf(pid: number): number[] {
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

/** A daemon writes rules, sets forwarding and adds bridges in a namespace that outlives it: puts all that back. */
function rememberFirewall(namespace: Namespace): () => void {
  const inside = (command: readonly string[], input?: string) =>
    attemptSync(namespace.enter(command), input === undefined ? {} : { input });
  const nft = inside(['nft', 'list', 'ruleset']).stdout;
  const legacy = ['iptables-legacy', 'ip6tables-legacy'].map(
    (tool) => [tool, inside([`${tool}-save`]).stdout] as const,
  );
  const forwarding = inside(['cat', '/proc/sys/net/ipv4/ip_forward']).stdout.trim();
  const bridges = bridgesOf(namespace);
  return () => {
    inside(['nft', '-f', '-'], `flush ruleset\n${nft}`);
    for (const [tool, rules] of legacy) {
      if (inside([`${tool}-save`]).stdout === '') continue;
      for (const table of ['filter', 'nat']) {
        for (const flag of ['-F', '-X']) inside([tool, '-t', table, flag]);
      }
      inside([tool, '-P', 'FORWARD', 'ACCEPT']);
      if (rules) inside([`${tool}-restore`], rules);
    }
    inside(['/bin/sh', '-c', `echo ${forwarding} > /proc/sys/net/ipv4/ip_forward`]);
    for (const bridge of bridgesOf(namespace)) if (!bridges.includes(bridge)) inside(['ip', 'link', 'del', bridge]);
  };
}

function bridgesOf(namespace: Namespace): string[] {
  const lines = attemptSync(namespace.enter(['ip', '-o', 'link', 'show', 'type', 'bridge'])).stdout.split('\n');
  return lines.flatMap((line) => line.match(/^\d+: ([^:@]+)/)?.[1] ?? []);
}
