import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Store } from '../../src/store/index.ts';
import { waitFor } from '../rig/cleanup.ts';
import { record } from './records.ts';
import { fill, numbers, Room } from './room.ts';

describe('the store', () => {
  const room = new Room();

  it('gives back what it was given, also to the next one that opens it', () => {
    const records = [
      record(1),
      record(2, { source: {}, destination: { identity: 1n }, rule: '', handshake: '', duration: 0 }),
      record(3, {
        end: 'destination',
        result: 'refused',
        step: 'tag',
        reason: 'policy',
        source: { identity: 2n ** 64n - 1n },
      }),
    ];
    const store = room.start();
    for (const one of records) store.add(one);
    assert.deepEqual(store.list({ limit: 10 }).records, records.toReversed());
    store.close();
    assert.deepEqual(room.start().list({ limit: 10 }), { records: records.toReversed() });
    assert.deepEqual(room.errors, []);
  });

  it("is its owner's alone, with all its files", () => {
    const before = process.umask(0);
    try {
      room.start().add(record(1));
      room.open[0]?.flush();
    } finally {
      process.umask(before);
    }
    const files = readdirSync(join(room.root, 'state'));
    assert.ok(files.includes('records.db-wal'), files.join());
    for (const file of files) assert.equal(statSync(join(room.root, 'state', file)).mode & 0o777, 0o600, file);
    assert.equal(statSync(join(room.root, 'state')).mode & 0o777, 0o700);
  });

  it('writes within a moment by itself, and at once when much has come', async () => {
    const store = room.start();
    store.add(record(1));
    assert.equal(store.statistics().waiting, 1);
    await waitFor('it is written', () => store.statistics().waiting === 0, 2_000);
    fill(store, 2, 1_602);
    assert.ok(store.statistics().waiting < 500);
  });

  it('lets nobody push out what is on record of him: each culprit has a share', () => {
    let now = 1_000_000;
    const store = room.start({ most: 50, share: { burst: 20, perSecond: 2 }, now: () => now });
    store.add(record(1, { end: 'destination', source: { node: 'n2' } }));
    // Another agent, whoever it names; a container of this node.
    for (let n = 2; n <= 101; n++) {
      store.add(record(n, { end: 'destination', source: { node: 'n3', identity: BigInt(n) } }));
      store.add(record(n + 200, { source: { node: 'n1', identity: 0x99n } }));
    }
    assert.equal(store.list({ limit: 100 }).records.length, 41);
    assert.equal(store.statistics().lost, 160);
    assert.equal(store.list({ limit: 100 }).records.at(-1)?.source.node, 'n2');
    now += 3_000;
    for (let n = 400; n < 410; n++) store.add(record(n, { end: 'destination', source: { node: 'n3' } }));
    assert.equal(store.statistics().lost, 164);
  });

  describe('lists records', () => {
    const mixed = (): Store => {
      const store = room.start();
      const ends = (source: string, destination: string) => ({
        source: { workload: source, identity: BigInt(source.length) },
        destination: { workload: destination, identity: 99n },
      });
      store.add(record(1, { ...ends('shop/Service/web', 'shop/Service/api'), result: 'refused' }));
      store.add(record(2, { ...ends('shop/Service/api', 'bank/Deployment/web'), end: 'destination' }));
      store.add(record(3, { ...ends('docker/Container/webs', 'docker/Container/[x]'), result: 'timeout' }));
      store.add(record(4, { source: {}, destination: { workload: 'shop/Service/db[main]' } }));
      return store;
    };
    const cases: [name: string, filter: object, expected: number[]][] = [
      ['all, the newest first', {}, [4, 3, 2, 1]],
      ['of a time on', { since: 1_000_003 }, [4, 3]],
      ['before a time', { until: 1_000_003 }, [2, 1]],
      ['of one result', { result: 'refused' }, [1]],
      ['of one end', { end: 'destination' }, [2]],
      ['of an identity at either end', { identity: 16n }, [2, 1]],
      ['of an identity at the other end', { identity: 99n }, [3, 2, 1]],
      ['of a workload by its name, at either end', { workload: 'web' }, [2, 1]],
      ['of a workload by kind and name', { workload: 'Service/web' }, [1]],
      ['of a workload by all of its name', { workload: 'shop/Service/api' }, [2, 1]],
      ['of a workload whose containers are told apart', { workload: 'shop/Service/db' }, [4]],
      ['of one container', { workload: 'db[main]' }, [4]],
      ['of another container', { workload: 'db[mai]' }, []],
      ['by a pattern', { workload: 'we?s' }, [3]],
      ['by a pattern of a namespace', { workload: 'shop/*/*' }, [4, 2, 1]],
      ['by the beginning', { workload: 'docker/' }, [3]],
      ['with no classes in patterns', { workload: '[x]' }, [3]],
      ['with no classes in patterns, not even by half', { workload: 'Container/[a-z]*' }, []],
      ['not by what SQL might read', { workload: "' OR 1=1 --" }, []],
      [
        'by everything at once',
        { result: 'refused', end: 'source', workload: 'web', since: 1_000_001, until: 1_000_002 },
        [1],
      ],
    ];
    for (const [name, filter, expected] of cases) {
      it(name, () => assert.deepEqual(numbers(mixed().list({ limit: 10, ...filter }).records), expected));
    }

    it('page by page, each once, also of one time, also while others come and go', () => {
      const store = room.start();
      fill(store, 0, 250, { time: 5_000_000 });
      fill(store, 250, 300);
      const seen: number[] = [];
      let after: string | undefined;
      do {
        const page = store.list({ limit: 70, after });
        seen.push(...numbers(page.records));
        after = page.after;
        fill(store, 1_000, 1_010, { time: 9_000_000 });
      } while (after !== undefined);
      assert.deepEqual(
        seen.toSorted((a, b) => a - b),
        Array.from({ length: 300 }, (_, i) => i),
      );
    });

    it('and says when nothing follows', () => {
      const store = room.start();
      fill(store, 0, 10);
      assert.equal(store.list({ limit: 10 }).after, undefined);
      assert.notEqual(store.list({ limit: 9 }).after, undefined);
      assert.deepEqual(store.list({ limit: 10, after: store.list({ limit: 9 }).after }).records.length, 1);
    });

    it('and refuses to go on where no page ended', () => {
      const store = room.start();
      for (const after of ['', 'x', '1', '1.2.3', '1.2 OR 1', `${'9'.repeat(16)}.1`]) {
        assert.throws(() => store.list({ limit: 1, after }), { code: 'CURSOR' });
      }
    });

    it('by hostile patterns in no more time than by others', () => {
      const store = room.start();
      fill(store, 0, 2_000, { source: { workload: `shop/Service/${'a'.repeat(253)}` } });
      store.flush();
      const begun = performance.now();
      assert.equal(store.list({ limit: 10, workload: `${'*a'.repeat(120)}b` }).records.length, 0);
      assert.ok(performance.now() - begun < 5_000);
    });
  });

  it('gives all records of one handshake, the oldest first', () => {
    const store = room.start();
    fill(store, 0, 10);
    store.add(record(5, { result: 'revoked' }));
    store.add(record(77, { handshake: '' }));
    assert.deepEqual(
      store.get(record(5).handshake).map(({ result }) => result),
      ['verified', 'revoked'],
    );
    assert.deepEqual(store.get(''), []);
    assert.deepEqual(store.get('nothing'), []);
  });

  it('takes what no record should be, and cuts what is too long', () => {
    const store = room.start();
    const long = 'x'.repeat(100_000);
    store.add(record(1, { time: 1_000_000.7, duration: Number.NaN, rule: long, source: { workload: `a\0b${long}` } }));
    store.add(record(2, { duration: Number.POSITIVE_INFINITY, reason: "'; DROP TABLE records; --" }));
    const [second, first] = store.list({ limit: 10 }).records;
    assert.deepEqual([first?.time, first?.duration, first?.rule.length], [1_000_000, 0, 512]);
    assert.deepEqual([second?.duration, second?.reason], [0, "'; DROP TABLE records; --"]);
  });

  describe('keeps', () => {
    it('no more than so many', () => {
      const store = room.start({ most: 1_000 });
      for (let from = 0; from < 5_000; from += 500) {
        fill(store, from, from + 500);
        store.flush();
        assert.ok(store.statistics().records <= 1_000);
      }
      assert.deepEqual(numbers(store.list({ limit: 2_000 }).records).at(-1), 4_000);
      assert.equal(store.list({ limit: 2_000 }).records.length, 1_000);
      store.close();
      const fewer = room.start({ most: 10 });
      fewer.add(record(9_999));
      fewer.flush();
      assert.equal(fewer.statistics().records, 10);
    });

    it('nothing that is too old, and shows nothing of it before it is gone', async () => {
      let now = 1_000_000;
      const options = { keepMs: 10_000, now: () => now };
      const store = room.start(options);
      fill(store, 0, 6_000, { time: 1_000_000 });
      fill(store, 6_000, 6_010, { time: 1_005_000 });
      store.flush();
      now = 1_012_000;
      assert.equal(store.list({ limit: 10_000 }).records.length, 10);
      assert.equal(store.list({ limit: 10_000, since: 0 }).records.length, 10);
      store.close();
      // More than go at one time.
      const next = room.start(options);
      await waitFor('the old ones are gone', () => next.statistics().records === 10);
    });

    it('what waits within a bound, and counts the rest', () => {
      const store = room.start();
      const blocker = new DatabaseSync(room.path);
      blocker.exec('BEGIN EXCLUSIVE');
      fill(store, 0, 10_300);
      assert.equal(store.statistics().waiting, 10_000);
      assert.equal(store.statistics().lost, 300);
      blocker.exec('ROLLBACK');
      blocker.close();
      store.flush();
      assert.deepEqual([store.statistics().waiting, store.statistics().records], [0, 10_000]);
      assert.deepEqual(room.errors, []);
    });
  });

  describe('of verified values', () => {
    it('loads what was saved, replaced and not forgotten', () => {
      const store = room.start();
      store.verified.save([
        ['a', { x: 1 }],
        ['b', [2]],
        ['c', '3'],
      ]);
      store.verified.forget(['b', 'never']);
      store.verified.save([['a', { x: 2 }]]);
      assert.deepEqual(
        [...store.verified.load()],
        [
          ['a', { x: 2 }],
          ['c', '3'],
        ],
      );
      store.close();
      const next = room.start();
      assert.deepEqual([...next.verified.load().keys()], ['a', 'c']);
      next.verified.save([['lost', 1]]);
      next.verified.replace([['d', null]]);
      next.verified.save([['e', 5]]);
      assert.deepEqual(
        [...next.verified.load()],
        [
          ['d', null],
          ['e', 5],
        ],
      );
      next.verified.replace([]);
      next.close();
      assert.equal(room.start().verified.load().size, 0);
    });

    it('writes only what changed', () => {
      const store = room.start();
      const values = (n: number): [string, number][] =>
        Array.from({ length: 3_000 }, (_, i) => [`k${i}`, i === 7 ? n : i]);
      store.verified.replace(values(0));
      store.flush();
      const other = new DatabaseSync(room.path);
      other.exec(
        'CREATE TABLE log (key TEXT); CREATE TRIGGER a AFTER INSERT ON verified BEGIN INSERT INTO log VALUES (new.key); END',
      );
      other.exec('CREATE TRIGGER b AFTER DELETE ON verified BEGIN INSERT INTO log VALUES (old.key); END');
      store.verified.replace(values(1));
      store.verified.replace(values(2).slice(0, 2_999));
      store.verified.save([['k8', 8]]);
      store.flush();
      assert.deepEqual(
        other
          .prepare('SELECT key FROM log ORDER BY key')
          .all()
          .map(({ key }) => key),
        ['k2999', 'k7'],
      );
      // What changes and changes back before it is written.
      store.verified.save([['k9', 0]]);
      store.verified.save([['k9', 9]]);
      store.verified.forget(['k10']);
      store.verified.save([['k10', 10]]);
      store.flush();
      assert.equal(other.prepare('SELECT count(*) AS n FROM log').get()?.n, 2);
      other.close();
      assert.deepEqual([...store.verified.load()].sort(), values(2).slice(0, 2_999).sort());
    });

    it('takes none that are too long or nothing at all', () => {
      const store = room.start();
      store.verified.save([
        ['long', 'x'.repeat(20_000)],
        ['nothing', undefined],
      ]);
      assert.equal(store.verified.load().size, 0);
      assert.equal(store.statistics().lost, 2);
    });

    it('leaves out what somebody else wrote', () => {
      room.start().verified.save([['good', 1]]);
      room.open[0]?.flush();
      const other = new DatabaseSync(room.path);
      other.exec(`INSERT INTO verified VALUES ('bad', '{')`);
      other.close();
      assert.deepEqual([...(room.open[0]?.verified.load() ?? [])], [['good', 1]]);
    });
  });
});
