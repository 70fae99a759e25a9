/** The kernel's judging of containers, as the rest of the program sees it: see ../hardening-port.ts. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { probeFeature } from '../../libbpf/index.ts';
import type { HardenedContainer, HardeningStatus, HardeningTables, ViolationCount } from '../hardening-port.ts';
import { mapDirectory } from '../maps.ts';
import type { Drift } from '../port.ts';
import type { Programs } from '../programs.ts';
import { ADOPTER, KernelBearers } from './bearers.ts';
import { HardenedContainers } from './containers.ts';
import { HOOKS } from './links.ts';
import { Inactive, loadHardening } from './programs.ts';
import { hardeningMaps } from './tables.ts';

export interface HardeningOptions {
  readonly programs: Programs;
  readonly pins: string;
  readonly cgroupRoot: string;
  readonly wallClock: (monotonic: bigint) => number;
}

/** Programs at hooks that every process of the node goes through are loaded when somebody wants them, not before. */
interface Loaded {
  readonly containers: HardenedContainers;
  /** By program: the hook it hangs at. */
  readonly attached: ReadonlyMap<string, string>;
  readonly missing: ReadonlyMap<string, string>;
}

const NOTHING: ReadonlyMap<string, string> = new Map();

/**
 * Judges containers once there are any to be judged, or where an earlier agent has left some. Where the kernel cannot,
 * says so and does nothing.
 */
export class Hardening implements HardeningTables {
  readonly #options: HardeningOptions;
  #loaded: Loaded | undefined;
  #reason: string | undefined;
  /** Of containers that were to be judged and are not. */
  #unjudged: readonly HardeningStatus[] = [];

  constructor(options: HardeningOptions) {
    this.#options = options;
    const { supported, reason } = probeFeature('lsm');
    if (!supported) this.#reason = `the kernel asks no BPF LSM programs: ${reason}`;
    else if (versionsIn(options.pins).length > 0) this.#load();
  }

  get active(): boolean {
    return this.#reason === undefined;
  }

  get reason(): string | undefined {
    return this.#reason;
  }

  get missing(): ReadonlyMap<string, string> {
    return this.#loaded?.missing ?? NOTHING;
  }

  /** Its programs and tables are in the kernel. */
  get loaded(): boolean {
    return this.#loaded !== undefined;
  }

  get attached(): ReadonlyMap<string, string> {
    return this.#loaded?.attached ?? NOTHING;
  }

  /** Nothing is needed any more that programs of an older layout know. */
  get settled(): boolean {
    if (this.#loaded?.containers.settled === true) return true;
    const current = mapDirectory(this.#options.pins);
    return versionsIn(this.#options.pins).every((directory) => directory === current);
  }

  async apply(
    containers: readonly HardenedContainer[],
    { keepOthers = false }: { readonly keepOthers?: boolean } = {},
  ): Promise<readonly HardeningStatus[]> {
    if (this.#loaded === undefined && this.active && containers.length > 0) this.#load();
    if (this.#loaded !== undefined) return await this.#loaded.containers.apply(containers, keepOthers);
    this.#unjudged = containers.map((container) => unjudged(container, this.#reason));
    return this.#unjudged;
  }

  knows(instance: bigint): boolean {
    return this.#loaded?.containers.knows(instance) ?? false;
  }

  status(): readonly HardeningStatus[] {
    return this.#loaded?.containers.status() ?? this.#unjudged;
  }

  async countTasks(): Promise<void> {
    await this.#loaded?.containers.countTasks();
  }

  counters(): readonly ViolationCount[] {
    return this.#loaded?.containers.violations.counters() ?? [];
  }

  drift(): readonly Drift[] {
    return this.#loaded?.containers.drift() ?? [];
  }

  /** The container's id; `#7` for one that nobody has named. */
  nameOf(subject: number): string {
    return this.#loaded?.containers.nameOf(subject) ?? `#${subject}`;
  }

  close(): void {
    this.#loaded?.containers.close();
  }

  #load(): void {
    const { programs, pins, cgroupRoot, wallClock } = this.#options;
    try {
      const { attached, missing } = loadHardening(programs, pins);
      const bearers = new KernelBearers(programs.program(ADOPTER)!);
      const containers = new HardenedContainers({ maps: hardeningMaps(programs.map), bearers, cgroupRoot, wallClock });
      this.#loaded = { containers, attached, missing };
    } catch (error) {
      if (!(error instanceof Inactive)) throw error;
      this.#reason = error.message;
    }
  }
}

/** The layouts' directories in which programs are pinned, whoever did that. */
function versionsIn(pins: string): readonly string[] {
  return readdirSync(pins)
    .map((name) => join(pins, name))
    .filter((directory) => existsSync(join(directory, HOOKS)));
}

function unjudged({ id, instance, profile }: HardenedContainer, reason = 'nothing judges it'): HardeningStatus {
  return { id, instance, subject: 0, wanted: profile.id, tasks: 0, enforced: false, error: reason };
}
