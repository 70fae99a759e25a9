import { BpfError, fail } from './errors.ts';
import { type MapHandle, native } from './native.ts';

const ENOENT = -2;
const EINTR = -4;
const EINVAL = -22;
const ENOSPC = -28;
const ENOTSUPP = -524;

/** Bytes read from a map in one call, unless one hash bucket holds more. */
const BATCH_BYTES = 256 * 1024;
const MAX_BATCH = 4096;

export interface MapShape {
  readonly handle: () => MapHandle;
  readonly describe: string;
  readonly type: string;
  readonly keySize: number;
  readonly valueBytes: number;
  readonly maxEntries: number;
}

/** Elements in `keys` and `values`, one after the other. */
export interface MapBatch {
  readonly keys: Buffer;
  readonly values: Buffer;
  readonly count: number;
}

/** Hash tables are read bucket by bucket with a cursor that only grows; arrays by index. Neither can repeat. */
function repeats(type: string): boolean {
  return !/^(lru_)?(percpu_)?hash$|^hash_of_maps$|^(percpu_)?array$|^array_of_maps$/.test(type);
}

/**
 * Reads a map in batches, by single elements where the kernel has no batches for the type. An element that is there
 * from start to end is seen exactly once; one that comes or goes meanwhile may or may not be seen. Always ends:
 * where a concurrent deletion sends the kernel back to the first key, keys already seen are passed over, and after
 * many such returns `BpfError` MAP_READ is raised.
 * @param fresh whether each batch gets new buffers, for callers who keep parts of them.
 */
export function* batches(map: MapShape, fresh: boolean): Generator<MapBatch, void, undefined> {
  const cursor = Buffer.alloc(Math.max(4, map.keySize));
  const seen = repeats(map.type) ? new SeenKeys(map) : undefined;
  let size = Math.max(1, Math.min(MAX_BATCH, map.maxEntries, Math.floor(BATCH_BYTES / (map.keySize + map.valueBytes))));
  let buffers = allocate(map, size);
  let first = true;
  for (;;) {
    const { count, error } = native.mapLookupBatch(map.handle(), cursor, first, buffers.keys, buffers.values, size);
    if (error === EINTR) continue;
    if (error === ENOSPC && size < map.maxEntries) {
      size = Math.min(map.maxEntries, size * 2);
      buffers = allocate(map, size);
      continue;
    }
    if (first && (error === ENOTSUPP || error === EINVAL)) {
      yield* singly(map);
      return;
    }
    if (error < 0 && error !== ENOENT) fail('MAP_READ', error, `read ${map.describe}`);
    first = false;
    const kept = seen === undefined ? count : seen.compact(buffers, count);
    if (kept > 0) {
      yield { ...buffers, count: kept };
      if (fresh) buffers = allocate(map, size);
    }
    if (error === ENOENT) return;
  }
}

function allocate(map: MapShape, count: number): { keys: Buffer; values: Buffer } {
  return { keys: Buffer.allocUnsafeSlow(count * map.keySize), values: Buffer.allocUnsafeSlow(count * map.valueBytes) };
}

/** Key by key, for what has no batches. */
function* singly(map: MapShape): Generator<MapBatch, void, undefined> {
  const seen = new SeenKeys(map);
  let key: Buffer | undefined;
  for (;;) {
    const next = Buffer.allocUnsafe(map.keySize);
    const error = native.mapNextKey(map.handle(), key, next);
    if (error === ENOENT) return;
    if (error < 0) {
      const hint = error === ENOTSUPP || error === EINVAL ? `a map of type ${map.type} has no keys to walk` : undefined;
      fail('MAP_READ', error, `read ${map.describe}`, { hint });
    }
    key = next;
    if (!seen.isNew(next)) continue;
    const values = Buffer.allocUnsafe(map.valueBytes);
    const found = native.mapLookup(map.handle(), next, values, 0);
    if (found === ENOENT) continue; // gone meanwhile
    if (found < 0) fail('MAP_READ', found, `read ${map.describe}`);
    yield { keys: next, values, count: 1 };
  }
}

class SeenKeys {
  readonly #map: MapShape;
  readonly #keys = new Set<string>();
  #steps = 0;
  readonly #limit: number;

  constructor(map: MapShape) {
    this.#map = map;
    this.#limit = 1024 + 16 * map.maxEntries;
  }

  isNew(key: Buffer): boolean {
    if (++this.#steps > this.#limit) {
      throw new BpfError('MAP_READ', {
        attempted: `read ${this.#map.describe}`,
        reason: 'it is changed faster than it can be walked',
      });
    }
    const before = this.#keys.size;
    this.#keys.add(key.toString('latin1'));
    return this.#keys.size > before;
  }

  /** Moves elements not seen before to the front; returns how many. */
  compact({ keys, values }: { keys: Buffer; values: Buffer }, count: number): number {
    const { keySize, valueBytes } = this.#map;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      if (!this.isNew(keys.subarray(i * keySize, (i + 1) * keySize))) continue;
      if (kept !== i) {
        keys.copyWithin(kept * keySize, i * keySize, (i + 1) * keySize);
        values.copyWithin(kept * valueBytes, i * valueBytes, (i + 1) * valueBytes);
      }
      kept++;
    }
    return kept;
  }
}
