import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { idleCollector, restAfter, thrift } from '../../src/agent/memory.ts';

describe('the collector', () => {
  it('collects once after the work, when it is quiet', async () => {
    const collected: string[] = [];
    const collector = idleCollector({
      collect: ({ flavor }) => collected.push(flavor),
      trim: () => collected.push('trimmed'),
      idleMs: 20,
    });
    for (let count = 0; count < 5; count += 1) {
      collector.worked();
      await sleep(2);
    }
    assert.deepEqual(collected, []);
    while (collected.length === 0) await sleep(5);
    collector.worked();
    await sleep(60);
    assert.deepEqual(collected, ['last-resort', 'trimmed'], 'the next one comes later');
    collector.close();
  });

  it('only trims, now and then, where it is never quiet', async () => {
    const done: [what: string, after: number][] = [];
    const began = performance.now();
    const collector = idleCollector({
      collect: () => done.push(['collected', performance.now() - began]),
      trim: () => done.push(['trimmed', performance.now() - began]),
      idleMs: 40,
      busyMs: 120,
    });
    while (done.length === 0) {
      collector.worked();
      await sleep(5);
    }
    const [[what, after]] = done as [[string, number]];
    assert.equal(what, 'trimmed');
    assert.ok(after >= 119, `after ${after} ms`);
    collector.close();
  });

  it('waits while others are served', async () => {
    const collected: number[] = [];
    let served = 0;
    const collector = idleCollector({ collect: () => collected.push(served), idleMs: 20, served: () => served });
    collector.worked();
    for (; served < 10; served += 1) await sleep(15);
    assert.deepEqual(collected, []);
    while (collected.length === 0) await sleep(5);
    assert.deepEqual(collected, [10]);
    collector.close();
  });

  it('never takes more than a fiftieth of the time, however much there is to collect', () => {
    for (const took of [1, 150, 1_000, 30_000]) assert.ok(took / (took + restAfter(took)) < 0.02);
    assert.equal(restAfter(1), 10_000);
  });

  it('does nothing where Node does not let it', () => {
    const collector = idleCollector();
    collector.worked();
    collector.close();
  });
});

describe('thrift', () => {
  it('ends while others are served, and comes back when it is calm', async () => {
    const sparing = '--optimize-for-size --heap-growing-percent=22';
    const serving = '--no-optimize-for-size --heap-growing-percent=0';
    const told: string[] = [];
    let served = 0;
    const spares = thrift(
      () => served,
      2,
      (flags) => told.push(flags),
    );
    await sleep(20);
    assert.deepEqual(told, [sparing], 'from the start');
    while (told.length === 1) {
      served += 1;
      await sleep(1);
    }
    assert.deepEqual(told.slice(1), [serving]);
    while (told.length === 2) await sleep(5);
    assert.deepEqual(told.slice(1), [serving, sparing]);
    spares.close();
  });
});
