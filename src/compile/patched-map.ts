/** Stands in a patch for a key that the base has and the map has not. */
const GONE = Symbol('gone');

/** What differs from a base. */
type Patch<K, V> = ReadonlyMap<K, V | typeof GONE>;

/** Up to this many keys a patch is not worth putting into the base. */
const LEAST_PATCH = 64;
/** A patch with more than this part of the base's keys is put into it. */
const MOST_OF_BASE = 1 / 16;

/**
 * A map that is never changed, and cheap to make another one of: what differs is kept beside a base that both share.
 * So it is cheap, too, to tell how two of them differ (`changedKeys`). Reading one key costs two lookups.
 *
 * Fields are public for tests to compare: what is private is equal to everything there.
 */
export class PatchedMap<K, V extends object> implements ReadonlyMap<K, V> {
  /** Not to be changed by anybody. */
  readonly base: ReadonlyMap<K, V>;
  /** What differs from the base, and only that. */
  readonly patch: Patch<K, V>;
  readonly size: number;

  /** @param base becomes the map's own */
  constructor(base: ReadonlyMap<K, V> = new Map(), patch: Patch<K, V> = new Map(), size: number = base.size) {
    this.base = base;
    this.patch = patch;
    this.size = size;
  }

  get(key: K): V | undefined {
    const patched = this.patch.get(key);
    if (patched === undefined) return this.base.get(key);
    return patched === GONE ? undefined : patched;
  }

  has(key: K): boolean {
    const patched = this.patch.get(key);
    return patched === undefined ? this.base.has(key) : patched !== GONE;
  }

  *entries(): MapIterator<[K, V]> {
    if (this.patch.size === 0) yield* this.base;
    else for (const entry of this.base) if (!this.patch.has(entry[0])) yield entry;
    for (const [key, value] of this.patch) if (value !== GONE) yield [key, value];
    return undefined;
  }

  *keys(): MapIterator<K> {
    for (const [key] of this.entries()) yield key;
    return undefined;
  }

  *values(): MapIterator<V> {
    for (const [, value] of this.entries()) yield value;
    return undefined;
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries();
  }

  forEach(visit: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this.entries()) visit(value, key, this);
  }

  /** Begins a map that will differ from this one. */
  edit(): MapEdit<K, V> {
    return new MapEdit(this);
  }
}

/** The making of a map from another one. */
export class MapEdit<K, V extends object> {
  readonly #from: PatchedMap<K, V>;
  /** The former one's until something is changed. */
  #patch: Map<K, V | typeof GONE> | undefined;
  #size: number;

  constructor(from: PatchedMap<K, V>) {
    this.#from = from;
    this.#size = from.size;
  }

  get(key: K): V | undefined {
    if (this.#patch === undefined) return this.#from.get(key);
    const patched = this.#patch.get(key);
    if (patched === undefined) return this.#from.base.get(key);
    return patched === GONE ? undefined : patched;
  }

  set(key: K, value: V): void {
    const before = this.get(key);
    if (before === value) return;
    if (before === undefined) this.#size += 1;
    this.#put(key, value);
  }

  delete(key: K): void {
    if (this.get(key) === undefined) return;
    this.#size -= 1;
    this.#put(key, undefined);
  }

  /** The map; the former one where nothing differs. Afterwards there is nothing more to be edited. */
  done(): PatchedMap<K, V> {
    const { base } = this.#from;
    const patch = this.#patch;
    if (patch === undefined) return this.#from;
    if (patch.size <= Math.max(LEAST_PATCH, base.size * MOST_OF_BASE)) return new PatchedMap(base, patch, this.#size);
    return new PatchedMap(new Map(new PatchedMap(base, patch, this.#size)));
  }

  #put(key: K, value: V | undefined): void {
    this.#patch ??= new Map(this.#from.patch);
    // What is as in the base again is no difference any more, so that going to and fro does not grow the patch.
    if (this.#from.base.get(key) === value) this.#patch.delete(key);
    else this.#patch.set(key, value ?? GONE);
  }
}

/** The keys under which two maps may differ; undefined where every one has to be looked at. */
export function changedKeys<K>(a: ReadonlyMap<K, unknown>, b: ReadonlyMap<K, unknown>): Iterable<K> | undefined {
  if (a === b) return [];
  if (!(a instanceof PatchedMap) || !(b instanceof PatchedMap) || a.base !== b.base) return undefined;
  return new Set<K>([...a.patch.keys(), ...b.patch.keys()]);
}
