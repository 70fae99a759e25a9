import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Reconciler, type ReconcilerOptions, type RoundOutcome } from '../../src/agent/reconcile.ts';

interface Loop {
  reconciler: Reconciler;
  outcomes: RoundOutcome[];
}

const open: Reconciler[] = [];

function loop(round: () => Promise<void>, options: Partial<ReconcilerOptions> = {}): Loop {
  const outcomes: RoundOutcome[] = [];
  const reconciler = new Reconciler({
    round,
    settleMs: 1,
    retryLeastMs: 1,
    retryMostMs: 2,
    now: Date.now,
    onRound: (outcome) => outcomes.push(outcome),
    ...options,
  });
  open.push(reconciler);
  return { reconciler, outcomes };
}

describe('the reconcile loop', () => {
  afterEach(async () => {
    await Promise.all(open.splice(0).map((reconciler) => reconciler.close()));
  });

  it('makes one round of many requests', async () => {
    let rounds = 0;
    const { reconciler } = loop(async () => {
      rounds += 1;
    });
    for (let count = 0; count < 100; count += 1) reconciler.request();
    await reconciler.applied();
    assert.equal(rounds, 1);
  });

  it('never runs two rounds at once, and makes exactly one more for what was asked during one', async () => {
    let inside = 0;
    let most = 0;
    let rounds = 0;
    const { reconciler } = loop(async () => {
      inside += 1;
      most = Math.max(most, inside);
      rounds += 1;
      if (rounds === 1) for (let count = 0; count < 10; count += 1) reconciler.request();
      await sleep(5);
      inside -= 1;
    });
    await reconciler.applied();
    await reconciler.applied();
    assert.equal(most, 1);
    assert.ok(rounds <= 3, `${rounds} rounds`);
  });

  it('tells who waits only of a round that began after the call', async () => {
    let value = 0;
    let seen = -1;
    const { reconciler } = loop(async () => {
      const read = value;
      await sleep(5);
      seen = read;
    });
    const first = reconciler.applied();
    await sleep(3);
    value = 1;
    await reconciler.applied();
    assert.equal(seen, 1);
    await first;
  });

  it('tries a failed round again, counts it, and hands its error to who waits', async () => {
    let attempts = 0;
    const { reconciler, outcomes } = loop(async () => {
      attempts += 1;
      if (attempts <= 2) throw new Error(`attempt ${attempts}`);
    });
    await assert.rejects(reconciler.applied(), /attempt 1/);
    while (outcomes.length < 3) await sleep(1);
    assert.equal(reconciler.failures, 2);
    assert.equal(reconciler.rounds, 3);
    assert.equal(reconciler.last?.error, undefined);
  });

  it('does not let a new request wait for the next attempt', async () => {
    let fails = true;
    const { reconciler } = loop(
      async () => {
        if (fails) throw new Error('no');
      },
      { retryLeastMs: 1_000_000, retryMostMs: 1_000_000 },
    );
    await assert.rejects(reconciler.applied());
    fails = false;
    await reconciler.applied();
  });

  it('ends: no round begins after it, and who waits is told', async () => {
    let rounds = 0;
    const { reconciler } = loop(async () => {
      rounds += 1;
      await sleep(5);
    });
    reconciler.request();
    await sleep(3);
    const waiting = assert.rejects(reconciler.applied(), /stopping/);
    await reconciler.close();
    await waiting;
    reconciler.request();
    await assert.rejects(reconciler.applied(), /stopping/);
    await sleep(5);
    assert.equal(rounds, 1);
  });
});
