/**
 * What must happen however the process ends: a test that throws, `process.exit()`, Ctrl-C. Closing is
 * synchronous everywhere in the rig, because nothing asynchronous runs in an exit handler.
 */

const pending = new Set<() => void>();
let installed = false;

const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

function closeAll(): void {
  for (const close of [...pending].reverse()) {
    try {
      close();
    } catch (error) {
      process.stderr.write(`rig: clean-up failed: ${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
}

function install(): void {
  if (installed) return;
  installed = true;
  process.on('exit', closeAll);
  for (const signal of Object.keys(SIGNALS) as (keyof typeof SIGNALS)[]) {
    // mocha has a SIGINT handler of its own that ends the run; only where nobody else listens must we end it.
    process.on(signal, () => {
      if (process.listenerCount(signal) === 1) process.exit(128 + SIGNALS[signal]);
    });
  }
}

/** Runs `close` when the process ends; returns a `close` that runs it now, at most once. */
export function closeOnExit(close: () => void): () => void {
  install();
  const once = () => {
    if (!pending.delete(once)) return;
    close();
  };
  pending.add(once);
  return once;
}

/** Waits for what other processes do, synchronously; for `close` only. Returns whether it came true in time. */
export function waitSync(condition: () => boolean, timeoutMs: number): boolean {
  const deadline = Date.now() + timeoutMs;
  const cell = new Int32Array(new SharedArrayBuffer(4));
  while (!condition()) {
    if (Date.now() > deadline) return false;
    Atomics.wait(cell, 0, 0, 10);
  }
  return true;
}

/** Waits for what other processes do; throws with `what` when it does not come true in time. */
export async function waitFor(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`rig: ${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}
