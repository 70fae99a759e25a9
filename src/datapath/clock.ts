/** The kernel's clocks and ours: CLOCK_MONOTONIC, which `process.hrtime` reads too, and milliseconds since the epoch. */

/** How far two readings may lie apart before the newer one is believed: `Date.now` is cut to milliseconds. */
const JITTER_NS = 2_000_000n;
const SAMPLES = 4;
const MAX_U32 = 0xffff_ffff;

/** CLOCK_REALTIME minus CLOCK_MONOTONIC, ns; half a millisecond off at most. */
export function readClockOffset(): bigint {
  let offset = 0n;
  let least: bigint | undefined;
  // What took longest between its two readings says least: somebody else was running.
  for (let i = 0; i < SAMPLES; i++) {
    const before = process.hrtime.bigint();
    const wall = Date.now();
    const took = process.hrtime.bigint() - before;
    if (least !== undefined && took >= least) continue;
    least = took;
    // Half of the millisecond that was cut off.
    offset = BigInt(wall) * 1_000_000n + 500_000n - before - took / 2n;
  }
  return offset;
}

/** Both clocks, one in terms of the other. The wall clock may be set, and the monotonic one stops in suspend. */
export class Clock {
  readonly #read: () => bigint;
  #offset: bigint;

  constructor(read: () => bigint = readClockOffset) {
    this.#read = read;
    this.#offset = read();
  }

  /** Reads the clocks again; returns what is to be added to the monotonic one, ns. Readings that jitter are one. */
  refresh(): bigint {
    const now = this.#read();
    const moved = now - this.#offset;
    if (moved > JITTER_NS || moved < -JITTER_NS) this.#offset = now;
    return this.#offset;
  }

  /** Milliseconds since the epoch, from monotonic nanoseconds. */
  wall(monotonic: bigint): number {
    return Number((monotonic + this.#offset) / 1_000_000n);
  }

  /** Milliseconds since the epoch, from monotonic seconds. */
  wallOfSeconds(seconds: number): number {
    return Math.round(seconds * 1000 + this.#offsetMs());
  }

  /** Monotonic seconds to the nearest, from milliseconds since the epoch; what lies before the machine's start is 0. */
  seconds(wall: number): number {
    return Math.min(MAX_U32, Math.max(0, Math.round((wall - this.#offsetMs()) / 1000)));
  }

  /** Monotonic nanoseconds, from milliseconds since the epoch; what lies before the machine's start is 0. */
  nanoseconds(wall: number): bigint {
    const since = BigInt(Math.round(wall * 1000)) * 1000n - this.#offset;
    return since > 0n ? since : 0n;
  }

  #offsetMs(): number {
    return Number(this.#offset) / 1e6;
  }
}

/** Monotonic seconds as the kernel's coarse clock has them. */
export function monotonicSeconds(): number {
  return Number(process.hrtime.bigint() / 1_000_000_000n);
}
