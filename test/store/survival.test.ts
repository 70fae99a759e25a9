import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { waitFor } from '../rig/cleanup.ts';
import { record } from './records.ts';
import { fill, numbers, Room } from './room.ts';

describe('the store goes on', () => {
  const room = new Room();
  const asides = (): string[] =>
    readdirSync(join(room.root, 'state')).filter((name) => /\.corrupt-\d{8}T\d{6}Z(\.\d)?$/.test(name));

  const damages: [name: string, damage: () => void][] = [
    ['is no database', () => writeFileSync(room.path, 'hello '.repeat(5_000))],
    ['was cut short', () => truncateSync(room.path, 5_000)],
    [
      'is written over in its midst',
      () => {
        const bytes = readFileSync(room.path);
        bytes.fill(0xa5, 4_096);
        writeFileSync(room.path, bytes);
      },
    ],
    [
      'has other tables',
      () => {
        const other = new DatabaseSync(room.path);
        other.exec('DROP TABLE records; CREATE TABLE records (id INTEGER, time TEXT)');
        other.close();
      },
    ],
    [
      'is a directory',
      () => {
        rmSync(room.path);
        mkdirSync(room.path);
      },
    ],
  ];
  for (const [name, damage] of damages) {
    it(`with an empty one where the file ${name}, keeps the bad one, and says so once`, async () => {
      const before = room.start();
      fill(before, 0, 2_000);
      before.close();
      damage();
      const store = room.start();
      // Some damage shows only when the damaged place is read.
      store.list({ limit: 10_000 });
      store.add(record(1));
      store.flush();
      store.add(record(2));
      assert.deepEqual(numbers(store.list({ limit: 10 }).records), [2, 1]);
      assert.equal(room.codes().length, 1, room.errors.map(({ message }) => message).join('\n'));
      assert.match(
        room.errors[0]?.message ?? '',
        /Cannot use the database .*records\.db: .*an empty one takes its place/,
      );
      const [aside = ''] = asides();
      assert.equal(asides().length, 1);
      assert.equal(room.errors[0]?.hint, `what was in it is in ${join(room.root, 'state', aside)}`);
      store.close();
      assert.deepEqual(numbers(room.start().list({ limit: 10 }).records), [2, 1]);
      assert.equal(room.codes().length, 1);
    });
  }

  it('where the file is damaged while it is open, and loses nothing that waited', () => {
    const store = room.start();
    fill(store, 0, 5_000);
    store.flush();
    const other = new DatabaseSync(room.path);
    other.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    other.close();
    const bytes = readFileSync(room.path);
    bytes.fill(0xa5, 4_096);
    writeFileSync(room.path, bytes);
    fill(store, 5_000, 5_010);
    store.flush();
    const found = numbers(store.list({ limit: 10_000 }).records);
    assert.deepEqual(room.codes(), ['CORRUPT']);
    assert.deepEqual(
      found,
      Array.from({ length: 10 }, (_, i) => 5_009 - i),
    );
    assert.equal(asides().length, 1);
  });

  it('with an empty one where a later version wrote the file', () => {
    room.start().close();
    const other = new DatabaseSync(room.path);
    other.exec('PRAGMA user_version = 99');
    other.close();
    room.start().add(record(1));
    assert.deepEqual(room.codes(), ['VERSION']);
    assert.equal(asides().length, 1);
  });

  it('in memory where no file can be written, and says so once', () => {
    writeFileSync(join(room.root, 'file'), '');
    room.path = join(room.root, 'file', 'records.db');
    const store = room.start();
    fill(store, 0, 20_000);
    store.verified.save([['a', 1]]);
    assert.equal(store.list({ limit: 1 }).records.length, 1);
    assert.equal(store.verified.load().size, 1);
    assert.deepEqual(room.codes(), ['UNWRITABLE']);
    assert.match(room.errors[0]?.message ?? '', /nothing of it is kept/);
    assert.equal(store.statistics().inMemory, true);
    assert.equal(store.statistics().records, 10_000);
  });

  it('with the newest records where it is as large as it may be', () => {
    const store = room.start({ bytesMost: 256 * 1024 });
    fill(store, 0, 5_000);
    store.flush();
    assert.deepEqual([room.codes(), store.statistics().waiting, store.statistics().lost], [[], 0, 0]);
    const found = numbers(store.list({ limit: 10_000 }).records);
    assert.ok(found.length > 100 && found.length < 2_000, String(found.length));
    assert.deepEqual(
      found,
      Array.from(found, (_, i) => 4_999 - i),
    );
    assert.ok(statSync(room.path).size <= 256 * 1024);
  });

  it('where nothing more fits and nothing can make room: says so once, and writes again when it can', async () => {
    const store = room.start({ bytesMost: 256 * 1024 });
    store.verified.save(Array.from({ length: 18 }, (_, i) => [`k${i}`, 'x'.repeat(10_000)] as const));
    store.flush();
    assert.equal(store.verified.load().size, 18);
    fill(store, 0, 300);
    store.flush();
    store.flush();
    assert.deepEqual(room.codes(), ['FULL']);
    assert.equal(store.statistics().waiting, 300);
    assert.deepEqual(store.list({ limit: 10 }).records, []);
    assert.equal(store.verified.load().size, 18);
    store.verified.replace([]);
    assert.equal(store.verified.load().size, 0);
    fill(store, 300, 310);
    await waitFor('it writes again by itself', () => store.statistics().waiting === 0);
    assert.equal(store.list({ limit: 1_000 }).records.length, 310);
    assert.deepEqual(room.codes(), ['FULL']);
    assert.deepEqual(asides(), []);
  });

  it('after it was killed at any time, with all that was flushed', async function () {
    this.timeout(60_000);
    for (const delay of [60, 150, 320]) {
      const child = spawn(
        process.execPath,
        ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'writer.child.ts'), room.path],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
      let said = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
      await waitFor('it writes', () => said.includes('\n'));
      await new Promise((resolve) => setTimeout(resolve, delay));
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await ended;
      const last = Number(said.trimEnd().split('\n').at(-1));
      const store = room.start();
      const found = numbers(store.list({ limit: 1_000_000 }).records);
      const [first = -1] = found;
      assert.ok(first >= last && first <= last + 200, `${first} ${last}`);
      // Batches whole or not at all.
      assert.equal((first + 1) % 100, 0);
      assert.equal(store.verified.load().has(`k${last - 99}`), true);
      assert.deepEqual(room.codes(), []);
      store.close();
      const check = new DatabaseSync(room.path);
      assert.equal(check.prepare('PRAGMA integrity_check').get()?.integrity_check, 'ok');
      check.close();
      rmSync(join(room.root, 'state'), { recursive: true });
    }
  });

  it('while somebody reads, who sees one moment', () => {
    const store = room.start();
    fill(store, 0, 100);
    store.flush();
    const reader = new DatabaseSync(room.path, { readOnly: true });
    reader.exec('BEGIN');
    const count = (): unknown => reader.prepare('SELECT count(*) AS n FROM records').get()?.n;
    assert.equal(count(), 100);
    fill(store, 100, 3_000);
    store.flush();
    assert.equal(store.statistics().records, 3_000);
    assert.equal(count(), 100);
    reader.exec('COMMIT');
    assert.equal(count(), 3_000);
    reader.close();
    assert.deepEqual(room.errors, []);
  });

  it('where two have it open', () => {
    const [one, two] = [room.start(), room.start()];
    for (let i = 0; i < 20; i++) {
      fill(one, i * 100, i * 100 + 50);
      fill(two, i * 100 + 50, i * 100 + 100);
      one.flush();
      two.flush();
    }
    assert.equal(one.list({ limit: 10_000 }).records.length, 2_000);
    assert.deepEqual(room.errors, []);
  });

  it('when it is used after it was closed: nothing is kept, nothing thrown', () => {
    const store = room.start();
    store.close();
    store.close();
    store.add(record(1));
    store.flush();
    store.verified.save([['a', 1]]);
    assert.deepEqual([store.list({ limit: 1 }).records, store.get('x'), store.verified.load().size], [[], [], 0]);
    assert.equal(store.statistics().lost, 1);
  });
});
