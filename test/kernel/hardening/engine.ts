/** The hardening programs alone, and a container on an overlay file system that they judge. */
import { closeSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hardeningMaps } from '../../../src/datapath/hardening/tables.ts';
import {
  type Bearer,
  BearerLayout,
  EventKind,
  Incident,
  ProfileFormat,
  SettingsLayout,
  type ViolationEvent,
  ViolationEventLayout,
} from '../../../src/datapath/layouts.gen.ts';
import type { CompiledProfile } from '../../../src/hardening/profile.ts';
import {
  BPF_F_INNER_MAP,
  type BpfLink,
  BpfMap,
  hasKernelFunction,
  type LoadedObject,
  openObject,
  openPidfd,
  PerCpuMap,
  RingBuffer,
  StorageMap,
  TypedMap,
  U32,
  U64,
} from '../../../src/libbpf/index.ts';
import { Cgroup, cgroup2Mount } from '../../rig/cgroup.ts';
import { INTRUDER } from '../../rig/intruder.ts';
import { uniqueName } from '../../rig/names.ts';
import { Background, run } from '../../rig/process.ts';
import { shared } from '../../rig/shared.ts';

const OBJECT = join(import.meta.dirname, '../../../dist/bpf/harden.bpf.o');
const BURST = 1000;

/** `enum` of what an LSM program hangs at: later kernels have more. */
function isThere(section: string): boolean {
  const [type, hook] = section.split('/');
  return type !== 'lsm' || hasKernelFunction(`bpf_lsm_${hook}`);
}

/** Every program that this kernel has a hook for, attached. */
export class Engine {
  readonly #object: LoadedObject;
  readonly #links: BpfLink[] = [];
  readonly #adopter: BpfLink;
  #stop = new AbortController();
  readonly maps: ReturnType<typeof hardeningMaps>;
  /** In the order in which they were told. */
  readonly told: ViolationEvent[] = [];

  constructor() {
    const object = openObject(OBJECT);
    for (const program of object.programs.values()) program.autoload = isThere(program.section);
    this.#object = object.load();
    this.maps = hardeningMaps((name) => this.#object.map(name));
    this.budget = BURST;
    this.listen();
    for (const name of this.#object.programNames) {
      if (name !== 'adopt_bearers') this.#links.push(this.#object.program(name).attach());
    }
    this.#adopter = this.#object.program('adopt_bearers').attach();
  }

  /** Hears what is told, and what has been told since `deafen`. */
  listen(): void {
    this.#stop = new AbortController();
    new RingBuffer(this.#object.map('events'), {
      signal: this.#stop.signal,
      onBatch: (batch) => {
        for (let i = 0; i < batch.count; i++) {
          const event = ViolationEventLayout.read(batch.buffer, batch.offset(i));
          if (event.head.kind === EventKind.Violation) this.told.push(event);
        }
      },
    });
  }

  /** Leaves what is told where it is, until there is no room for more. */
  deafen(): void {
    this.#stop.abort();
  }

  /** Events there was no room for. */
  get lost(): bigint {
    const perCpu = new PerCpuMap(this.#object.map('incidents'), U32, U64).get(Incident.EventLost) ?? [];
    return perCpu.reduce((sum, count) => sum + count, 0n);
  }

  /** Events for each rule of a container: at once, and a second. */
  set budget(events: number) {
    const settings = new TypedMap(this.#object.map('settings'), U32, SettingsLayout);
    settings.set(0, { ...settings.get(0)!, eventRate: events, eventBurst: events });
  }

  /** Publishes a profile for a subject in one step. */
  judge(subject: number, { pages }: CompiledProfile): void {
    const inner = BpfMap.create({
      type: 'array',
      name: 'profile',
      keySize: 4,
      valueSize: ProfileFormat.ProfilePageBytes,
      maxEntries: pages.length,
      flags: BPF_F_INNER_MAP,
    });
    const key = Buffer.alloc(4);
    for (const [number, page] of pages.entries()) {
      key.writeUInt32LE(number);
      inner.set(key, page);
    }
    this.maps.profiles.set(subject, inner);
    inner.close();
  }

  /** What a task bears. */
  bearer(pid: number): Bearer | undefined {
    const task = openPidfd(pid);
    try {
      return new StorageMap(this.#object.map('bearers'), BearerLayout).get(task);
    } finally {
      closeSync(task);
    }
  }

  /** What the adopting iterator printed: a line each. */
  async adopt(): Promise<string> {
    return await this.#adopter.iterate();
  }

  close(): void {
    this.#stop.abort();
    for (const link of this.#links) link.detach();
    this.#adopter.detach();
    this.#object.close();
  }
}

/** For all suites: to load it takes an emulated machine half a minute. Each has subjects of its own. */
const ENGINE = shared(() => new Engine());

export function takeEngine(): Engine {
  const engine = ENGINE.take();
  engine.budget = BURST;
  engine.told.splice(0);
  return engine;
}

export const giveEngineBack = ENGINE.giveBack;

/** The number a device has in the kernel. */
function deviceOf(text: string): number {
  const [major, minor] = text.split(':').map(Number);
  return ((major! << 20) | minor!) >>> 0;
}

export interface Mounted {
  readonly device: number;
  /** 0: the file system's root. */
  readonly inode: bigint;
  readonly path: string;
}

/** What a process has mounted. */
export function mountsOf(pid: number): Mounted[] {
  return readFileSync(`/proc/${pid}/mountinfo`, 'latin1')
    .trim()
    .split('\n')
    .map((line) => {
      const [, , device, root, path] = line.split(' ');
      const inode = root === '/' ? 0n : statSync(`/proc/${pid}/root${path}`, { bigint: true }).ino;
      return { device: deviceOf(device!), inode, path: path! };
    });
}

/** Files of the container's image; directories end with a slash. */
const IMAGE = [
  ...['proc/', 'tmp/', 'dev/', 'data/', 'cg/', 'empty/', 'mnt/', 'deep/', 'usr/local/lib/', 'opt/own/'],
  ...['etc/plain', 'etc/secret', 'etc/secrets', 'etc/keep/inner/one', 'etc/other', 'bin/'],
];

let instances = 0x5a11n << 32n;

/** A process group with its own root: an overlay of an image, a volume at /data, its cgroup at /cg. */
export class Compound {
  readonly engine: Engine;
  readonly cgroup = new Cgroup(uniqueName('compound'));
  readonly #directory: string;
  readonly root: string;
  /** On the host; /data inside. */
  readonly volume: string;
  readonly subject: number;
  readonly instance = ++instances;
  readonly #processes: Background[] = [];

  constructor(engine: Engine, subject: number) {
    this.engine = engine;
    this.subject = subject;
    this.#directory = mkdtempSync(join(tmpdir(), 'sallyport-compound-'));
    const of = (name: string): string => join(this.#directory, name);
    this.root = of('root');
    this.volume = of('volume');
    for (const name of ['image', 'upper', 'work', 'root', 'volume']) mkdirSync(of(name));
    for (const path of IMAGE) {
      mkdirSync(join(of('image'), path, path.endsWith('/') ? '' : '..'), { recursive: true });
      if (!path.endsWith('/')) writeFileSync(join(of('image'), path), path);
    }
    for (const name of ['intruder', 'tool', 'other']) cpSync(INTRUDER, join(of('image'), 'bin', name));
    writeFileSync(join(of('image'), 'bin', 'script'), '#!/bin/tool nothing\n', { mode: 0o755 });
    writeFileSync(join(of('image'), 'bin', 'scripted'), '#!/bin/other script\n', { mode: 0o755 });
    for (const name of ['open', 'closed']) writeFileSync(join(this.volume, name), name);
  }

  async mount(): Promise<void> {
    const of = (name: string): string => join(this.#directory, name);
    const layers = `lowerdir=${of('image')},upperdir=${of('upper')},workdir=${of('work')}`;
    await run(['mount', '-t', 'overlay', 'overlay', '-o', layers, this.root]);
    await run(['mount', '--bind', this.volume, join(this.root, 'data')]);
    await run(['mount', '--bind', cgroup2Mount(), join(this.root, 'cg')]);
  }

  /** Tells the kernel of the container as `inside` sees it, and by what it is judged. */
  harden(inside: Intruder, profile: CompiledProfile): void {
    const { maps } = this.engine;
    const mounts = mountsOf(inside.process.pid);
    const root = mounts.findLast(({ path }) => path === '/')!;
    this.engine.judge(this.subject, profile);
    for (const { device, inode, path } of mounts) {
      const text = Buffer.alloc(ProfileFormat.AnchorBytes);
      const length = path === '/' ? 0 : text.write(path);
      maps.anchors.set({ device, inode, subject: this.subject }, { length, path: text });
    }
    maps.subjects.set(this.subject, {
      instance: this.instance,
      rootInode: root.inode,
      rootDevice: root.device,
      flags: 0,
      cgroups: 0,
    });
    maps.cgroups.set(this.cgroup.id, { instance: this.instance, subject: this.subject });
  }

  /** A process that serves in the container's root; in its cgroup unless told otherwise. */
  async intruder(outside = false): Promise<Intruder> {
    const join = outside ? '' : `echo $$ > ${this.cgroup.path}/cgroup.procs; `;
    return await this.#begin(['sh', '-c', `${join}exec ${this.root}/bin/intruder in ${this.root}`]);
  }

  /** A process of the host, in no container. */
  start(...words: readonly string[]): Background {
    const process = new Background([`${this.root}/bin/intruder`, ...words]);
    this.#processes.push(process);
    return process;
  }

  async #begin(command: readonly string[]): Promise<Intruder> {
    const process = new Background(command);
    this.#processes.push(process);
    const intruder = new Intruder(process);
    const answer = await intruder.try('go', '/', 'read', '/etc/plain');
    if (answer !== 'ok' && answer !== 'EACCES') throw new Error(`the container does not begin: ${answer}`);
    return intruder;
  }

  async close(): Promise<void> {
    for (const process of this.#processes) process.close();
    this.cgroup.close();
    await run(['umount', '-R', '-l', this.root]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Tries what it is told, and says how that ended. */
export class Intruder {
  readonly process: Background;
  #answers = 0;

  constructor(process: Background) {
    this.process = process;
  }

  /** `ok`, or the name of the error. */
  async try(...words: readonly string[]): Promise<string> {
    this.process.write(`${words.join(' ')}\n`);
    this.#answers += 1;
    const answers = await this.process.output(new RegExp(`(?:.*\n){${this.#answers}}`), 120_000);
    return String(answers).split('\n')[this.#answers - 1] ?? '';
  }
}
