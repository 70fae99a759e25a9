import { argumentError, BpfError } from './errors.ts';
import { I32, type Layout } from './layout.ts';
import { BpfMap, type UpdateFlags } from './map.ts';
import { native } from './native.ts';

/** Elements written or deleted in one call. */
const CHUNK = 4096;

function checkFit<T>(map: BpfMap, part: 'key' | 'value', layout: Layout<T>): void {
  const size = part === 'key' ? map.keySize : map.valueSize;
  if (layout.size === size) return;
  throw new BpfError('LAYOUT', {
    attempted: `use layout "${layout.name}" for the ${part}s of map "${map.name}"`,
    reason: `the layout has ${layout.size} bytes, the ${part} ${size}`,
    hint: 'generate the layouts again, or the map was pinned by another version',
  });
}

/** Keys and values with layouts, and how a value lies in the bytes of a system call. */
abstract class LayoutMap<K, V> {
  readonly map: BpfMap;
  readonly key: Layout<K>;
  // Reused by every call: nothing here runs twice at once.
  readonly #keyBytes: Buffer;
  readonly #valueBytes: Buffer;

  constructor(map: BpfMap, key: Layout<K>) {
    if (!(map instanceof BpfMap)) throw argumentError('give a map layouts', 'a BpfMap is wanted');
    checkFit(map, 'key', key);
    this.map = map;
    this.key = key;
    this.#keyBytes = Buffer.alloc(map.keySize);
    this.#valueBytes = Buffer.alloc(map.valueBytes);
  }

  protected abstract readValue(buffer: Buffer, offset: number): V;
  protected abstract writeValue(value: V, buffer: Buffer, offset: number): void;

  /** Undefined when the key is not there. */
  get(key: K): V | undefined {
    this.key.write(key, this.#keyBytes, 0);
    return this.map.getInto(this.#keyBytes, this.#valueBytes) ? this.readValue(this.#valueBytes, 0) : undefined;
  }

  has(key: K): boolean {
    this.key.write(key, this.#keyBytes, 0);
    return this.map.getInto(this.#keyBytes, this.#valueBytes);
  }

  set(key: K, value: V, flags: UpdateFlags = 'any'): void {
    this.key.write(key, this.#keyBytes, 0);
    this.writeValue(value, this.#valueBytes, 0);
    this.map.set(this.#keyBytes, this.#valueBytes, flags);
  }

  /** False when the key was not there. */
  delete(key: K): boolean {
    this.key.write(key, this.#keyBytes, 0);
    return this.map.delete(this.#keyBytes);
  }

  /** See `BpfMap.entries`. The map may be written and closed meanwhile; a closed one ends with `BpfError` CLOSED. */
  *entries(): Generator<[K, V], void, undefined> {
    const { keySize, valueBytes } = this.map;
    for (const { keys, values, count } of this.map.batches()) {
      for (let i = 0; i < count; i++) {
        yield [this.key.read(keys, i * keySize), this.readValue(values, i * valueBytes)];
      }
    }
  }

  *keys(): Generator<K, void, undefined> {
    const { keySize } = this.map;
    for (const { keys, count } of this.map.batches()) {
      for (let i = 0; i < count; i++) yield this.key.read(keys, i * keySize);
    }
  }

  /** Writes all, thousands to a system call; returns how many. Not atomic: what an error leaves behind stays. */
  setAll(entries: Iterable<readonly [K, V]>): number {
    const { keySize, valueBytes } = this.map;
    const keys = Buffer.alloc(CHUNK * keySize);
    const values = Buffer.alloc(CHUNK * valueBytes);
    let total = 0;
    let count = 0;
    for (const [key, value] of entries) {
      this.key.write(key, keys, count * keySize);
      this.writeValue(value, values, count * valueBytes);
      if (++count < CHUNK) continue;
      this.map.setBatch(keys, values, count);
      total += count;
      count = 0;
    }
    this.map.setBatch(keys, values, count);
    return total + count;
  }

  /** Deletes all, thousands to a system call; returns how many of them were there. */
  deleteAll(keys: Iterable<K>): number {
    const { keySize } = this.map;
    const bytes = Buffer.alloc(CHUNK * keySize);
    let deleted = 0;
    let count = 0;
    for (const key of keys) {
      this.key.write(key, bytes, count * keySize);
      if (++count < CHUNK) continue;
      deleted += this.map.deleteBatch(bytes, count);
      count = 0;
    }
    return deleted + this.map.deleteBatch(bytes, count);
  }

  close(): void {
    this.map.close();
  }
}

/** A map whose keys and values have layouts: hash, LRU, array, LPM trie. */
export class TypedMap<K, V> extends LayoutMap<K, V> {
  readonly value: Layout<V>;

  /** Throws `BpfError` LAYOUT when the sizes are not the map's. */
  constructor(map: BpfMap, key: Layout<K>, value: Layout<V>) {
    super(map, key);
    checkFit(map, 'value', value);
    if (map.perCpu) throw argumentError(`use map "${map.name}" as a TypedMap`, 'it is per CPU: use PerCpuMap');
    this.value = value;
  }

  protected override readValue(buffer: Buffer, offset: number): V {
    return this.value.read(buffer, offset);
  }

  protected override writeValue(value: V, buffer: Buffer, offset: number): void {
    this.value.write(value, buffer, offset);
  }
}

/** A map with a value for each possible CPU; values here are arrays, by CPU number. */
export class PerCpuMap<K, V> extends LayoutMap<K, V[]> {
  readonly value: Layout<V>;
  readonly cpus: number;
  readonly #stride: number;

  constructor(map: BpfMap, key: Layout<K>, value: Layout<V>) {
    super(map, key);
    checkFit(map, 'value', value);
    this.#stride = Math.ceil(map.valueSize / 8) * 8;
    this.cpus = native.possibleCpus();
    if (map.valueBytes !== this.cpus * this.#stride || !map.perCpu) {
      throw argumentError(`use map "${map.name}" as a PerCpuMap`, `it is of type ${map.type}`);
    }
    this.value = value;
  }

  protected override readValue(buffer: Buffer, offset: number): V[] {
    const values: V[] = [];
    for (let cpu = 0; cpu < this.cpus; cpu++) values.push(this.value.read(buffer, offset + cpu * this.#stride));
    return values;
  }

  protected override writeValue(values: V[], buffer: Buffer, offset: number): void {
    if (!Array.isArray(values) || values.length !== this.cpus) {
      throw argumentError(`write to map "${this.map.name}"`, `a value for each of ${this.cpus} CPUs is wanted`);
    }
    for (const [cpu, value] of values.entries()) {
      const start = offset + cpu * this.#stride;
      buffer.fill(0, start, start + this.#stride);
      this.value.write(value, buffer, start);
    }
  }
}

/**
 * Task, socket, inode or cgroup storage. User space names the owner by an open descriptor of it: a pidfd
 * (`openPidfd`), a socket, a file, a cgroup directory. There is no way to list owners from here.
 */
export class StorageMap<V> {
  readonly #entries: TypedMap<number, V>;

  constructor(map: BpfMap, value: Layout<V>) {
    if (!map.type.endsWith('_storage'))
      throw argumentError(`use map "${map.name}" as a StorageMap`, `it is of type ${map.type}`);
    this.#entries = new TypedMap(map, I32, value);
  }

  get(descriptor: number): V | undefined {
    return this.#entries.get(descriptor);
  }

  set(descriptor: number, value: V, flags: UpdateFlags = 'any'): void {
    this.#entries.set(descriptor, value, flags);
  }

  delete(descriptor: number): boolean {
    return this.#entries.delete(descriptor);
  }

  close(): void {
    this.#entries.close();
  }
}

/** A map of maps. `set` publishes a whole inner map in one step; the kernel keeps it as long as an entry does. */
export class MapOfMaps<K> {
  readonly map: BpfMap;
  readonly #key: Layout<K>;
  readonly #bytes: Buffer;

  constructor(map: BpfMap, key: Layout<K>) {
    if (!map.type.endsWith('_of_maps'))
      throw argumentError(`use map "${map.name}" as a MapOfMaps`, `it is of type ${map.type}`);
    checkFit(map, 'key', key);
    this.map = map;
    this.#key = key;
    this.#bytes = Buffer.alloc(map.keySize);
  }

  /** Opened anew: the caller closes it. */
  get(key: K): BpfMap | undefined {
    this.#key.write(key, this.#bytes, 0);
    return this.map.getInner(this.#bytes);
  }

  set(key: K, inner: BpfMap, flags: UpdateFlags = 'any'): void {
    this.#key.write(key, this.#bytes, 0);
    this.map.setInner(this.#bytes, inner, flags);
  }

  delete(key: K): boolean {
    this.#key.write(key, this.#bytes, 0);
    return this.map.delete(this.#bytes);
  }

  *keys(): Generator<K, void, undefined> {
    for (const [key] of this.map.entries()) yield this.#key.read(key, 0);
  }

  close(): void {
    this.map.close();
  }
}
