import { setFlagsFromString } from 'node:v8';
import { releaseProgram, trimHeap } from '../libbpf/index.ts';

/** A collection is worth its pause once in this time, milliseconds, and never more than a fiftieth of all time. */
const APART_MS = 10_000;
const APART_TIMES = 50;
/** The agent is idle when nothing happened for this long, milliseconds. */
const IDLE_MS = 2_000;
/** That of a busy node never is: then what needs no collection is given back after so long, milliseconds. */
const BUSY_MS = 4_000;

/** What gives emptied pages back to the system, too. */
const EVERYTHING = { type: 'major', execution: 'sync', flavor: 'last-resort' } as const;

/** `globalThis.gc`, where Node runs with `--expose-gc`. */
export type Collect = (options: typeof EVERYTHING) => void;

/** What the collector works with; others than the process's own for tests. */
export interface CollectorOptions {
  readonly collect?: Collect | undefined;
  /** Gives back what is free, or not used any more, outside V8's heap. */
  readonly trim?: () => void;
  readonly idleMs?: number;
  readonly busyMs?: number;
  /** A number that is another whenever somebody has been served who would not have waited for a collection. */
  readonly served?: () => number;
}

export interface IdleCollector {
  /** Work was done that may have left garbage. */
  worked(): void;
  close(): void;
}

/**
 * Gives memory back when the agent has nothing to do. Parsing thousands of rules leaves several times their size
 * behind, which V8 by itself collects only when the next work makes more, and then in the midst of that work. Its own
 * collections are all there is on a busy node: this one would cost the code that is compiled and in use.
 */
export function idleCollector({
  collect = globalThis.gc as Collect | undefined,
  trim = giveBack,
  idleMs = IDLE_MS,
  busyMs = BUSY_MS,
  served = () => 0,
}: CollectorOptions = {}): IdleCollector {
  let timer: NodeJS.Timeout | undefined;
  let next = Number.NEGATIVE_INFINITY;
  let latest: number | undefined;
  const worked = (): void => {
    if (collect === undefined) return;
    clearTimeout(timer);
    const before = served();
    const now = performance.now();
    latest ??= now + busyMs;
    const busy = latest < now + idleMs;
    const wait = Math.max(busy ? latest - now : idleMs, next - now);
    timer = setTimeout(() => {
      latest = undefined;
      if (served() !== before) {
        worked();
        return;
      }
      const began = performance.now();
      if (!busy) collect(EVERYTHING);
      trim();
      const ended = performance.now();
      next = ended + (busy ? (ended - began) * APART_TIMES : restAfter(ended - began));
      // It may have been the last work for long.
      if (busy) worked();
    }, wait);
    timer.unref();
  };
  return { worked, close: () => clearTimeout(timer) };
}

function giveBack(): void {
  trimHeap();
  releaseProgram();
}

/** How long none comes after one that took so long, milliseconds. */
export function restAfter(tookMs: number): number {
  return Math.max(APART_MS, tookMs * APART_TIMES);
}

/** How often it is looked whether somebody is served, milliseconds. */
const LOOK_MS = 500;
/** Looks without anybody served after which memory matters more again: ten seconds. */
const CALM_LOOKS = 20;

/**
 * What V8 is told where memory matters most: it begins to mark as soon as little room is left. Its own growth there, of
 * a tenth, would let a busy node do hardly anything else.
 */
const SPARING = '--optimize-for-size --heap-growing-percent=22';
/** The same where time does; 0 is V8's own. */
const SERVING = '--no-optimize-for-size --heap-growing-percent=0';

/** Changes flags of V8 while it runs: Node does not freeze them. */
export type SetFlags = (flags: string) => void;

/**
 * Lets V8's old generation grow no more than it must, but while packets or changed policies wait for us: then all of it
 * would be collected each two seconds of steady work, and each time what waits does so for 30 ms. Told at the start of
 * the process, they would also leave the young generation 1 MB, and what a handshake takes would mostly outlive it.
 * @param served as in `CollectorOptions`
 */
export function thrift(
  served: () => number,
  lookMs: number = LOOK_MS,
  setFlags: SetFlags = setFlagsFromString,
): { close(): void } {
  let before = served();
  let calm = CALM_LOOKS;
  setFlags(SPARING);
  const timer = setInterval(() => {
    const now = served();
    const was = calm;
    calm = now === before ? Math.min(calm + 1, CALM_LOOKS) : 0;
    before = now;
    if (calm === 0 && was === CALM_LOOKS) setFlags(SERVING);
    else if (calm === CALM_LOOKS && was < CALM_LOOKS) setFlags(SPARING);
  }, lookMs);
  timer.unref();
  return { close: () => clearInterval(timer) };
}
