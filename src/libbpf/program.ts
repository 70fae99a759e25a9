import { attachToCgroup } from './cgroup-link.ts';
import { ClsactFilter, type ClsactPlace } from './clsact.ts';
import { argumentError, fail } from './errors.ts';
import {
  ATTACH_TYPES,
  CGROUP_ATTACH_TYPES,
  type CgroupAttachType,
  checkDirection,
  type Direction,
  kindName,
  kindNumber,
  PROGRAM_TYPES,
  type ProgramType,
} from './kinds.ts';
import { BpfLink } from './link.ts';
import { openedById, openPin, pinAt, removePin } from './map.ts';
import { type NativeProgramInfo, native, type ObjectHandle, type ProgramHandle } from './native.ts';
import { checkInteger, checkPath, MAX_U32, opened, Resource } from './resource.ts';

const EEXIST = -17;
const EINVAL = -22;
/** include/uapi/linux/bpf.h, Linux 6.6: where among the programs of an interface. */
const BPF_F_BEFORE = 8;
const BPF_F_AFTER = 16;
/** What a program may add to a packet in a test run. */
const TEST_RUN_ROOM = 256;

export interface TcxPlace {
  /** In the caller's network namespace. */
  readonly ifindex: number;
  readonly direction: Direction;
  /** Among the programs already there; default `last`. */
  readonly position?: 'first' | 'last';
}

export interface TestRunOptions {
  /** The packet; at least 14 bytes for TC and XDP programs. */
  readonly data?: Uint8Array;
  /** The context struct, such as `struct __sk_buff`. */
  readonly context?: Uint8Array;
  /** How often; the result's duration is the mean. Default once. */
  readonly repeat?: number;
  /** Room for the packet as the program leaves it; default 256 more than `data`. */
  readonly dataOutSize?: number;
}

export interface TestRunResult {
  readonly retval: number;
  /** The packet as the program left it; empty where none was given. */
  readonly data: Buffer;
  readonly context: Buffer;
  readonly durationNs: number;
}

export interface ProgramInfo {
  readonly id: number;
  /** At most 15 bytes. */
  readonly name: string;
  readonly type: ProgramType | `type ${number}`;
  /** A hash of the instructions, 16 hexadecimal digits. */
  readonly tag: string;
  /** Since boot. */
  readonly loadedAtNs: bigint;
  readonly mapIds: readonly number[];
  readonly btfId: number;
  readonly instructions: number;
  readonly jitedBytes: number;
  /** 0 unless statistics are on (`enableStatistics`). */
  readonly runTimeNs: bigint;
  readonly runCount: bigint;
  readonly recursionMisses: bigint;
  /** How many instructions the verifier walked (since Linux 5.16). */
  readonly verifiedInstructions: number;
}

/** Where a program came from, for those attached by their section. */
export interface ProgramOrigin {
  readonly object: ObjectHandle;
  readonly section: string;
}

/** The programs on TCX of an interface in the order they run (Linux 6.6). Throws `BpfError` ATTACH where there is none. */
export function queryTcx(
  ifindex: number,
  direction: Direction,
): { readonly programId: number; readonly linkId: number }[] {
  checkInteger(ifindex, 1, 0x7fffffff, 'an interface index');
  const type = checkDirection(direction) === 'ingress' ? ATTACH_TYPES.tcx_ingress : ATTACH_TYPES.tcx_egress;
  const attempted = `list the programs on ${direction} of interface ${ifindex} (tcx)`;
  const { programIds, linkIds } = opened(native.queryAttached(ifindex, type, true), 'ATTACH', attempted);
  return programIds.map((programId, index) => ({ programId, linkId: linkIds[index]! }));
}

/** A loaded program. Lives on in the kernel as long as a link, a filter, a pin or a process holds it. */
export class BpfProgram extends Resource<ProgramHandle> {
  readonly name: string;
  readonly #origin: ProgramOrigin | undefined;
  #pinPath: string | undefined;

  /** Takes over a handle of the addon; use `LoadedObject.program`, `openPinned` or `openById`. */
  constructor(handle: ProgramHandle, name?: string, origin?: ProgramOrigin, pinPath?: string) {
    super(handle);
    this.name = name ?? opened<NativeProgramInfo>(native.programInfo(handle), 'PROGRAM', 'ask about a program').name;
    this.#origin = origin;
    this.#pinPath = pinPath;
  }

  static openPinned(path: string): BpfProgram {
    const handle = openPin(path, 'program', (at) => native.openPinned(at, 'program'));
    return new BpfProgram(handle, undefined, undefined, path);
  }

  static openById(id: number): BpfProgram {
    return new BpfProgram(
      openedById(native.openProgramById(checkInteger(id, 0, MAX_U32, 'a program id')), 'program', id),
    );
  }

  protected override describe(): string {
    return `program "${this.name}"`;
  }

  /** For the rest of the binding. */
  handle(attempted?: string): ProgramHandle {
    return this.live(attempted);
  }

  get id(): number {
    return this.info().id;
  }

  /** The descriptor's number, for tools; it is this object's and closes with it. */
  get fd(): number {
    return native.descriptor(this.live());
  }

  get pinPath(): string | undefined {
    return this.#pinPath;
  }

  /** Attaches to an interface with a TCX link (Linux 6.6). Throws `BpfError` ATTACH with errno EINVAL on older kernels. */
  attachTcx(place: TcxPlace): BpfLink {
    const { ifindex, direction, position = 'last' } = place;
    checkInteger(ifindex, 1, 0x7fffffff, 'an interface index');
    checkDirection(direction);
    if (position !== 'first' && position !== 'last')
      throw argumentError(`attach at position "${String(position)}"`, 'it is first or last');
    const type = direction === 'ingress' ? ATTACH_TYPES.tcx_ingress : ATTACH_TYPES.tcx_egress;
    const flags = position === 'first' ? BPF_F_BEFORE : BPF_F_AFTER;
    const link = native.createLink(this.live('attach'), ifindex, type, flags);
    const hints: Readonly<Record<number, string>> = {
      [EINVAL]: 'TCX links need Linux 6.6 and a tc program; use attachClsact',
      [EEXIST]: 'this program is there already: an interface takes each once',
    };
    const hint = typeof link === 'number' ? hints[link] : undefined;
    const where = `${direction} of interface ${ifindex} (tcx)`;
    return new BpfLink(
      opened(link, 'ATTACH', `attach "${this.name}" to ${where}`, hint),
      `link of "${this.name}" to ${where}`,
    );
  }

  /** Attaches to an interface with a TC filter, which stays after this process: where there is no TCX. */
  attachClsact(place: ClsactPlace): ClsactFilter {
    return ClsactFilter.attach(this, place);
  }

  /** Attaches to a cgroup-v2 directory, beside and before the programs of its parents. */
  attachCgroup(path: string, type: CgroupAttachType): BpfLink {
    const number = kindNumber(CGROUP_ATTACH_TYPES, type, 'cgroup attach type');
    const where = `cgroup "${checkPath(path, 'a cgroup')}" (${type})`;
    const attempted = `attach "${this.name}" to ${where}`;
    const link = attachToCgroup(this.live('attach'), path, number, attempted);
    return new BpfLink(opened(link, 'ATTACH', attempted), `link of "${this.name}" to ${where}`);
  }

  /**
   * Attaches as the program's section says: tp_btf, raw_tp, lsm, fentry, kprobe, tracepoint. A program that was opened
   * from a pin or by id can be attached so only when it knows its target itself (tp_btf, lsm, fentry).
   */
  attach(): BpfLink {
    const handle = this.live('attach');
    const origin = this.#origin;
    const link =
      origin === undefined
        ? native.openRawTracepoint(handle, undefined)
        : native.attachProgram(origin.object, this.name);
    const what = origin === undefined ? `"${this.name}"` : `"${this.name}" (${origin.section})`;
    return new BpfLink(opened(link, 'ATTACH', `attach ${what}`), `link of ${what}`);
  }

  /** Runs the program once or more on made-up input (BPF_PROG_TEST_RUN). */
  testRun(options: TestRunOptions = {}): TestRunResult {
    const { data, context, repeat = 0 } = options;
    for (const bytes of [data, context]) {
      if (bytes !== undefined && !(bytes instanceof Uint8Array))
        throw argumentError(`run "${this.name}"`, 'data and context are Buffers');
    }
    checkInteger(repeat, 0, 0x7fffffff, 'a number of runs');
    const room = data === undefined ? 0 : data.length + TEST_RUN_ROOM;
    const size = checkInteger(options.dataOutSize ?? room, 0, 1 << 20, 'a packet size');
    const dataOut = Buffer.alloc(size);
    const contextOut = Buffer.alloc(context?.length ?? 0);
    const run = native.testRun(
      this.live('run'),
      data,
      context,
      repeat,
      data === undefined ? undefined : dataOut,
      context === undefined ? undefined : contextOut,
    );
    if (run.error < 0) fail('PROGRAM', run.error, `run "${this.name}" on ${data?.length ?? 0} bytes`);
    return {
      retval: run.retval,
      data: dataOut.subarray(0, run.dataSize),
      context: contextOut.subarray(0, run.contextSize),
      durationNs: run.durationNs,
    };
  }

  info(): ProgramInfo {
    const info = opened<NativeProgramInfo>(
      native.programInfo(this.live('ask about')),
      'PROGRAM',
      `ask about ${this.describe()}`,
    );
    const { id, name, tag, mapIds, btfId, jitedBytes, runTimeNs, runCount, recursionMisses, verifiedInstructions } =
      info;
    return {
      id,
      name,
      type: kindName(PROGRAM_TYPES, info.type),
      tag,
      loadedAtNs: info.loadTime,
      mapIds,
      btfId,
      instructions: info.instructionBytes / 8,
      jitedBytes,
      runTimeNs,
      runCount,
      recursionMisses,
      verifiedInstructions,
    };
  }

  pin(path: string): void {
    pinAt(this.live('pin'), path, this.describe());
    this.#pinPath = path;
  }

  unpin(): void {
    this.live('unpin');
    removePin(this.#pinPath, this.describe());
    this.#pinPath = undefined;
  }
}
