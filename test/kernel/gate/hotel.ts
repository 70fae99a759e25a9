/** Containers made by hand: a root directory of their own, a cgroup that is named as runtimes name theirs. */

import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Gate, GateOptions, GateRecord } from '../../../src/datapath/gate/port.ts';
import { CONTAINER_CGROUPS } from '../../../src/datapath/gate/standard.ts';
import { openDatapath, removeDatapath } from '../../../src/datapath/index.ts';
import type { Datapath } from '../../../src/datapath/port.ts';
import { mountBpffs } from '../../../src/libbpf/index.ts';
import { Cgroup, cgroup2Mount } from '../../rig/cgroup.ts';
import { closeOnExit, waitFor } from '../../rig/cleanup.ts';
import { fillRootfs } from '../../rig/image.ts';
import { uniqueName } from '../../rig/names.ts';
import { Background } from '../../rig/process.ts';
import { OBJECTS, SIZES } from '../datapath/laboratory.ts';

const BPFFS = '/sys/fs/bpf';

/** Comes in as a runtime's helper does: in the cgroup first, then in the root directory, then the program. */
const ENTER = 'echo $$ > "$0/cgroup.procs" && exec chroot "$@"';

/** Somebody's containers. */
export class Hotel {
  readonly root: string;
  readonly cgroup: Cgroup;
  readonly close: () => void;
  readonly #within: (command: readonly string[]) => string[];
  readonly #guests: Background[] = [];

  private constructor(within: (command: readonly string[]) => string[]) {
    this.#within = within;
    this.root = mkdtempSync(join(tmpdir(), 'sallyport-test-gate-'));
    this.cgroup = new Cgroup(uniqueName('gate'));
    this.close = closeOnExit(() => {
      this.cgroup.close();
      for (const guest of this.#guests) guest.close();
      rmSync(this.root, { recursive: true, force: true });
    });
  }

  /** @param within how a command is run in the network namespace that is the node's; this machine's unless told */
  static async open(within = (command: readonly string[]): string[] => [...command]): Promise<Hotel> {
    const hotel = new Hotel(within);
    await fillRootfs(hotel.root);
    return hotel;
  }

  /** A container's cgroup, new. */
  room(name: string = randomBytes(32).toString('hex')): Room {
    return new Room(this, name);
  }

  /**
   * Runs a script in another root directory, as another container's, once it has been told whom it is about: in the
   * file `/victim`, as a pid.
   */
  outsider(script: string): Outsider {
    const root = join(this.root, uniqueName('outsider'));
    mkdirSync(join(root, 'bin'), { recursive: true });
    copyFileSync(join(this.root, 'bin/busybox'), join(root, 'bin/busybox'));
    for (const name of ['sh', 'cat', 'sleep']) symlinkSync('busybox', join(root, 'bin', name));
    const wait = 'until [ -s /victim ]; do sleep 0.01; done; ';
    const outsider = this.run(['chroot', root, '/bin/sh', '-c', wait + script]);
    return {
      meet: (guest) => writeFileSync(join(root, 'victim'), String(guest.pid)),
      close: () => outsider.close(),
    };
  }

  /** @internal */
  run(command: readonly string[]): Background {
    const guest = new Background(this.#within(command));
    this.#guests.push(guest);
    return guest;
  }
}

/** The gate without an agent: programs, and who opens it. */
export class Gatehouse {
  readonly pins: string;
  readonly records: GateRecord[] = [];
  readonly close: () => void;
  readonly #hotel: Hotel;
  #datapath: Datapath | undefined;

  constructor(hotel: Hotel) {
    mountBpffs(BPFFS);
    this.#hotel = hotel;
    this.pins = mkdtempSync(join(BPFFS, 'sallyport-test-gate-'));
    this.close = closeOnExit(() => {
      this.leave();
      removeDatapath(this.pins);
    });
  }

  get gate(): Gate {
    if (this.#datapath === undefined) throw new Error('no datapath is loaded');
    return this.#datapath.gate;
  }

  /** Nothing waits any more. */
  reset(): void {
    this.#datapath?.gate.openAll();
    this.records.length = 0;
  }

  /** Loads the programs, or takes over what a former `load` has left, and lets containers of the hotel alone wait. */
  load(options: Partial<GateOptions> = {}, gates = 64): void {
    this.#datapath?.close();
    this.#datapath = openDatapath({
      objects: OBJECTS,
      pins: this.pins,
      cgroupRoot: cgroup2Mount(),
      sizes: { ...SIZES, gates },
      events: { ratePerSecond: 1000, burst: 1000 },
    });
    this.#datapath.onRecords((records) => {
      this.records.push(...records.filter((record) => record.kind === 'gate'));
    });
    this.#datapath.heartbeat();
    this.configure(options);
  }

  configure(options: Partial<GateOptions> = {}): void {
    this.gate.configure({
      on: true,
      containers: CONTAINER_CGROUPS.map((pattern) => `/${this.#hotel.cgroup.name}${pattern}`),
      exceptions: [],
      staleAfterMs: 60_000,
      whenStale: 'closed',
      whenFull: 'open',
      ...options,
    });
  }

  /** Ends the agent's part; what is pinned stays. */
  leave(): void {
    this.#datapath?.close();
    this.#datapath = undefined;
  }

  /** Takes everything away. */
  remove(): void {
    this.leave();
    removeDatapath(this.pins);
  }
}

export interface Outsider {
  meet(guest: Guest): void;
  close(): void;
}

/** One container's. */
export class Room {
  readonly hotel: Hotel;
  /** Of its cgroup, below the hotel's. */
  readonly name: string;
  readonly cgroup: Cgroup;
  readonly id: bigint;

  constructor(hotel: Hotel, name: string) {
    this.hotel = hotel;
    this.name = name;
    this.cgroup = new Cgroup(`${hotel.cgroup.name}/${name}`);
    this.id = this.cgroup.id;
  }

  /** Starts a program in it whose first instructions leave a mark. */
  begin(below = ''): Guest {
    const mark = uniqueName('mark');
    const cgroup = join(this.cgroup.path, below);
    mkdirSync(cgroup, { recursive: true });
    const program = ['/bin/sh', '-c', `echo began > /${mark}; exec sleep 60`];
    const guest = this.hotel.run(['/bin/sh', '-c', ENTER, cgroup, this.hotel.root, ...program]);
    return new Guest(guest, join(this.hotel.root, mark));
  }
}

export class Guest {
  readonly process: Background;
  readonly #mark: string;

  constructor(process: Background, mark: string) {
    this.process = process;
    this.#mark = mark;
  }

  get pid(): number {
    return this.process.pid;
  }

  /** Whether its first instructions ran. */
  get began(): boolean {
    return existsSync(this.#mark);
  }

  get stopped(): boolean {
    const stat = readFileSync(`/proc/${this.pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2)[0] === 'T';
  }

  async isStopped(): Promise<void> {
    await waitFor(`process ${this.pid} is stopped`, () => this.stopped);
  }

  async hasBegun(): Promise<void> {
    await waitFor(`process ${this.pid} has begun`, () => this.began);
  }

  async ended(): Promise<NodeJS.Signals | null> {
    return (await this.process.exited).signal;
  }
}
