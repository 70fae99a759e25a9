/** The kernel's monotonic nanoseconds (CLOCK_MONOTONIC, which `process.hrtime` reads too) as milliseconds since the epoch. */
export function wallClock(): (monotonic: bigint) => number {
  const offset = Date.now() - Number(process.hrtime.bigint() / 1_000_000n);
  return (monotonic) => Number(monotonic / 1_000_000n) + offset;
}
