/**
 * Rows on their way into a table and keys on their way out, thousands to a system call: `TypedMap.setAll` and
 * `deleteAll` for those who would have to make an object of every row first. What is not flushed is not done, and what
 * an error leaves behind stays.
 */
import type { TypedMap } from '../libbpf/index.ts';

/** Rows in one system call: few at first, because most changes are small, and then more. */
const CHUNKS = [64, 512, 4_096] as const;

/** As they lie in a table, one after the other. */
interface Rows {
  readonly keys: Buffer;
  readonly values: Buffer;
  readonly count: number;
}

/** Room for as many rows as fit into the next system call, none before the first. */
class Room {
  readonly #rowBytes: number;
  #step = 0;
  bytes = Buffer.alloc(0);
  rows = 0;

  constructor(rowBytes: number) {
    this.#rowBytes = rowBytes;
  }

  grow(): void {
    const rows = CHUNKS[this.#step] ?? this.rows;
    this.#step += 1;
    if (rows !== this.rows) this.bytes = Buffer.alloc(rows * this.#rowBytes);
    this.rows = rows;
  }
}

export class RowWriter<K, V> {
  readonly #table: TypedMap<K, V>;
  // Keys, then values; one buffer for both, because layouts keep a view of the last one they wrote to.
  readonly #room: Room;
  #count = 0;

  constructor(table: TypedMap<K, V>) {
    this.#table = table;
    this.#room = new Room(table.key.size + table.value.size);
  }

  /** @throws BpfError, e.g. MAP_FULL */
  put(key: K, value: V): void {
    const room = this.#room;
    if (this.#count === room.rows) {
      this.flush();
      room.grow();
    }
    const { key: keys, value: values } = this.#table;
    keys.write(key, room.bytes, this.#count * keys.size);
    values.write(value, room.bytes, room.rows * keys.size + this.#count * values.size);
    this.#count += 1;
  }

  /** Rows that are made already, at once. @throws BpfError, e.g. MAP_FULL */
  putRows({ keys, values, count }: Rows): void {
    this.#table.map.setBatch(keys, values, count);
  }

  flush(): void {
    const { map, key } = this.#table;
    const { bytes, rows } = this.#room;
    map.setBatch(bytes, bytes.subarray(rows * key.size), this.#count);
    this.#count = 0;
  }
}

export class RowRemover<K> {
  readonly #table: TypedMap<K, unknown>;
  readonly #room: Room;
  #count = 0;

  constructor(table: TypedMap<K, unknown>) {
    this.#table = table;
    this.#room = new Room(table.key.size);
  }

  /** A key that is not there is no error. */
  remove(key: K): void {
    const room = this.#room;
    if (this.#count === room.rows) {
      this.flush();
      room.grow();
    }
    const { key: keys } = this.#table;
    keys.write(key, room.bytes, this.#count * keys.size);
    this.#count += 1;
  }

  /** Keys that are made already, at once. */
  removeRows({ keys, count }: Pick<Rows, 'keys' | 'count'>): void {
    this.#table.map.deleteBatch(keys, count);
  }

  flush(): void {
    this.#table.map.deleteBatch(this.#room.bytes, this.#count);
    this.#count = 0;
  }
}
