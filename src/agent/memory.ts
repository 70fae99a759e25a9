/** A collection is worth its pause once in this time, milliseconds. */
const APART_MS = 10_000;
/** The agent is idle when nothing happened for this long, milliseconds. */
const IDLE_MS = 2_000;

/** What gives emptied pages back to the system, too. */
const EVERYTHING = { type: 'major', execution: 'sync', flavor: 'last-resort' } as const;

/** `globalThis.gc`, where Node runs with `--expose-gc`. */
export type Collect = (options: typeof EVERYTHING) => void;

export interface IdleCollector {
  /** Work was done that may have left garbage. */
  worked(): void;
  close(): void;
}

/**
 * Gives memory back when the agent has nothing to do. Parsing thousands of rules leaves several times their size
 * behind, which V8 by itself collects only when the next work makes more, and then in the midst of that work.
 * @param served a number that is another whenever somebody has been served who would not have waited for a collection
 */
export function idleCollector(
  collect: Collect | undefined = globalThis.gc as Collect | undefined,
  idleMs: number = IDLE_MS,
  served: () => number = () => 0,
): IdleCollector {
  let timer: NodeJS.Timeout | undefined;
  let last = Number.NEGATIVE_INFINITY;
  const worked = (): void => {
    if (collect === undefined) return;
    clearTimeout(timer);
    const before = served();
    const wait = Math.max(idleMs, last + APART_MS - performance.now());
    timer = setTimeout(() => {
      if (served() !== before) {
        worked();
        return;
      }
      last = performance.now();
      collect(EVERYTHING);
    }, wait);
    timer.unref();
  };
  return { worked, close: () => clearTimeout(timer) };
}
