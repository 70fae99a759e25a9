import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HandshakeRecord } from '../../src/handshake/port.ts';
import { openStore, type Store, type StoreError, type StoreOptions } from '../../src/store/index.ts';
import { record } from './records.ts';

const FOREVER = { keepMs: 1e14, most: 1_000_000 };

/** A directory for each test, with the stores that were opened in it. */
export class Room {
  root = '';
  path = '';
  errors: StoreError[] = [];
  readonly open: Store[] = [];

  /** Makes and removes it around each test of the suite. */
  constructor() {
    beforeEach(() => {
      this.root = mkdtempSync(join(tmpdir(), 'sallyport-test-store-'));
      this.path = join(this.root, 'state', 'records.db');
      this.errors = [];
    });
    afterEach(() => {
      for (const store of this.open.splice(0)) store.close();
      rmSync(this.root, { recursive: true, force: true });
    });
  }

  start(options: Partial<StoreOptions> = {}): Store {
    const store = openStore(this.path, { ...FOREVER, onError: (error) => this.errors.push(error), ...options });
    this.open.push(store);
    return store;
  }

  codes(): string[] {
    return this.errors.map(({ code }) => code);
  }
}

/** Adds records of these numbers, the last one not among them. */
export function fill(store: Store, from: number, to: number, change: Partial<HandshakeRecord> = {}): void {
  for (let number = from; number < to; number++) store.add(record(number, change));
}

export function numbers(records: readonly HandshakeRecord[]): number[] {
  return records.map(({ handshake }) => Number.parseInt(handshake, 16));
}
