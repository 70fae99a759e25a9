/**
 * Network namespaces of the tests' own, and places to run a process in: a namespace, and possibly a cgroup.
 * Topologies of them are in `node.ts`.
 */

import { statSync } from 'node:fs';
import type { Cgroup } from './cgroup.ts';
import { closeOnExit } from './cleanup.ts';
import { uniqueName } from './names.ts';
import { attempt, attemptSync, Background, type Outcome, type RunOptions, run } from './process.ts';

/** Where a process can run: a network namespace and, where given, a cgroup. */
export class Place {
  readonly namespace: Namespace;
  readonly cgroup: Cgroup | undefined;

  constructor(namespace: Namespace, cgroup?: Cgroup) {
    this.namespace = namespace;
    this.cgroup = cgroup;
  }

  /** The command line that runs `command` here. */
  wrap(command: readonly string[]): string[] {
    const inside = this.namespace.enter(command);
    if (!this.cgroup) return inside;
    return ['/bin/sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', this.cgroup.path, ...inside];
  }

  /** Runs a command here and returns its standard output. Throws `CommandError` unless its status is 0. */
  run(command: readonly string[], options?: RunOptions): Promise<string> {
    return run(this.wrap(command), options);
  }

  /** Runs a command here, whatever its status. */
  attempt(command: readonly string[], options?: RunOptions): Promise<Outcome> {
    return attempt(this.wrap(command), options);
  }

  /** Starts a command here; `close()` of what is returned ends it. */
  start(command: readonly string[], options?: Omit<RunOptions, 'timeout' | 'input'>): Background {
    return new Background(this.wrap(command), options);
  }
}

/** A named network namespace (`/run/netns/NAME`), or the current one. */
export class Namespace {
  /** Undefined for the current one. */
  readonly name: string | undefined;
  /** A path that `setns` takes and that is valid in this process. */
  readonly path: string;
  /** Kills what runs in it and removes it. Idempotent; does nothing to the current one. */
  readonly close: () => void;

  private constructor(name: string | undefined) {
    this.name = name;
    this.path = name === undefined ? '/proc/self/ns/net' : `/run/netns/${name}`;
    this.close = name === undefined ? () => {} : closeOnExit(() => removeNamespace(name));
  }

  static current(): Namespace {
    return new Namespace(undefined);
  }

  /** Makes one with `lo` up and duplicate address detection off, so that IPv6 addresses work at once. */
  static async create(label: string): Promise<Namespace> {
    const name = uniqueName(label);
    await run(['ip', 'netns', 'add', name]);
    const namespace = new Namespace(name);
    await namespace.sysctl({
      'net.ipv6.conf.all.disable_ipv6': 0,
      'net.ipv6.conf.default.disable_ipv6': 0,
      'net.ipv6.conf.default.accept_dad': 0,
      'net.ipv6.conf.default.accept_ra': 0,
      'net.ipv4.conf.all.rp_filter': 0,
      'net.ipv4.conf.default.rp_filter': 0,
      'net.ipv4.ping_group_range': '0 2147483647',
    });
    await namespace.ip(['link set lo up']);
    return namespace;
  }

  /** Its inode number, as in `net:[4026531840]`. */
  get inode(): bigint {
    return statSync(this.path, { bigint: true }).ino;
  }

  /** The command line that runs `command` in it. Unlike `ip netns exec`, /sys and its mounts stay as they are. */
  enter(command: readonly string[]): string[] {
    return this.name === undefined ? [...command] : ['nsenter', `--net=${this.path}`, '--', ...command];
  }

  run(command: readonly string[], options?: RunOptions): Promise<string> {
    return run(this.enter(command), options);
  }

  attempt(command: readonly string[], options?: RunOptions): Promise<Outcome> {
    return attempt(this.enter(command), options);
  }

  /** Starts a command in it; `close()` of what is returned ends it. */
  start(command: readonly string[], options?: Omit<RunOptions, 'timeout' | 'input'>): Background {
    return new Background(this.enter(command), options);
  }

  /** Runs `ip` commands (without the word `ip`) in one process; stops at the first that fails. */
  async ip(commands: readonly string[]): Promise<void> {
    const target = this.name === undefined ? [] : ['-n', this.name];
    await run(['ip', ...target, '-batch', '-'], { input: `${commands.join('\n')}\n` });
  }

  /** Runs `ip -j …` in it and returns what it printed, to be given a type by the caller. */
  async ipJson(args: readonly string[]): Promise<unknown> {
    const target = this.name === undefined ? [] : ['-n', this.name];
    const text = await run(['ip', ...target, '-j', ...args]);
    return text.trim() === '' ? [] : JSON.parse(text);
  }

  /** Sets sysctls; keys may contain interface names with no dots in them. */
  async sysctl(values: Readonly<Record<string, string | number>>): Promise<void> {
    const script = Object.entries(values)
      .map(([key, value]) => `echo ${value} > /proc/sys/${key.replaceAll('.', '/')}`)
      .join(' && ');
    await this.run(['/bin/sh', '-c', script]);
  }
}

function removeNamespace(name: string): void {
  const pids = attemptSync(['ip', 'netns', 'pids', name]).stdout.split('\n').filter(Boolean).map(Number);
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  attemptSync(['ip', 'netns', 'del', name]);
}
