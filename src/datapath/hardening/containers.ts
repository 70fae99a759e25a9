/** Brings the kernel's tables to the containers that are wanted, in an order that leaves no gap. */

import { expedited } from '../grace-periods.ts';
import type { HardenedContainer, HardeningStatus } from '../hardening-port.ts';
import type { Drift } from '../port.ts';
import { Anchors } from './anchors.ts';
import type { Bearers, TaskCounts } from './bearers.ts';
import { Cgroups } from './cgroups.ts';
import { Profiles } from './profiles.ts';
import { Subjects } from './subjects.ts';
import type { HardeningMaps } from './tables.ts';
import { type ViolationNames, Violations } from './violations.ts';

export interface ContainersOptions {
  readonly maps: HardeningMaps;
  readonly bearers: Bearers;
  /** Where cgroup2 is mounted. */
  readonly cgroupRoot: string;
  readonly wallClock: ViolationNames['wallClock'];
}

/** Reading each container's profile takes time; an answer this fresh is good enough, milliseconds. */
const PROFILES_AGE_MS = 1_000;

interface Standing {
  readonly container: HardenedContainer;
  /** 0: none was free. */
  readonly subject: number;
  readonly error?: string;
}

/**
 * 1. The profile, whole, in the place of the former one. Nothing more where the container stands already.
 * 2. Where its mounts lie, and its root.
 * 3. Whose subject it is: from then on a bearer of it is no orphan.
 * 4. Its cgroups: who enters them now bears it.
 * 5. A bearer for each task that was there before.
 *
 * What is cut short is taken up where it was by the next round, or agent: each step looks at what the kernel has.
 * Of a container that is gone first the subject falls, so that what is left of it is denied all.
 */
export class HardenedContainers {
  readonly violations: Violations;
  readonly #options: ContainersOptions;
  readonly #subjects: Subjects;
  readonly #profiles: Profiles;
  readonly #anchors: Anchors;
  readonly #cgroups: Cgroups;
  /** By instance. Those of the last apply, and before them those whose cgroups still have processes. */
  #standing: ReadonlyMap<bigint, Standing> = new Map();
  readonly #names = new Map<bigint, string>();
  #tasks: TaskCounts = new Map();
  /** Tasks of some cgroup may bear nothing yet. */
  #stale = true;
  /** By subject, as read from the kernel not long ago. */
  #inKernel: { readonly at: number; readonly profiles: ReadonlyMap<number, bigint | undefined> } | undefined;
  #settled = false;

  constructor(options: ContainersOptions) {
    const { maps, cgroupRoot, wallClock } = options;
    this.#options = options;
    this.#subjects = new Subjects(maps.subjects);
    this.#profiles = expedited(() => new Profiles(maps.profiles, this.#subjects.standing.values()));
    this.#anchors = new Anchors(maps.anchors);
    this.#cgroups = new Cgroups(maps.cgroups, cgroupRoot);
    this.violations = new Violations(maps.violations, { containerName: (subject) => this.nameOf(subject), wallClock });
    this.#anchors.begin();
    expedited(() => this.#sweep());
  }

  /** Everything was once applied, and well: what programs of an older layout know is not needed any more. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Different profiles in the kernel. */
  get profiles(): number {
    return this.#profiles.size;
  }

  /** The container's id; `#7` for one that nobody has named. */
  nameOf(subject: number): string {
    const instance = this.#subjects.instanceOf(subject);
    return (instance === undefined ? undefined : this.#names.get(instance)) ?? `#${subject}`;
  }

  knows(instance: bigint): boolean {
    return this.#subjects.standing.has(instance);
  }

  async apply(containers: readonly HardenedContainer[], keepOthers: boolean): Promise<readonly HardeningStatus[]> {
    const standing = new Map<bigint, Standing>();
    this.#inKernel = undefined;
    expedited(() => {
      for (const container of containers) standing.set(container.instance, this.#stand(container));
    });
    for (const [instance, former] of this.#standing) if (!standing.has(instance)) standing.set(instance, former);
    this.#standing = standing;
    const adopted = this.#stale ? await this.#adopt() : undefined;
    if (adopted !== undefined) {
      for (const [instance, one] of standing) standing.set(instance, { ...one, error: one.error ?? adopted });
    }
    if (!keepOthers) {
      this.#forget(new Set(containers.map(({ instance }) => instance)));
      this.#settled ||= [...standing.values()].every(({ error }) => error === undefined);
    }
    return this.status();
  }

  status(): readonly HardeningStatus[] {
    const profiles = this.#readProfiles();
    return [...this.#standing.values()].map(({ container, subject, error }) => {
      const { id, instance, profile: wanted } = container;
      const row = subject === 0 ? undefined : this.#subjects.read(subject);
      const stands = row?.instance === instance && this.#cgroups.has(container.cgroup, subject, instance);
      const profile = profiles.get(subject);
      const why = error ?? (stands && profile === wanted.id ? undefined : 'the kernel’s tables were changed by others');
      return {
        id,
        instance,
        subject,
        ...(profile === undefined ? {} : { profile }),
        wanted: wanted.id,
        tasks: this.#tasks.get(subject) ?? 0,
        enforced: stands && profile === wanted.id && error === undefined,
        ...(why === undefined ? {} : { error: why }),
      };
    });
  }

  async countTasks(): Promise<void> {
    this.#tasks = await this.#options.bearers.adopt();
    this.#inKernel = undefined;
  }

  drift(): readonly Drift[] {
    const standing = [...this.#standing.values()].filter(({ error }) => error === undefined);
    return expedited(() => standing.flatMap(({ container, subject }) => this.#driftOf(container, subject)));
  }

  close(): void {
    this.#profiles.close();
    this.#options.bearers.close();
  }

  #readProfiles(): ReadonlyMap<number, bigint | undefined> {
    const now = performance.now();
    if (this.#inKernel === undefined || now - this.#inKernel.at > PROFILES_AGE_MS) {
      const subjects = [...this.#standing.values()].flatMap(({ subject }) => (subject === 0 ? [] : [subject]));
      const profiles = expedited(() => new Map(subjects.map((subject) => [subject, this.#profiles.read(subject)])));
      this.#inKernel = { at: now, profiles };
    }
    return this.#inKernel.profiles;
  }

  #stand(container: HardenedContainer): Standing {
    const { id, instance, profile, cgroup } = container;
    this.#names.set(instance, id);
    const subject = this.#subjects.number(instance);
    if (subject === undefined) return { container, subject: 0, error: 'no number is free for it: too many containers' };
    try {
      const stands = this.#subjects.read(subject).instance === instance;
      if (!stands) this.#subjects.prepare(subject);
      this.#profiles.put(subject, profile);
      if (!stands) {
        const { root, anchors } = container.mounts();
        this.#anchors.put(subject, anchors);
        this.violations.prepare(subject);
        this.#subjects.stand(instance, subject, root);
      }
      if (!this.#cgroups.has(cgroup, subject, instance)) {
        this.#stale = true;
        this.#cgroups.put(cgroup, subject, instance);
      }
      return { container, subject };
    } catch (error) {
      // Of what was in force nothing was taken away; the next round tries again.
      return { container, subject, error: error instanceof Error ? error.message : String(error) };
    }
  }

  /** @returns why not */
  async #adopt(): Promise<string | undefined> {
    try {
      this.#tasks = await this.#options.bearers.adopt();
      this.#stale = false;
      return undefined;
    } catch (error) {
      return `its processes from before are not judged: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  /** Whose cgroups are empty or gone loses its number; a source that names nobody does not free what still runs. */
  #forget(wanted: ReadonlySet<bigint>): void {
    const present = this.#cgroups.subjects();
    const standing = new Map(this.#standing);
    const gone: bigint[] = [];
    for (const [instance, subject] of this.#subjects.standing) {
      if (wanted.has(instance)) continue;
      const place = standing.get(instance)?.container.cgroup;
      if (place === undefined ? present.has(subject) : this.#cgroups.isPopulated(place)) continue;
      gone.push(instance);
    }
    // Those that never came to stand have nothing in the kernel that anybody would be judged by.
    for (const instance of standing.keys()) {
      if (!wanted.has(instance) && !this.#subjects.standing.has(instance)) gone.push(instance);
    }
    if (gone.length === 0) return;
    for (const instance of gone) {
      standing.delete(instance);
      this.#subjects.fall(instance);
    }
    this.#standing = standing;
    expedited(() => this.#sweep());
    for (const instance of gone) {
      this.#subjects.release(instance);
      this.#names.delete(instance);
    }
  }

  /** Forgets what belongs to subjects that are nobody's, also what an earlier agent had begun to. */
  #sweep(): void {
    const subjects = new Set(this.#subjects.standing.values());
    this.#cgroups.retain(subjects);
    // Also of one whose beginning failed: the next round begins anew.
    for (const subject of this.#subjects.unsettled) this.#profiles.remove(subject);
    this.#anchors.retain(subjects);
    this.violations.retain(subjects);
    this.#subjects.settle();
  }

  #driftOf({ id, instance, profile, cgroup }: HardenedContainer, subject: number): readonly Drift[] {
    const found: Drift[] = [];
    const hex = (value: bigint): string => value.toString(16).padStart(16, '0');
    const actual = this.#profiles.readPages(subject);
    const same =
      actual?.length === profile.pages.length &&
      profile.pages.every((page, i) => Buffer.compare(page, actual[i]!) === 0);
    if (!same) {
      const has = this.#profiles.read(subject);
      const differs = { desired: hex(profile.id), ...(has === undefined ? {} : { actual: hex(has) }) };
      found.push({ map: 'profiles', key: `container ${id}`, ...differs });
    }
    const row = this.#subjects.read(subject);
    if (row.instance !== instance) {
      found.push({
        map: 'hardened_subjects',
        key: `container ${id}`,
        desired: hex(instance),
        actual: hex(row.instance),
      });
    }
    if (!this.#cgroups.has(cgroup, subject, instance)) {
      found.push({ map: 'hardened', key: `cgroup ${cgroup.id}`, desired: `container ${id}` });
    }
    return found;
  }
}
