import type { Class, NetworkEntry, PolicySet, PolicyTables, PortEntry, RuleInfo, Subject } from './tables.ts';

/** How the ports of a class the kernel has differ from the wanted ones. Comes up only after drift. */
export interface ClassPatch {
  readonly id: bigint;
  /** Of the entries to remove, `decision` is what the kernel has now. */
  readonly put: readonly PortEntry[];
  readonly remove: readonly PortEntry[];
}

/** Entries of an existing set that are new, or whose class changed; or that are to go. */
export interface SetPatch {
  readonly id: bigint;
  readonly peers: ReadonlyMap<number, bigint>;
  readonly networks: readonly NetworkEntry[];
}

/**
 * One thing to do to the kernel's tables. Steps are done in the order of the plan; what a step refers to was
 * written by the steps before it, and nothing is deleted that something still refers to.
 *
 * A class' `any` lies in the peers and networks entries that name it: `patch-classes` comes with `patch-sets`
 * entries for every place where it must be rewritten.
 */
export type Step =
  | { readonly op: 'write-classes'; readonly classes: readonly Class[] }
  | { readonly op: 'patch-classes'; readonly patches: readonly ClassPatch[] }
  | { readonly op: 'write-sets'; readonly sets: readonly PolicySet[] }
  | { readonly op: 'patch-sets'; readonly patches: readonly SetPatch[] }
  | { readonly op: 'write-rules'; readonly rules: readonly RuleInfo[] }
  | { readonly op: 'switch-subjects'; readonly subjects: readonly Subject[] }
  /** Flows decided before are decided again at their next packet. */
  | { readonly op: 'bump-revision' }
  | { readonly op: 'delete-subjects'; readonly slots: readonly number[] }
  | { readonly op: 'trim-sets'; readonly patches: readonly SetPatch[] }
  | { readonly op: 'delete-sets'; readonly sets: readonly PolicySet[] }
  | { readonly op: 'delete-classes'; readonly classes: readonly Class[] }
  | { readonly op: 'delete-rules'; readonly rules: readonly number[] };

/** What has to be done, in order, to get from one state of the tables to another. No steps: nothing. */
export interface Plan {
  readonly steps: readonly Step[];
  /** What the tables are afterwards; classes that sets refer to are found here. */
  readonly desired: PolicyTables;
}
