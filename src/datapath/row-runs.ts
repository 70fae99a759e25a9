/**
 * Rows on their way into a table and keys on their way out, thousands to a system call: `TypedMap.setAll` and
 * `deleteAll` for those who would have to make an object of every row first. What is not flushed is not done, and what
 * an error leaves behind stays.
 */
import type { TypedMap } from '../libbpf/index.ts';

/** Rows in one system call. */
const CHUNK = 4096;

export class RowWriter<K, V> {
  readonly #table: TypedMap<K, V>;
  // Keys, then values; one buffer for both, because layouts keep a view of the last one they wrote to.
  readonly #bytes: Buffer;
  readonly #values: number;
  #count = 0;

  constructor(table: TypedMap<K, V>) {
    this.#table = table;
    this.#values = CHUNK * table.key.size;
    this.#bytes = Buffer.alloc(this.#values + CHUNK * table.value.size);
  }

  /** @throws BpfError, e.g. MAP_FULL */
  put(key: K, value: V): void {
    const { key: keys, value: values } = this.#table;
    keys.write(key, this.#bytes, this.#count * keys.size);
    values.write(value, this.#bytes, this.#values + this.#count * values.size);
    if (++this.#count === CHUNK) this.flush();
  }

  flush(): void {
    const { map } = this.#table;
    map.setBatch(this.#bytes.subarray(0, this.#values), this.#bytes.subarray(this.#values), this.#count);
    this.#count = 0;
  }
}

export class RowRemover<K> {
  readonly #table: TypedMap<K, unknown>;
  readonly #keys: Buffer;
  #count = 0;

  constructor(table: TypedMap<K, unknown>) {
    this.#table = table;
    this.#keys = Buffer.alloc(CHUNK * table.key.size);
  }

  /** A key that is not there is no error. */
  remove(key: K): void {
    const { key: keys } = this.#table;
    keys.write(key, this.#keys, this.#count * keys.size);
    if (++this.#count === CHUNK) this.flush();
  }

  flush(): void {
    this.#table.map.deleteBatch(this.#keys, this.#count);
    this.#count = 0;
  }
}
