import assert from 'node:assert/strict';
import { Clock, monotonicSeconds, readClockOffset } from '../../src/datapath/clock.ts';

const MS = 1_000_000n;

describe('the clocks', () => {
  it('are read within a millisecond of each other', () => {
    const offset = readClockOffset();
    // Somebody else may run between the readings.
    const before = Date.now();
    const wall = Number((process.hrtime.bigint() + offset) / 1000n) / 1000;
    const after = Date.now();
    assert.ok(before - 2 <= wall && wall <= after + 2, `${before} ${wall} ${after}`);
    const seconds = [process.hrtime.bigint(), BigInt(monotonicSeconds()), process.hrtime.bigint()].map(Number);
    assert.ok(seconds[0]! / 1e9 - 1.1 <= seconds[1]! && seconds[1]! <= seconds[2]! / 1e9 + 0.1, String(seconds));
  });

  it('are told in each other’s terms', () => {
    const offset = 1_790_000_000_123n * MS + 456_789n;
    const clock = new Clock(() => offset);
    assert.equal(clock.wall(1_000n * MS), 1_790_000_001_123);
    assert.equal(clock.seconds(1_790_000_010_123), 10);
    assert.equal(clock.seconds(1_790_000_010_700), 11);
    assert.equal(clock.wallOfSeconds(10), 1_790_000_010_123);
    assert.equal(clock.nanoseconds(1_790_000_010_124), 10_001n * MS - 456_789n);
    for (const second of [0, 1, 4_000_000_000]) assert.equal(clock.seconds(clock.wallOfSeconds(second)), second);
  });

  it('know no time before the machine’s start, nor one the kernel cannot write', () => {
    const clock = new Clock(() => 1_790_000_000_000n * MS);
    assert.deepEqual([clock.seconds(0), clock.nanoseconds(0)], [0, 0n]);
    assert.equal(clock.seconds(Number.MAX_SAFE_INTEGER), 0xffff_ffff);
  });

  it('follow a wall clock that is set, and not what is only the jitter of reading it', () => {
    let offset = 1_790_000_000_000n * MS;
    const clock = new Clock(() => offset);
    const before = offset;
    offset += MS;
    assert.equal(clock.refresh(), before);
    offset = before - 3n * MS;
    assert.equal(clock.refresh(), offset);
    offset += 3_600_000n * MS;
    assert.equal(clock.refresh(), offset);
    assert.equal(clock.wall(0n), 1_790_003_599_997);
  });
});
