/** The API's words on what containers may do to this node. */

/** How many containers are judged, and why others are not. */
export interface HardeningStatusView {
  /** The kernel judges. */
  readonly active: boolean;
  /** Why it does not. */
  readonly reason?: string;
  /** Containers that hardening policies select, or have selected in their life. */
  readonly containers: { readonly total: number; readonly enforced: number; readonly failed: number };
  /** Different profiles. */
  readonly profiles: number;
  /** Programs this kernel would not have, and why: what they guard is not guarded. */
  readonly missing: readonly { readonly hook: string; readonly why: string }[];
}

/** What proves that one container is judged, and by what: read from the kernel when it was asked for. */
export interface ProfileView {
  /** The runtime's id of the container. */
  readonly id: string;
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
  readonly container: string;
  readonly identity: string;
  readonly endpoint: string;
  readonly pid: number;
  /** Names of the policies that select it; none: it did in its life, and all is allowed now. */
  readonly policies: readonly string[];
  /** This life of the container: 16 hexadecimal digits. */
  readonly instance: string;
  /** Its number in the kernel; 0: it has none. */
  readonly subject: number;
  /** Id of the profile that the policies come down to; absent where they cannot be compiled. */
  readonly wanted?: string;
  /** Id of the profile by which the kernel judges it, from the profile's own page there; absent: by none. */
  readonly inKernel?: string;
  /** The two are the same, and its cgroup and its number are what they should be. */
  readonly enforced: boolean;
  readonly error?: string;
  /** Threads that are judged by it. */
  readonly tasks: number;
  readonly pages: number;
  readonly rules: number;
  /** What was refused or reported since it began. */
  readonly violations: number;
}

export interface ProfileRuleView {
  readonly id: number;
  readonly policy: string;
  readonly name: string;
  readonly ready?: string;
  readonly action: string;
  readonly mode: string;
  /** What it refused or reported; what it would have, where it is staged. */
  readonly violations: number;
  readonly lastAt?: string;
}

export interface ProfileDetailView extends ProfileView {
  readonly ruleList: readonly ProfileRuleView[];
  /** Of defaults, and of rules there was no room to count alone. */
  readonly otherViolations: number;
  /** Patterns of the executables that rules tell apart. */
  readonly executables: readonly string[];
  readonly size: { readonly states: number; readonly cells: number; readonly pages: number };
}
