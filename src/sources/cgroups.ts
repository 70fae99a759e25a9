import type { FSWatcher } from 'node:fs';
import { watch } from 'node:fs';
import { join } from 'node:path';
import type { Workload } from '../model/workload.ts';
import type { Candidate } from './candidate.ts';
import { findCgroups, sampleProcesses } from './cgroup-tree.ts';
import { errnoOf, SourceError } from './error.ts';
import { Health } from './health.ts';
import type { Host } from './host.ts';
import { identityLabels, makeWorkload } from './naming.ts';
import type { ProcessFacts } from './process.ts';
import { readStartTime, startedAt } from './process.ts';
import { Roster } from './roster.ts';
import type { CgroupHint, EndpointSource, Sightings, SourceStatus } from './source.ts';

/** Process groups of one node; more are an error. Files watched for them; more are found by polling. */
const MOST_GROUPS = 4_096;
const MOST_WATCHES = 1_024;
/** The file of a group that changes when its first process comes and when its last one goes. */
const EVENTS = '/cgroup.events';

/** Process groups to protect and what to call them. */
export interface CgroupRule {
  /** Path below the cgroup2 mount; `*` and `?` stand for characters of one component: `/system.slice/*.service`. */
  readonly path: string;
  /** `namespace/kind/name`; `{name}` is the cgroup's own name without `.service` or `.scope`: `host/Unit/{name}`. */
  readonly workload: string;
  /** Default `{name}`. */
  readonly container?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface CgroupOptions {
  readonly host: Host;
  readonly domain: string;
  /** The first that matches a cgroup names it. */
  readonly rules: readonly CgroupRule[];
  /** All is looked at again this often, milliseconds, whatever is told of it. Default 30,000. */
  readonly pollMs?: number;
}

/** A cgroup that a rule matches. */
interface Group {
  readonly path: string;
  readonly rule: CgroupRule;
}

/**
 * Process groups with no runtime to tell of them: systemd units and others, found in the cgroup2 tree by their paths.
 * A group is there as long as it has a process.
 */
export class CgroupSource implements EndpointSource {
  readonly name = 'cgroups';
  readonly #options: CgroupOptions;
  readonly #health: Health;
  readonly #roster: Roster;
  readonly #watchers = new Map<string, FSWatcher>();
  #groups: readonly Group[] = [];
  /** Groups may have come or gone. */
  #stale = true;
  /** Groups whose processes may be others. */
  readonly #dirty = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: CgroupOptions) {
    this.#options = options;
    this.#health = new Health(options.host.now);
    const { host, domain } = options;
    this.#roster = new Roster({ host, domain, health: this.#health, prepare: () => this.#look() });
  }

  get synced(): boolean {
    return this.#roster.publication.synced;
  }

  snapshot(): Sightings {
    return this.#roster.publication.value;
  }

  onChange(listener: () => void): () => void {
    return this.#roster.publication.subscribe(listener);
  }

  status(): SourceStatus {
    return this.#health.status();
  }

  hint(_: CgroupHint): void {
    this.#changed();
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => void this.close(), { once: true });
    if (signal.aborted) await this.close();
    this.#timer = setInterval(() => {
      this.#stale = true;
      for (const { path } of this.#groups) this.#dirty.add(path);
      this.#roster.refresh();
    }, this.#options.pollMs ?? 30_000);
    if (this.#closed) clearInterval(this.#timer);
    this.#roster.complete();
    await this.#roster.publication.first;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
    await this.#roster.close();
  }

  /** @param path of what is watched; undefined: something somewhere */
  #changed(path?: string): void {
    if (path?.endsWith(EVENTS)) this.#dirty.add(path.slice(0, -EVENTS.length));
    else this.#stale = true;
    this.#roster.changed();
  }

  /** Finds the groups where they may have changed, and for each a process that stands for it. */
  #look(): void {
    const mount = this.#options.host.cgroups?.mount;
    if (mount === undefined) {
      const message = 'Cannot find process groups: no cgroup2 is mounted';
      this.#health.fails(
        'cgroups',
        new SourceError('UNREADABLE', message, { hint: 'mount -t cgroup2 none /sys/fs/cgroup' }),
      );
      return;
    }
    if (this.#stale) this.#find(mount);
    this.#stale = false;
    for (const group of this.#groups) {
      const known = this.#roster.get(group.path);
      const lives = known !== undefined && readStartTime(this.#options.host.proc, known.pid) !== undefined;
      if (lives && !this.#dirty.has(group.path)) continue;
      const candidate = this.#toCandidate(mount, group);
      if (candidate === undefined) this.#roster.delete(group.path);
      else this.#roster.set(candidate);
    }
    this.#dirty.clear();
  }

  #find(mount: string): void {
    const found = new Map<string, Group>();
    const watched = new Set<string>();
    for (const rule of this.#options.rules) {
      const { paths, parents } = findCgroups(mount, rule.path, MOST_GROUPS + 1);
      for (const parent of parents) watched.add(parent);
      for (const path of paths) {
        if (!found.has(path)) found.set(path, { path, rule });
        // Its directory would tell of changes too, but only while somebody has the file open.
        watched.add(`${path}${EVENTS}`);
      }
    }
    this.#groups = [...found.values()].slice(0, MOST_GROUPS);
    for (const id of this.#roster.ids) if (!found.has(id)) this.#roster.delete(id);
    this.#health.drop((part) => part.startsWith('/') && !found.has(part));
    if (found.size > MOST_GROUPS) {
      const message = `Cannot protect ${found.size} process groups: at most ${MOST_GROUPS} can be`;
      this.#health.fails(
        'cgroups',
        new SourceError('TOO_LARGE', message, { hint: 'narrow the paths of sources.cgroups' }),
      );
    } else {
      this.#health.works('cgroups');
    }
    this.#watch(mount, watched);
  }

  #watch(mount: string, wanted: ReadonlySet<string>): void {
    for (const [path, watcher] of this.#watchers) {
      if (wanted.has(path)) continue;
      watcher.close();
      this.#watchers.delete(path);
    }
    // What cannot be watched is found by looking now and then.
    for (const path of [...wanted].slice(0, MOST_WATCHES)) {
      if (this.#closed || this.#watchers.has(path)) continue;
      try {
        const watcher = watch(join(mount, path), { persistent: false }, () => this.#changed(path));
        watcher.on('error', () => this.#unwatch(path, watcher));
        this.#watchers.set(path, watcher);
        this.#health.works('watch');
      } catch (thrown) {
        if (errnoOf(thrown) === 'ENOENT') continue; // gone meanwhile, which its parent tells
        this.#health.fails('watch', new SourceError('UNREADABLE', `Cannot watch ${mount}${path}`, { cause: thrown }));
      }
    }
  }

  #unwatch(path: string, watcher: FSWatcher): void {
    watcher.close();
    if (this.#watchers.get(path) === watcher) this.#watchers.delete(path);
    this.#changed();
  }

  #toCandidate(mount: string, { path, rule }: Group): Candidate | undefined {
    const { proc } = this.#options.host;
    const processes = sampleProcesses(mount, path, proc);
    const oldest = processes.reduce<ProcessFacts | undefined>(
      (first, one) => (first === undefined || one.startTime < first.startTime ? one : first),
      undefined,
    );
    if (oldest === undefined) return undefined;
    const name = nameOf(path);
    const workload = workloadOf(rule, name);
    if (workload === undefined) {
      const message = `Cannot name cgroup ${path}: "${fill(rule.workload, name)}" is no namespace/kind/name`;
      this.#health.fails(path, new SourceError('MALFORMED', message));
      return undefined;
    }
    this.#health.works(path);
    return {
      id: path,
      name,
      runtime: 'cgroup',
      attributes: {
        workload,
        container: fill(rule.container ?? '{name}', name),
        labels: identityLabels(rule.labels ?? {}, []),
      },
      pid: oldest.pid,
      startedAt: startedAt(proc, oldest.startTime),
      cgroup: path,
      sandbox: path,
      role: 'owner',
      scattered: processes.some((one) => one.netns !== oldest.netns),
      declared: [],
      published: [],
      ports: [],
    };
  }
}

/** The unit's name as people write it: systemd writes other characters as `\x2d`. */
function nameOf(path: string): string {
  const last = path.slice(path.lastIndexOf('/') + 1).replace(/\.(service|scope|slice)$/, '');
  return last.replace(/\\x([0-9a-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

function workloadOf(rule: CgroupRule, name: string): Workload | undefined {
  const parts = rule.workload.split('/').map((part) => fill(part, name));
  const [namespace, kind, own] = parts;
  if (parts.length !== 3 || namespace === undefined || kind === undefined || own === undefined) return undefined;
  return makeWorkload(namespace, kind, own);
}

function fill(template: string, name: string): string {
  return template.replaceAll('{name}', () => name);
}
