/** What a container may do to its host, as users write it. Values only; `schema/hardening.ts` validates what makes them. */
import type { Network } from './address.ts';
import type { PolicyMode } from './policy.ts';
import type { WorkloadSelector } from './selector.ts';
import type { Action } from './verdict.ts';

export type HardeningKind = 'HardeningPolicy' | 'ClusterHardeningPolicy';

/** `enum access` of `bpf/api/harden.h`, in its order. A test keeps both equal. */
export const FILE_ACCESSES = [
  'read',
  'write',
  'create',
  'delete',
  'attributes',
  'execute',
  'mount',
  'connect',
  'bind',
] as const;
export type FileAccess = (typeof FILE_ACCESSES)[number];

/** `enum operation` of `bpf/api/harden.h`, in its order. A test keeps both equal. */
export const OPERATIONS = [
  'ptrace',
  'ptrace-outside',
  'user-namespace',
  'bpf',
  'perf',
  'io-uring',
  'userfaultfd',
  'kernel-module',
  'kexec',
  'keyring',
  'memfd-execute',
  'setuid-execute',
  'setuid-mode',
  'become-root',
  'disk-read',
  'disk-write',
  'device-node',
  'chroot',
  'pivot-root',
  'foreign-descriptor',
  'writable-execute',
  'syslog',
  'settime',
  'signal-outside',
] as const;
export type Operation = (typeof OPERATIONS)[number];

export const MOUNT_OPERATIONS = ['new', 'bind', 'remount', 'move', 'propagation', 'unmount'] as const;
export type MountOperation = (typeof MOUNT_OPERATIONS)[number];

/** What the default posture of a policy can be about. */
export const POSTURES = ['files', 'execution', 'capabilities', 'sockets', 'mounts', 'network', 'operations'] as const;
export type Posture = (typeof POSTURES)[number];

/** What a rule is about. */
export type Target =
  /**
   * Paths in the container's own tree. `*` is any run of characters of one name, `?` one character, `[a-c]` one of
   * these, `{a,b}` either; `**` as a whole name is any number of names, also none. `/etc/**` means what lies in /etc,
   * and /etc itself. A name that begins with `@` is an abstract UNIX socket's.
   */
  | {
      readonly type: 'paths';
      readonly paths: readonly string[];
      readonly except: readonly string[];
      readonly access: readonly FileAccess[];
    }
  | {
      readonly type: 'capabilities';
      /** Numbers, ascending. */
      readonly capabilities: readonly number[];
      /** In the node's own user namespace, in one the container made, or both. */
      readonly within: 'container' | 'user-namespace' | 'any';
    }
  /** Creation of sockets; what is left out is any. */
  | { readonly type: 'socket'; readonly family?: number; readonly kind?: number; readonly protocol?: number }
  | {
      readonly type: 'mounts';
      readonly operations: readonly MountOperation[];
      /** Names of file systems; empty: any. */
      readonly fileSystems: readonly string[];
      /** Only mounts that are not read-only. */
      readonly writable: boolean;
      /** Only file systems on block devices. */
      readonly devices: boolean;
    }
  /** Connections and datagrams to addresses, from inside: before any packet is made. */
  | {
      readonly type: 'network';
      readonly networks: readonly Network[];
      /** IP protocol; absent: any. */
      readonly protocol?: number;
      readonly port?: number;
      readonly endPort?: number;
    }
  | { readonly type: 'operations'; readonly operations: readonly Operation[] };

export interface HardeningRule {
  /** Unique in its policy. Absent: known by its index. */
  readonly name?: string;
  readonly action: Action;
  /** Paths (globs) of executables: only what one of them is, or has started. Absent: whatever runs. Never empty. */
  readonly executables?: readonly string[];
  /** Ready rules of the catalogue, by name. Either this or `targets` is not empty. */
  readonly ready: readonly string[];
  readonly targets: readonly Target[];
}

/** A validated hardening policy. */
export interface HardeningPolicy {
  readonly kind: HardeningKind;
  /** Empty for cluster-wide policies. */
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly subject: WorkloadSelector;
  /** 0-65535; lower is judged first. At equal priority Deny comes before Alert before Allow. */
  readonly priority: number;
  readonly explicitPriority: boolean;
  readonly mode: PolicyMode;
  /** What no rule of any policy spoke about. Absent: Allow. Of several policies the strictest counts. */
  readonly defaults: Readonly<Partial<Record<Posture, Action>>>;
  readonly rules: readonly HardeningRule[];
}

/** A rule that is ready to be used by its name. */
export interface ReadyRule {
  /** Stable; lower-case words with hyphens. */
  readonly name: string;
  readonly title: string;
  /** Of D1's groups, and ours. */
  readonly group: 'baseline' | 'shield' | 'host' | 'kernel' | 'execution' | 'network' | 'capabilities';
  readonly severity: 'critical' | 'high' | 'medium' | 'low';
  /** What it stops, one sentence. */
  readonly stops: string;
  /** What it may break, one sentence. */
  readonly breaks: string;
  /** Pages on the class of attack: CVE, CWE, MITRE ATT&CK. */
  readonly links: readonly string[];
  readonly targets: readonly Target[];
}
