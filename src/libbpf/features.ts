import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { attachToCgroup } from './cgroup-link.ts';
import { BpfError, errnoMessage, errnoName } from './errors.ts';
import { add, assemble, callKernel, copy, EXIT, move, returning, STACK, skipIfZero, store } from './instructions.ts';
import { ATTACH_TYPES, CGROUP_ATTACH_TYPES, MAP_TYPES, PROGRAM_TYPES } from './kinds.ts';
import { BpfMap } from './map.ts';
import { type AnyHandle, native, type ProgramHandle } from './native.ts';
import { enableStatistics } from './statistics.ts';
import { findCgroup2Mount } from './system.ts';
import { summarizeLog } from './verifier-log.ts';

const ENOENT = -2;

/** What a kernel can do, by a program or map of a few bytes that uses it. Nothing stays behind. */
interface Probe {
  readonly what: string;
  /** The Linux release that has it, where it is configured. */
  readonly since: string;
  /** Throws where it does not work. */
  readonly attempt: () => void;
}

class Unsupported extends Error {}

function refused(step: string, errno: number): Unsupported {
  const summary = summarizeLog(native.takeLog())?.message;
  return new Unsupported(`${step}: ${summary ?? errnoMessage(errno)} (${errnoName(errno)})`);
}

/** Runs `use` with what was opened, and closes it. */
function withHandle<H extends AnyHandle>(handle: H | number, step: string, use: (handle: H) => void = () => {}): void {
  if (typeof handle === 'number') throw refused(step, handle);
  try {
    use(handle);
  } finally {
    native.close(handle);
  }
}

interface ProgramSpec {
  readonly type: keyof typeof PROGRAM_TYPES;
  readonly attachType?: number;
  readonly instructions: Buffer;
  readonly target?: string;
  readonly module?: string | undefined;
}

function withProgram(spec: ProgramSpec, use?: (program: ProgramHandle) => void): void {
  const { type, attachType = 0, instructions, target, module } = spec;
  const program = native.loadProgram(PROGRAM_TYPES[type], attachType, 'probe', instructions, target, module);
  withHandle(program, 'load', use);
}

function withTracing(
  type: 'tracing' | 'lsm',
  attachType: number,
  target: string,
  use?: (program: ProgramHandle) => void,
): void {
  withProgram({ type, attachType, target, instructions: returning(0) }, (program) => {
    withHandle(native.openRawTracepoint(program, undefined), 'attach', () => use?.(program));
  });
}

/** In a cgroup of its own, which has no processes. */
function onCgroup(type: 'cgroup_skb' | 'sock_ops', attachType: number): void {
  const root = findCgroup2Mount();
  if (root === undefined) throw new Unsupported('no cgroup2 file system is mounted');
  const path = join(root, `libbpf-ts-probe-${process.pid}`);
  mkdirSync(path, { recursive: true });
  try {
    withProgram({ type, attachType, instructions: returning(1) }, (program) => {
      withHandle(attachToCgroup(program, path, attachType, `attach to cgroup "${path}"`), 'attach');
    });
  } finally {
    rmdirSync(path);
  }
}

function onInterface(attachType: number): void {
  // -1 lets the packet go on to the next program.
  withProgram({ type: 'sched_cls', instructions: returning(-1) }, (program) => {
    const errno = native.probeInterface(program, attachType);
    if (errno < 0) throw refused('attach', errno);
  });
}

function mapType(type: keyof typeof MAP_TYPES): () => void {
  return () => {
    const result = native.probeMapType(MAP_TYPES[type]);
    if (result < 0) throw refused('create', result);
    if (result === 0) throw new Unsupported('create: the kernel does not know maps of this type');
  };
}

/** Looks up nothing in an empty map: what has no batches says so. */
function batched(type: 'hash' | 'lpm_trie'): () => void {
  return () => {
    const map = BpfMap.create({ type, name: 'probe', keySize: 8, valueSize: 8, maxEntries: 4, flags: 1 });
    try {
      const { error } = native.mapLookupBatch(
        map.handle(),
        Buffer.alloc(8),
        true,
        Buffer.alloc(32),
        Buffer.alloc(32),
        4,
      );
      if (error < 0 && error !== ENOENT) throw refused('lookup', error);
    } finally {
      map.close();
    }
  };
}

/** A BPF LSM program may load and attach and yet never be asked, when `bpf` is not in the kernel's list. */
function lsm(): void {
  const statistics = enableStatistics();
  try {
    withTracing('lsm', ATTACH_TYPES.lsm_mac, 'bpf', (program) => {
      native.programInfo(program); // goes through the hook
      const info = native.programInfo(program);
      if (typeof info === 'number') throw refused('ask', info);
      if (info.runCount === 0n)
        throw new Unsupported('it attaches but is not asked: add bpf to the kernel parameter lsm=');
    });
  } finally {
    statistics.close();
  }
}

function kernelFunction(name: string, module: string): { id: number; module: string | undefined } {
  const id = native.kernelFunctionId(name, undefined);
  if (id >= 0) return { id, module: undefined };
  const inModule = native.kernelFunctionId(name, module);
  if (inModule >= 0) return { id: inModule, module };
  throw new Unsupported(`neither the kernel nor a loaded module ${module} has ${name} (${errnoName(inModule)})`);
}

/** bpf_skb_ct_lookup(ctx, tuple, 12, options, 12), and bpf_ct_release of what it finds. */
function conntrackLookup(): void {
  const lookup = kernelFunction('bpf_skb_ct_lookup', 'nf_conntrack');
  const release = kernelFunction('bpf_ct_release', 'nf_conntrack');
  const [tuple, options] = [-16, -32];
  const instructions = assemble([
    ...[-32, -24, -16, -8].map((offset) => store(8, STACK, offset, 0)),
    store(4, STACK, options, -1), // netns_id: this one
    store(1, STACK, options + 8, 17), // l4proto: UDP
    copy(2, STACK),
    add(2, tuple),
    move(3, 12),
    copy(4, STACK),
    add(4, options),
    move(5, 12),
    callKernel(lookup.id, lookup.module !== undefined),
    skipIfZero(0, 2),
    copy(1, 0),
    callKernel(release.id, release.module !== undefined),
    move(0, 0),
    EXIT,
  ]);
  withProgram({ type: 'sched_cls', instructions, module: lookup.module });
}

const PROBES = {
  tcx: { what: 'TC programs on TCX links', since: '6.6', attempt: () => onInterface(ATTACH_TYPES.tcx_ingress) },
  clsact: { what: 'TC programs on clsact filters', since: '4.5', attempt: () => onInterface(0) },
  cgroup_skb: {
    what: 'packet filters on cgroups',
    since: '5.7',
    attempt: () => onCgroup('cgroup_skb', CGROUP_ATTACH_TYPES.cgroup_inet_egress),
  },
  sock_ops: {
    what: 'socket operations on cgroups',
    since: '5.7',
    attempt: () => onCgroup('sock_ops', CGROUP_ATTACH_TYPES.cgroup_sock_ops),
  },
  tp_btf: {
    what: 'typed tracepoints',
    since: '5.5',
    attempt: () => withTracing('tracing', ATTACH_TYPES.trace_raw_tp, 'sched_process_exec'),
  },
  fentry: {
    what: 'kernel function entry',
    since: '5.5',
    attempt: () => withTracing('tracing', ATTACH_TYPES.trace_fentry, 'bpf_fentry_test1'),
  },
  lsm: { what: 'security hooks', since: '5.7', attempt: lsm },
  ring_buffer: { what: 'ring buffers', since: '5.8', attempt: mapType('ring_buffer') },
  hash_batch: { what: 'batches of hash maps', since: '5.6', attempt: batched('hash') },
  lpm_batch: { what: 'batches of LPM tries', since: '5.13', attempt: batched('lpm_trie') },
  task_storage: { what: 'storage on tasks', since: '5.11', attempt: mapType('task_storage') },
  socket_storage: { what: 'storage on sockets', since: '5.2', attempt: mapType('socket_storage') },
  cgroup_storage: { what: 'storage on cgroups', since: '6.2', attempt: mapType('cgroup_local_storage') },
  conntrack_lookup: {
    what: 'connection tracking from TC (bpf_skb_ct_lookup)',
    since: '5.18',
    attempt: conntrackLookup,
  },
} as const satisfies Record<string, Probe>;

export type FeatureName = keyof typeof PROBES;
export const FEATURE_NAMES = Object.keys(PROBES) as FeatureName[];

export interface Feature {
  readonly name: FeatureName;
  /** In words. */
  readonly what: string;
  /** The Linux release that introduced it. */
  readonly since: string;
  readonly supported: boolean;
  /** Why not: the step that failed and what the kernel said. */
  readonly reason: string | undefined;
}

/** Finds out by doing. Needs the privileges of loading programs; without them everything is unsupported for that reason. */
export function probeFeature(name: FeatureName): Feature {
  const { what, since, attempt }: Probe = PROBES[name];
  let reason: string | undefined;
  try {
    attempt();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    // Also a failing mkdir, an absent BTF: whatever stands in the way is the reason.
    reason =
      error instanceof Unsupported || error instanceof BpfError ? error.message : `${error.name}: ${error.message}`;
  }
  return { name, what, since, supported: reason === undefined, reason };
}

export function probeFeatures(names: readonly FeatureName[] = FEATURE_NAMES): ReadonlyMap<FeatureName, Feature> {
  return new Map(names.map((name) => [name, probeFeature(name)]));
}
