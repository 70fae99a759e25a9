import { unlinkSync } from 'node:fs';
import { LITTLE_ENDIAN, viewOf } from './byte-order.ts';
import { argumentError, BpfError, fail } from './errors.ts';
import { kindName, kindNumber, MAP_TYPES, type MapType } from './kinds.ts';
import { batches, type MapBatch, type MapShape } from './map-iteration.ts';
import { type MapHandle, type NativeMapInfo, native } from './native.ts';
import { checkBytes, checkInteger, checkPath, expectOk, MAX_U32, opened, Resource } from './resource.ts';

/** `create` fails where the key is, `exist` where it is not. */
export type UpdateFlags = 'any' | 'create' | 'exist';

const UPDATE_FLAGS = { any: 0, create: 1, exist: 2 } as const;

const ENOENT = -2;
const E2BIG = -7;
const ENOMEM = -12;
const EEXIST = -17;
const ENOSPC = -28;

const NO_KEY = Buffer.alloc(0);

export interface MapDefinition {
  readonly type: MapType;
  /** At most 15 bytes reach the kernel. */
  readonly name: string;
  /** Bytes; 0 for queues, stacks and ring buffers. */
  readonly keySize: number;
  /** Bytes. */
  readonly valueSize: number;
  readonly maxEntries: number;
  /** BPF_F_*, default 0. An LPM trie needs `BPF_F_NO_PREALLOC`. */
  readonly flags?: number;
  /** A map of the shape that a map of maps will hold. */
  readonly inner?: BpfMap;
}

/** The element is allocated when it is written (needed by LPM tries and storages). */
export const BPF_F_NO_PREALLOC = 1;
/** A pinned map that user space may only read. */
export const BPF_F_RDONLY = 8;
/** An array that may take the place of one of another length in a map of maps; the shape must have it too (Linux 5.10). */
export const BPF_F_INNER_MAP = 0x1000;

/**
 * A map of the kernel. Its keys and values are bytes here; `TypedMap` gives them layouts. Lives on in the kernel as
 * long as a program, a pin or another map holds it; `close()` gives up only this process' hold.
 */
export class BpfMap extends Resource<MapHandle> {
  readonly name: string;
  readonly type: MapType | `type ${number}`;
  /** Bytes. */
  readonly keySize: number;
  /** Bytes of one value, of one CPU's in per-CPU maps. */
  readonly valueSize: number;
  /** Bytes of a value as `get` and `set` take it: of per-CPU maps, every possible CPU's, each rounded up to 8. */
  readonly valueBytes: number;
  readonly maxEntries: number;
  readonly flags: number;
  readonly id: number;
  #pinPath: string | undefined;

  /** Takes over a handle of the addon; use `LoadedObject.map`, `openPinned`, `openById` or `create`. */
  constructor(handle: MapHandle, name?: string, pinPath?: string) {
    super(handle);
    const info = opened<NativeMapInfo>(native.mapInfo(handle), 'MAP_READ', `ask about map "${name ?? ''}"`);
    this.name = name ?? info.name;
    this.type = kindName(MAP_TYPES, info.type);
    this.keySize = info.keySize;
    this.valueSize = info.valueSize;
    this.valueBytes = info.valueBytes;
    this.maxEntries = info.maxEntries;
    this.flags = info.flags;
    this.id = info.id;
    this.#pinPath = pinPath;
  }

  /** Whether it has a value for each possible CPU, be it one. */
  get perCpu(): boolean {
    return this.type.includes('percpu');
  }

  /** Opens what is pinned there. Throws `BpfError` NOT_FOUND, or PIN when it is no map. */
  static openPinned(path: string): BpfMap {
    return new BpfMap(
      openPin(path, 'map', (at) => native.openPinned(at, 'map')),
      undefined,
      path,
    );
  }

  /** Throws `BpfError` NOT_FOUND when there is no such map any more. */
  static openById(id: number): BpfMap {
    const handle = native.openMapById(checkInteger(id, 0, MAX_U32, 'a map id'));
    return new BpfMap(openedById(handle, 'map', id));
  }

  /** Makes a map that no object file defines. */
  static create(definition: MapDefinition): BpfMap {
    const { name, keySize, valueSize, maxEntries, flags = 0, inner } = definition;
    const attempted = `create map "${name}"`;
    if (typeof name !== 'string' || !/^[\w.]+$/.test(name)) {
      throw argumentError(attempted, 'a name has letters, digits, underscores and dots');
    }
    const handle = native.createMap(
      kindNumber(MAP_TYPES, definition.type, 'map type'),
      name.slice(0, 15),
      checkInteger(keySize, 0, MAX_U32, 'a key size'),
      checkInteger(valueSize, 0, MAX_U32, 'a value size'),
      checkInteger(maxEntries, 0, MAX_U32, 'a number of entries'),
      checkInteger(flags, 0, MAX_U32, 'map flags'),
      inner?.live('use'),
    );
    return new BpfMap(opened(handle, 'MAP_CREATE', attempted), name);
  }

  protected override describe(): string {
    return `map "${this.name}"`;
  }

  /** For the rest of the binding. */
  handle(attempted?: string): MapHandle {
    return this.live(attempted);
  }

  get pinPath(): string | undefined {
    return this.#pinPath;
  }

  /** A copy of the value; undefined when the key is not there. */
  get(key: Uint8Array): Buffer | undefined {
    const value = Buffer.allocUnsafe(this.valueBytes);
    return this.getInto(key, value) ? value : undefined;
  }

  /** Reads into `value` (of `valueBytes`); false when the key is not there. */
  getInto(key: Uint8Array, value: Uint8Array): boolean {
    this.#checkKey(key, 'read');
    checkBytes(value, this.valueBytes, `read a value of ${this.describe()}`);
    const error = native.mapLookup(this.live('read'), key, value, 0);
    if (error === 0) return true;
    return error === ENOENT ? false : fail('MAP_READ', error, `read ${this.describe()}`);
  }

  /** Reads and deletes in one step (hash maps since Linux 5.14). */
  take(key: Uint8Array): Buffer | undefined {
    this.#checkKey(key, 'take from');
    const value = Buffer.allocUnsafe(this.valueBytes);
    const error = native.mapTake(this.live('take from'), key, value);
    if (error === 0) return value;
    return error === ENOENT ? undefined : fail('MAP_WRITE', error, `take from ${this.describe()}`);
  }

  /** Throws `BpfError` MAP_FULL, or MAP_WRITE for `create` and `exist` that do not hold. */
  set(key: Uint8Array, value: Uint8Array, flags: UpdateFlags = 'any'): void {
    this.#checkKey(key, 'write to');
    checkBytes(value, this.valueBytes, `write a value to ${this.describe()}`);
    const error = native.mapUpdate(this.live('write to'), key, value, kindNumber(UPDATE_FLAGS, flags, 'update flag'));
    if (error < 0) this.#failWrite(error);
  }

  /** False when the key was not there. */
  delete(key: Uint8Array): boolean {
    this.#checkKey(key, 'delete from');
    const error = native.mapDelete(this.live('delete from'), key);
    if (error === 0) return true;
    return error === ENOENT ? false : fail('MAP_WRITE', error, `delete from ${this.describe()}`);
  }

  /** Writes `count` elements that lie one after the other. */
  setBatch(keys: Uint8Array, values: Uint8Array, count: number, flags: UpdateFlags = 'any'): void {
    if (!this.#checkBatch(keys, count, 'write to')) return;
    if (!(values instanceof Uint8Array) || values.length < count * this.valueBytes) {
      throw argumentError(`write to ${this.describe()}`, `${count} values of ${this.valueBytes} bytes are wanted`);
    }
    const number = kindNumber(UPDATE_FLAGS, flags, 'update flag');
    const outcome = native.mapUpdateBatch(this.live('write to'), keys, values, count, number);
    if (outcome.error < 0) this.#failWrite(outcome.error, `element ${outcome.count} of ${count}`);
  }

  /** Deletes `count` keys that lie one after the other; returns how many of them were there. */
  deleteBatch(keys: Uint8Array, count: number): number {
    if (!this.#checkBatch(keys, count, 'delete from')) return 0;
    const outcome = native.mapDeleteBatch(this.live('delete from'), keys, count);
    if (outcome.error < 0) fail('MAP_WRITE', outcome.error, `delete from ${this.describe()}`);
    return outcome.count;
  }

  /** Every element, read in batches where the kernel can. See `batches` for what a concurrent writer may expect. */
  *entries(): Generator<[Buffer, Buffer], void, undefined> {
    const { keySize, valueBytes } = this;
    for (const { keys, values, count } of this.batches(true)) {
      for (let i = 0; i < count; i++) {
        yield [keys.subarray(i * keySize, (i + 1) * keySize), values.subarray(i * valueBytes, (i + 1) * valueBytes)];
      }
    }
  }

  /** Elements in runs. Without `fresh`, the next step overwrites the buffers of the last. */
  batches(fresh = false): Generator<MapBatch, void, undefined> {
    const { type, keySize, valueBytes, maxEntries } = this;
    const shape: MapShape = {
      handle: () => this.live('read'),
      describe: this.describe(),
      type,
      keySize,
      valueBytes,
      maxEntries,
    };
    return batches(shape, fresh);
  }

  /** How many elements there are, by reading them all. */
  count(): number {
    let total = 0;
    for (const { count } of this.batches()) total += count;
    return total;
  }

  /** Queues and stacks: puts a value in. */
  push(value: Uint8Array): void {
    this.set(NO_KEY, value);
  }

  /** Queues and stacks: the next value, which stays. */
  peek(): Buffer | undefined {
    return this.get(NO_KEY);
  }

  /** Queues and stacks: the next value, which goes. */
  pop(): Buffer | undefined {
    return this.take(NO_KEY);
  }

  /** Maps of maps: swaps in a whole map at once. */
  setInner(key: Uint8Array, inner: BpfMap, flags: UpdateFlags = 'any'): void {
    this.#checkKey(key, 'write to');
    if (!(inner instanceof BpfMap)) throw argumentError(`write to ${this.describe()}`, 'a BpfMap is wanted');
    const number = kindNumber(UPDATE_FLAGS, flags, 'update flag');
    const error = native.mapUpdateInner(this.live('write to'), key, inner.live('use'), number);
    if (error < 0) this.#failWrite(error);
  }

  /** Maps of maps: the map at a key, opened anew; the caller closes it. */
  getInner(key: Uint8Array): BpfMap | undefined {
    if (this.type !== 'array_of_maps' && this.type !== 'hash_of_maps') {
      throw argumentError(`read an inner map of ${this.describe()}`, `it is of type ${this.type}`);
    }
    const value = this.get(key);
    if (value === undefined) return undefined;
    const id = viewOf(value).getUint32(0, LITTLE_ENDIAN);
    return id === 0 ? undefined : BpfMap.openById(id);
  }

  /** User space may not write any more. */
  freeze(): void {
    expectOk(native.mapFreeze(this.live('freeze')), 'MAP_WRITE', `freeze ${this.describe()}`);
  }

  pin(path: string): void {
    pinAt(this.live('pin'), path, this.describe());
    this.#pinPath = path;
  }

  /** Removes the pin it was opened from or last pinned to. */
  unpin(): void {
    this.live('unpin');
    removePin(this.#pinPath, this.describe());
    this.#pinPath = undefined;
  }

  #checkKey(key: Uint8Array, verb: string): void {
    checkBytes(key, this.keySize, `${verb} ${this.describe()} with a key`);
  }

  #checkBatch(keys: Uint8Array, count: number, verb: string): boolean {
    checkInteger(count, 0, MAX_U32, 'a number of elements');
    if (!(keys instanceof Uint8Array) || keys.length < count * this.keySize) {
      throw argumentError(`${verb} ${this.describe()}`, `${count} keys of ${this.keySize} bytes are wanted`);
    }
    return count > 0;
  }

  #failWrite(errno: number, what?: string): never {
    const attempted = `write ${what === undefined ? '' : `${what} `}to ${this.describe()}`;
    if (errno === E2BIG || errno === ENOSPC || (errno === ENOMEM && this.type.includes('hash'))) {
      fail('MAP_FULL', errno, attempted, { reason: `it holds at most ${this.maxEntries} elements` });
    }
    if (errno === EEXIST) fail('MAP_WRITE', errno, attempted, { reason: 'the key is there already' });
    fail('MAP_WRITE', errno, attempted, errno === ENOENT ? { reason: 'the key is not there' } : {});
  }
}

/** Opens a pin and says what is wrong with it in words. */
export function openPin<H>(path: string, what: string, open: (path: string) => H | number): H {
  const handle = open(checkPath(path, 'a pin'));
  const attempted = `open the pinned ${what} "${path}"`;
  if (handle === ENOENT) throw new BpfError('NOT_FOUND', { attempted, errno: ENOENT });
  return opened<H>(handle, 'PIN', attempted);
}

/** The result of opening something by its id. */
export function openedById<H>(handle: H | number, what: string, id: number): H {
  const attempted = `open ${what} ${id}`;
  if (handle === ENOENT) throw new BpfError('NOT_FOUND', { attempted, errno: ENOENT });
  return opened<H>(handle, 'SYSTEM', attempted);
}

export function pinAt(handle: Parameters<typeof native.pin>[0], path: string, what: string): void {
  const errno = native.pin(handle, checkPath(path, 'a pin'));
  if (errno === EEXIST) fail('PIN', errno, `pin ${what} at "${path}"`, { hint: 'something is pinned there already' });
  expectOk(errno, 'PIN', `pin ${what} at "${path}"`);
}

export function removePin(path: string | undefined, what: string): void {
  if (path === undefined)
    throw new BpfError('PIN', { attempted: `unpin ${what}`, reason: 'it is not pinned', hint: undefined });
  try {
    unlinkSync(path);
  } catch (cause) {
    throw new BpfError('PIN', {
      attempted: `unpin ${what} from "${path}"`,
      reason: 'the file could not be removed',
      cause,
    });
  }
}
