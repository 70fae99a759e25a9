import { createRequire } from 'node:module';
import { BpfError } from './errors.ts';

/** Handles are made by the addon only; it checks their kind on every call. */
declare const kind: unique symbol;
interface Handle<K extends string> {
  readonly [kind]: K;
}
export type ObjectHandle = Handle<'object'>;
export type MapHandle = Handle<'map'>;
export type ProgramHandle = Handle<'program'>;
export type LinkHandle = Handle<'link'>;
export type RingHandle = Handle<'ring'>;
export type NetlinkHandle = Handle<'netlink'>;
export type PollHandle = Handle<'poll'>;
export type StatsHandle = Handle<'stats'>;
export type AnyHandle = Handle<string>;

/** A negative errno. */
type Errno = number;

export interface NativeMap {
  readonly name: string;
  readonly type: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly flags: number;
  /** .rodata, .data, .bss. */
  readonly internal: boolean;
}

export interface NativeProgram {
  readonly name: string;
  readonly section: string;
  readonly type: number;
  readonly attachType: number;
}

export interface NativeMapInfo {
  readonly type: number;
  readonly id: number;
  readonly name: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly valueBytes: number;
}

export interface NativeProgramInfo {
  readonly type: number;
  readonly id: number;
  readonly name: string;
  readonly tag: string;
  readonly loadTime: bigint;
  readonly mapIds: readonly number[];
  readonly btfId: number;
  readonly instructionBytes: number;
  readonly jitedBytes: number;
  readonly runTimeNs: bigint;
  readonly runCount: bigint;
  readonly recursionMisses: bigint;
  readonly verifiedInstructions: number;
}

export interface NativeLinkInfo {
  readonly type: number;
  readonly id: number;
  readonly programId: number;
  readonly cgroupId: bigint;
  readonly first: number;
  readonly second: number;
  readonly third: number;
}

export interface NativeBatch {
  readonly count: number;
  readonly error: Errno;
}

export interface NativeFilter {
  readonly handle: number;
  readonly priority: number;
  readonly programId: number;
}

export interface NativeTestRun {
  readonly error: Errno;
  readonly retval: number;
  readonly dataSize: number;
  readonly contextSize: number;
  readonly durationNs: number;
}

type Bytes = Uint8Array;
type PinKind = 'map' | 'program' | 'link';

/** The addon (native/*.cc). Functions return a negative errno for failures and throw TypeErrors for misuse. */
export interface Native {
  openObject(path: string, btfPath: string | undefined): ObjectHandle | Errno;
  objectMaps(object: ObjectHandle): NativeMap[];
  objectPrograms(object: ObjectHandle): NativeProgram[];
  objectMapMaxEntries(object: ObjectHandle, map: number): number;
  objectMapSetMaxEntries(object: ObjectHandle, map: number, entries: number): Errno;
  objectMapPinPath(object: ObjectHandle, map: number): string | undefined;
  objectMapSetPinPath(object: ObjectHandle, map: number, path: string | undefined): Errno;
  objectMapReuse(object: ObjectHandle, map: number, existing: MapHandle): Errno;
  objectMapSetInner(object: ObjectHandle, map: number, inner: MapHandle): Errno;
  objectMapSetAutocreate(object: ObjectHandle, map: number, create: boolean): Errno;
  objectMapInitialValue(object: ObjectHandle, map: number): Buffer | Errno;
  objectMapSetInitialValue(object: ObjectHandle, map: number, value: Bytes): Errno;
  objectProgramAutoload(object: ObjectHandle, program: string): boolean;
  objectProgramSetAutoload(object: ObjectHandle, program: string, load: boolean): Errno;
  loadObject(object: ObjectHandle): Errno;
  objectBtf(object: ObjectHandle): Buffer | Errno;
  objectMap(object: ObjectHandle, map: number): MapHandle | Errno;
  objectProgram(object: ObjectHandle, program: string): ProgramHandle | Errno;

  mapLookup(map: MapHandle, key: Bytes, value: Bytes, flags: number): Errno;
  mapTake(map: MapHandle, key: Bytes, value: Bytes): Errno;
  mapUpdate(map: MapHandle, key: Bytes, value: Bytes, flags: number): Errno;
  mapUpdateInner(map: MapHandle, key: Bytes, inner: MapHandle, flags: number): Errno;
  mapDelete(map: MapHandle, key: Bytes): Errno;
  mapNextKey(map: MapHandle, key: Bytes | undefined, next: Bytes): Errno;
  mapFreeze(map: MapHandle): Errno;
  mapLookupBatch(map: MapHandle, cursor: Bytes, first: boolean, keys: Bytes, values: Bytes, count: number): NativeBatch;
  mapUpdateBatch(map: MapHandle, keys: Bytes, values: Bytes, count: number, flags: number): NativeBatch;
  mapDeleteBatch(map: MapHandle, keys: Bytes, count: number): NativeBatch;
  createMap(
    type: number,
    name: string,
    keySize: number,
    valueSize: number,
    maxEntries: number,
    flags: number,
    inner: MapHandle | undefined,
  ): MapHandle | Errno;
  openMapById(id: number): MapHandle | Errno;
  mapInfo(map: MapHandle): NativeMapInfo | Errno;

  openProgramById(id: number): ProgramHandle | Errno;
  programInfo(program: ProgramHandle): NativeProgramInfo | Errno;
  testRun(
    program: ProgramHandle,
    data: Bytes | undefined,
    context: Bytes | undefined,
    repeat: number,
    dataOut: Bytes | undefined,
    contextOut: Bytes | undefined,
  ): NativeTestRun;
  loadProgram(
    type: number,
    attachType: number,
    name: string,
    instructions: Bytes,
    target: string | undefined,
    module: string | undefined,
  ): ProgramHandle | Errno;

  createLink(program: ProgramHandle, target: number, attachType: number, flags: number): LinkHandle | Errno;
  openRawTracepoint(program: ProgramHandle, name: string | undefined): LinkHandle | Errno;
  attachProgram(object: ObjectHandle, program: string): LinkHandle | Errno;
  updateLink(link: LinkHandle, program: ProgramHandle): Errno;
  detachLink(link: LinkHandle): Errno;
  openLinkById(id: number): LinkHandle | Errno;
  linkInfo(link: LinkHandle): NativeLinkInfo | Errno;
  readIterator(link: LinkHandle, netns: string | undefined, most: number): Promise<Buffer | Errno>;
  queryAttached(
    target: number,
    attachType: number,
    withLinks: boolean,
  ): { readonly revision: bigint; readonly programIds: readonly number[]; readonly linkIds: readonly number[] } | Errno;

  createClsact(ifindex: number, point: number): Errno;
  destroyClsact(ifindex: number, point: number): Errno;
  attachClsact(
    ifindex: number,
    point: number,
    program: ProgramHandle,
    priority: number,
    handle: number,
    replace: boolean,
  ): NativeFilter | Errno;
  queryClsact(ifindex: number, point: number, priority: number, handle: number): NativeFilter | Errno;
  probeInterface(program: ProgramHandle, attachType: number): Errno;
  detachClsact(ifindex: number, point: number, priority: number, handle: number): Errno;

  openRing(map: MapHandle): RingHandle | Errno;
  consumeRing(ring: RingHandle, buffer: Bytes, places: Uint32Array): number;
  ringStatus(ring: RingHandle): { readonly available: number; readonly capacity: number; readonly oversized: number };

  createPoll(source: RingHandle | NetlinkHandle, callback: (status: Errno) => void): PollHandle | Errno;
  resumePoll(poll: PollHandle): Errno;
  pausePoll(poll: PollHandle): Errno;
  refPoll(poll: PollHandle, keepsAlive: boolean): Errno;

  openNetlink(protocol: number, groups: number, netns: string | undefined): NetlinkHandle | Errno;
  sendNetlink(socket: NetlinkHandle, message: Bytes): Errno;
  receiveNetlink(socket: NetlinkHandle, buffer: Bytes, wait: boolean): number;

  openPinned(path: string, kind: 'map'): MapHandle | Errno;
  openPinned(path: string, kind: 'program'): ProgramHandle | Errno;
  openPinned(path: string, kind: 'link'): LinkHandle | Errno;
  pin(handle: MapHandle | ProgramHandle | LinkHandle, path: string): Errno;
  close(handle: AnyHandle): void;
  descriptor(handle: AnyHandle): number;
  nextId(kind: PinKind, id: number): number;
  enableStats(): StatsHandle | Errno;
  possibleCpus(): number;
  probeMapType(type: number): number;
  kernelFunctionId(name: string, module: string | undefined): number;
  cgroupId(path: string): bigint | Errno;
  peerCredentials(fd: number): { readonly pid: number; readonly uid: number; readonly gid: number } | Errno;
  mountBpffs(path: string): Errno;
  openPidfd(pid: number): number;
  trimHeap(): boolean;
  releaseProgram(): boolean;
  signalPidfd(descriptor: number, signal: number): Errno;
  takeLog(): string;
}

/** Beside `src/` and `dist/` alike. */
const ADDON = '../../build/Release/libbpf.node';

function load(): Native {
  try {
    return createRequire(import.meta.url)(ADDON) as Native;
  } catch (cause) {
    throw new BpfError('ADDON', { attempted: 'load build/Release/libbpf.node', cause });
  }
}

export const native: Native = load();
