import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Backoff } from '../../src/sources/backoff.ts';
import { Coalescer } from '../../src/sources/coalescer.ts';
import { SourceError } from '../../src/sources/error.ts';
import { Health } from '../../src/sources/health.ts';
import { Publication } from '../../src/sources/publication.ts';
import { waitFor } from '../rig/cleanup.ts';

const fail = (thrown: unknown): never => {
  throw thrown;
};

describe('a coalescer', () => {
  it('makes one run of what is asked together, and never two at once', async () => {
    let [runs, running, most] = [0, 0, 0];
    const coalescer = new Coalescer(
      async () => {
        runs += 1;
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setTimeout(resolve, 5));
        running -= 1;
      },
      1,
      fail,
    );
    for (let i = 0; i < 100; i++) coalescer.request();
    await waitFor('the first run', () => runs === 1);
    for (let i = 0; i < 100; i++) coalescer.request();
    await waitFor('the second run', () => runs === 2 && running === 0);
    await coalescer.close();
    assert.deepEqual([runs, most], [2, 1]);
  });

  it('goes on after a run failed', async () => {
    const thrown: unknown[] = [];
    let runs = 0;
    const coalescer = new Coalescer(
      async () => {
        runs += 1;
        if (runs === 1) throw new Error('first');
      },
      0,
      (error) => thrown.push(error),
    );
    coalescer.request();
    await waitFor('the failure', () => thrown.length === 1);
    coalescer.request();
    await waitFor('the second run', () => runs === 2);
    await coalescer.close();
  });

  it('runs no more once closed, and closes after the run under way', async () => {
    const gate = Promise.withResolvers<void>();
    let [runs, done] = [0, false];
    const coalescer = new Coalescer(
      async () => {
        runs += 1;
        await gate.promise;
        done = true;
      },
      0,
      fail,
    );
    coalescer.request();
    await waitFor('the run', () => runs === 1);
    coalescer.request();
    const closed = coalescer.close();
    gate.resolve();
    await closed;
    assert.equal(done, true);
    coalescer.request();
    await coalescer.close();
    await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(runs, 1);
  });
});

describe('a publication', () => {
  it('tells listeners of the first value and of different ones', () => {
    const publication = new Publication({ n: 0 });
    let told = 0;
    const unsubscribe = publication.subscribe(() => {
      told += 1;
    });
    publication.publish({ n: 0 });
    publication.publish({ n: 0 });
    publication.publish({ n: 1 });
    unsubscribe();
    publication.publish({ n: 2 });
    assert.deepEqual([told, publication.value, publication.synced], [2, { n: 2 }, true]);
  });
});

describe('a source’s health', () => {
  it('is good when all its parts work, and says since when', () => {
    let now = 1;
    const health = new Health(() => now);
    assert.deepEqual(health.status(), { healthy: false, since: 1, restarts: 0 });
    now = 2;
    health.works('engine');
    now = 3;
    const error = new SourceError('TIMEOUT', 'late');
    health.fails('engine', error);
    health.fails('node', new SourceError('UNREADABLE', 'no'));
    assert.deepEqual(health.status(), { healthy: false, since: 3, error, restarts: 0 });
    now = 4;
    health.works('engine');
    assert.equal(health.status().error?.message, 'no');
    now = 5;
    health.works('node');
    health.restarts();
    assert.deepEqual(health.status(), { healthy: true, since: 5, restarts: 1 });
  });
});

describe('waits after failures', () => {
  it('are random below a bound that doubles up to the most', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })), (randoms) => {
        const [leastMs, mostMs] = [100, 5_000];
        let i = 0;
        const backoff = new Backoff({ leastMs, mostMs, random: () => randoms[i] ?? 0 });
        for (; i < randoms.length; i++) {
          const bound = Math.min(mostMs, leastMs * 2 ** i);
          assert.equal(backoff.next(), Math.floor((randoms[i] ?? 0) * bound));
        }
        backoff.reset();
        assert.ok(backoff.next() < leastMs);
      }),
    );
  });

  it('end at once on a signal', async () => {
    const backoff = new Backoff({ leastMs: 3_600_000, mostMs: 3_600_000, random: () => 0.9 });
    const controller = new AbortController();
    const waited = backoff.wait(controller.signal);
    controller.abort();
    await waited;
    await backoff.wait(controller.signal);
  });
});
