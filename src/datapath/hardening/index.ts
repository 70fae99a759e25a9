/** The kernel's judging of containers, as the rest of the program sees it: see ../hardening-port.ts. */
import type { HardenedContainer, HardeningStatus, HardeningTables, ViolationCount } from '../hardening-port.ts';
import type { Drift } from '../port.ts';
import type { Programs } from '../programs.ts';
import { ADOPTER, KernelBearers } from './bearers.ts';
import { HardenedContainers } from './containers.ts';
import { Inactive, loadHardening } from './programs.ts';
import { hardeningMaps } from './tables.ts';

export interface HardeningOptions {
  readonly programs: Programs;
  readonly pins: string;
  readonly cgroupRoot: string;
  readonly wallClock: (monotonic: bigint) => number;
}

/** What the datapath needs of it besides. */
export interface Hardening extends HardeningTables {
  /** The container's id; `#7` for one that nobody has named. */
  nameOf(subject: number): string;
  /** Nothing that an older layout's programs know is needed any more. */
  readonly settled: boolean;
  /** By program: the hook it hangs at. */
  readonly attached: ReadonlyMap<string, string>;
  close(): void;
}

/** Loads the programs and takes over what an earlier agent has left. Where the kernel cannot, says so and does nothing. */
export function openHardening(options: HardeningOptions): Hardening {
  const { programs, pins, cgroupRoot, wallClock } = options;
  try {
    const { attached, missing } = loadHardening(programs, pins);
    const bearers = new KernelBearers(programs.program(ADOPTER)!);
    const maps = hardeningMaps(programs.map);
    const containers = new HardenedContainers({ maps, bearers, cgroupRoot, wallClock });
    return new KernelHardening(containers, attached, missing);
  } catch (error) {
    if (error instanceof Inactive) return new NoHardening(error.message);
    throw error;
  }
}

class KernelHardening implements Hardening {
  readonly active = true;
  readonly attached: ReadonlyMap<string, string>;
  readonly missing: ReadonlyMap<string, string>;
  readonly #containers: HardenedContainers;

  constructor(
    containers: HardenedContainers,
    attached: ReadonlyMap<string, string>,
    missing: ReadonlyMap<string, string>,
  ) {
    this.#containers = containers;
    this.attached = attached;
    this.missing = missing;
  }

  get settled(): boolean {
    return this.#containers.settled;
  }

  apply(
    containers: readonly HardenedContainer[],
    { keepOthers = false }: { readonly keepOthers?: boolean } = {},
  ): Promise<readonly HardeningStatus[]> {
    return this.#containers.apply(containers, keepOthers);
  }

  knows(instance: bigint): boolean {
    return this.#containers.knows(instance);
  }

  status(): readonly HardeningStatus[] {
    return this.#containers.status();
  }

  countTasks(): Promise<void> {
    return this.#containers.countTasks();
  }

  counters(): readonly ViolationCount[] {
    return this.#containers.violations.counters();
  }

  drift(): readonly Drift[] {
    return this.#containers.drift();
  }

  nameOf(subject: number): string {
    return this.#containers.nameOf(subject);
  }

  close(): void {
    this.#containers.close();
  }
}

/** Says that nothing is judged, of whatever it is asked for. */
class NoHardening implements Hardening {
  readonly active = false;
  readonly settled = true;
  readonly reason: string;
  readonly attached: ReadonlyMap<string, string> = new Map();
  readonly missing: ReadonlyMap<string, string>;
  #status: readonly HardeningStatus[] = [];

  constructor(reason: string) {
    this.reason = reason;
    this.missing = new Map([['hardening', reason]]);
  }

  apply(containers: readonly HardenedContainer[]): Promise<readonly HardeningStatus[]> {
    this.#status = containers.map(({ id, instance, profile }) => ({
      id,
      instance,
      subject: 0,
      wanted: profile.id,
      tasks: 0,
      enforced: false,
      error: this.reason,
    }));
    return Promise.resolve(this.#status);
  }

  knows(): boolean {
    return false;
  }

  status(): readonly HardeningStatus[] {
    return this.#status;
  }

  countTasks(): Promise<void> {
    return Promise.resolve();
  }

  counters(): readonly ViolationCount[] {
    return [];
  }

  drift(): readonly Drift[] {
    return [];
  }

  nameOf(subject: number): string {
    return `#${subject}`;
  }

  close(): void {}
}
