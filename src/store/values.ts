import { hash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';

/** Values that are kept, at most. */
export const VERIFIED_MOST = 262_144;
const VALUE_CHARACTERS_MOST = 16_384;
/** Values written in one transaction, at most. */
const BATCH = 200;

type Entry = readonly [key: string, value: unknown];

/**
 * The table `verified`: opaque values by key, of which only those are written that changed. Changes are gathered
 * here; who has the database writes them.
 */
export class StoredValues {
  /** What is to be written; undefined where a key is to go. */
  readonly #pending = new Map<string, string | undefined>();
  /** Digests of what is in the table; undefined until that is known. */
  #written: Map<string, string> | undefined;
  #lost = 0;

  get waits(): boolean {
    return this.#pending.size > 0;
  }

  /** Values that were too long or too many. */
  get lost(): number {
    return this.#lost;
  }

  /** Another database: what is in it is to be looked at. */
  forgetDatabase(): void {
    this.#written = undefined;
  }

  save(database: DatabaseSync, entries: Iterable<Entry>): void {
    const written = this.#look(database);
    for (const [key, value] of entries) {
      const text = JSON.stringify(value);
      const room = this.#pending.has(key) || written.has(key) || written.size + this.#pending.size < VERIFIED_MOST;
      if (!room || text === undefined || text.length > VALUE_CHARACTERS_MOST) this.#lost += 1;
      else if (written.has(key) && written.get(key) === digest(text)) this.#pending.delete(key);
      else this.#pending.set(key, text);
    }
  }

  forget(database: DatabaseSync, keys: Iterable<string>): void {
    const written = this.#look(database);
    for (const key of keys) {
      if (written.has(key)) this.#pending.set(key, undefined);
      else this.#pending.delete(key);
    }
  }

  replace(database: DatabaseSync, entries: Iterable<Entry>): void {
    const wanted = new Map(entries);
    const known = [...this.#look(database).keys(), ...this.#pending.keys()];
    this.forget(
      database,
      known.filter((key) => !wanted.has(key)),
    );
    this.save(database, wanted);
  }

  /** Everything, what waits included. What cannot be read is left out: nobody wrote it here. */
  load(database: DatabaseSync): ReadonlyMap<string, unknown> {
    const values = new Map<string, unknown>();
    const read = (key: string, text: string): void => {
      try {
        values.set(key, JSON.parse(text));
      } catch {
        values.delete(key);
      }
    };
    for (const { key, value } of all(database)) read(String(key), String(value));
    for (const [key, text] of this.#pending) {
      if (text === undefined) values.delete(key);
      else read(key, text);
    }
    return values;
  }

  /**
   * Writes some of what waits: at least one, and no other after `end` by the clock of `performance.now`. To be run in a
   * transaction. @returns what is to be run once that stands
   */
  write(database: DatabaseSync, end: number): () => void {
    const written = this.#look(database);
    const put = database.prepare('INSERT OR REPLACE INTO verified (key, value) VALUES (?, ?)');
    const remove = database.prepare('DELETE FROM verified WHERE key = ?');
    const batch: (readonly [key: string, text: string | undefined])[] = [];
    for (const entry of this.#pending) if (batch.push(entry) === BATCH) break;
    // What goes makes room for what comes.
    batch.sort(([, one], [, other]) => Number(one !== undefined) - Number(other !== undefined));
    let done = 0;
    for (const [key, text] of batch) {
      if (done > 0 && performance.now() > end) break;
      if (text === undefined) remove.run(key);
      else put.run(key, text);
      done += 1;
    }
    return () => {
      for (const [key, text] of batch.slice(0, done)) {
        this.#pending.delete(key);
        if (text === undefined) written.delete(key);
        else written.set(key, digest(text));
      }
    };
  }

  #look(database: DatabaseSync): Map<string, string> {
    this.#written ??= new Map(all(database).map(({ key, value }) => [String(key), digest(String(value))]));
    return this.#written;
  }
}

function all(database: DatabaseSync) {
  return database.prepare('SELECT key, value FROM verified LIMIT ?').all(VERIFIED_MOST);
}

/** 96 bits: what differs is written, and whose digests are equal does not differ. */
function digest(text: string): string {
  return hash('sha256', text, 'base64').slice(0, 16);
}
