import type { TypedMap } from '../libbpf/index.ts';

/** Rows written or deleted in one system call. */
const CHUNK = 4096;

/**
 * Rows on their way into a table, or keys on their way out, thousands to a system call: `TypedMap.setAll` and
 * `deleteAll` for those who would have to make an object of every row first. What is not flushed is not written.
 * Not atomic: what an error leaves behind stays.
 */
export class RowBatch<K, V> {
  readonly #table: TypedMap<K, V>;
  // One buffer for both, because layouts keep a view of the last one they wrote to.
  readonly #bytes: Buffer;
  readonly #values: number;
  readonly #write: boolean;
  #count = 0;

  constructor(table: TypedMap<K, V>, purpose: 'put' | 'remove') {
    this.#table = table;
    this.#write = purpose === 'put';
    this.#values = CHUNK * table.key.size;
    this.#bytes = Buffer.alloc(this.#values + (this.#write ? CHUNK * table.value.size : 0));
  }

  /** @throws BpfError, e.g. MAP_FULL */
  put(key: K, value: V): void {
    const { value: layout } = this.#table;
    layout.write(value, this.#bytes, this.#values + this.#count * layout.size);
    this.#add(key);
  }

  /** A key that is not there is no error. */
  remove(key: K): void {
    this.#add(key);
  }

  #add(key: K): void {
    const { key: layout } = this.#table;
    layout.write(key, this.#bytes, this.#count * layout.size);
    if (++this.#count === CHUNK) this.flush();
  }

  flush(): void {
    const { map } = this.#table;
    const keys = this.#bytes.subarray(0, this.#values);
    if (this.#write) map.setBatch(keys, this.#bytes.subarray(this.#values), this.#count);
    else map.deleteBatch(keys, this.#count);
    this.#count = 0;
  }
}
