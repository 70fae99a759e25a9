/** What the rest of the program may ask of the kernel about hardened containers: `Datapath.hardening`. */
import type { Drift } from './port.ts';

/** A compiled profile, as the kernel reads it. */
export interface ProfilePages {
  /** Hash of the content; profiles with the same id are the same. Never 0. */
  readonly id: bigint;
  /** Each of `PROFILE_PAGE_BYTES`; at least one, the first of which begins with the id. */
  readonly pages: readonly Uint8Array[];
}

/** The root of a mount: which directory, or file, of which file system. */
export interface MountRoot {
  /** As the kernel has it: major << 20 | minor. */
  readonly device: number;
  /** 0: the file system's own root. */
  readonly inode: bigint;
}

/** Where a mount's root lies in the container's tree. */
export interface Anchor extends MountRoot {
  /** Absolute, canonical; fewer than `ANCHOR_BYTES` bytes in UTF-8. */
  readonly path: string;
}

/** A container and what it may do. */
export interface HardenedContainer {
  readonly id: string;
  /** This life of the container, never 0: another one after it was started again. */
  readonly instance: bigint;
  /** `path` is below the cgroup2 mount. */
  readonly cgroup: { readonly id: bigint; readonly path: string };
  readonly profile: ProfilePages;
  /**
   * Looked at when the container becomes known, and never again in its life: later the container itself may have
   * mounted what it likes wherever it likes.
   */
  readonly mounts: () => { readonly root: MountRoot; readonly anchors: readonly Anchor[] };
}

/** How one container stands in the kernel. */
export interface HardeningStatus {
  readonly id: string;
  readonly instance: bigint;
  /** 0: it has none. */
  readonly subject: number;
  /** Id of the profile by which it is judged, as its page in the kernel says. */
  readonly profile?: bigint;
  /** That it was to be judged by. */
  readonly wanted: bigint;
  /** Threads that bear its subject, when they were last counted. */
  readonly tasks: number;
  /** The kernel judges it, by the wanted profile. */
  readonly enforced: boolean;
  readonly error?: string;
}

/** What was not simply allowed. */
export interface ViolationCount {
  /** The container's id; `#7` for one that nobody has named since the agent started. */
  readonly container: string;
  /** 0: the default of a class, or of an orphan. */
  readonly rule: number;
  /** It would have been, if the staged rule were enforced. */
  readonly staged: boolean;
  readonly count: bigint;
  /** Milliseconds since the epoch. */
  readonly lastAt: number;
}

/** A container did, or tried, what a rule is about. Times are milliseconds since the epoch. */
export interface ViolationRecord {
  readonly kind: 'violation';
  readonly time: number;
  /** The container's id; `#7` for one that nobody has named since the agent started. */
  readonly container: string;
  /** Of `HardeningClass`. */
  readonly class: number;
  /** What it means, the class tells: `bpf/api/harden.h`. */
  readonly detail: bigint;
  readonly rule: number;
  readonly stagedRule: number;
  readonly verdict: number;
  readonly stagedVerdict: number;
  /** Of this rule and container, since the last that was told; all are counted. */
  readonly suppressed: number;
  readonly process: { readonly pid: number; readonly thread: number; readonly user: number };
  /** The process itself first, then its parent, and so on; at most `ANCESTORS`. */
  readonly ancestors: readonly { readonly pid: number; readonly name: string }[];
  /** Absent where it has none, such as a kernel thread. */
  readonly executable?: string;
  /** What it was done to, where that has a path; `…` where its beginning is missing. */
  readonly path?: string;
  /** Of connections and datagrams. */
  readonly address?: string;
}

export interface HardeningTables {
  /** The kernel judges, once there is whom. Where it does not, nothing here changes anything. */
  readonly active: boolean;
  /** Why not. */
  readonly reason?: string | undefined;
  /** Programs the kernel would not have, and why: what they guard is not guarded. */
  readonly missing: ReadonlyMap<string, string>;
  /**
   * Makes the kernel judge these containers by these profiles: what is new before it counts, a changed profile in one
   * step. Of what fails, what was in force stays so; the others' are applied. Those that are not listed are forgotten
   * once nothing runs in their cgroups; with `keepOthers` not even then.
   */
  apply(
    containers: readonly HardenedContainer[],
    options?: { readonly keepOthers?: boolean },
  ): Promise<readonly HardeningStatus[]>;
  /** Whether the kernel judges this life of a container, be it since an earlier agent. */
  knows(instance: bigint): boolean;
  /** How those of the last `apply` stand, read from the kernel a second ago at most; tasks as they were last counted. */
  status(): readonly HardeningStatus[];
  /** Counts the tasks anew; the next `status` reads the kernel. */
  countTasks(): Promise<void>;
  counters(): readonly ViolationCount[];
  /** What the kernel holds and what was applied, where they differ. */
  drift(): readonly Drift[];
}
