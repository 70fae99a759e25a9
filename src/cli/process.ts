import { readAll, wantsColor, writer } from './io.ts';
import { run } from './run.ts';

/** Exit code of a command that Ctrl-C ended, as shells have it: 128 and the signal's number. */
const INTERRUPTED = 130;

/** Runs a command line with this process' streams and signals, and sets its exit code. */
export async function main(words: readonly string[]): Promise<void> {
  const ending = new AbortController();
  let interrupted = false;
  // The first signal ends what runs; the second does not wait for it. SIGTERM is how the agent is asked to stop.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (ending.signal.aborted) process.exit(INTERRUPTED);
      interrupted = signal === 'SIGINT';
      ending.abort();
    });
  }
  // Nobody reads the errors any more: there is nobody left to tell.
  process.stderr.on('error', () => ending.abort());

  const exit = await run(words, {
    write: writer(process.stdout, () => ending.abort()),
    complain: (text) => void process.stderr.write(`${text}\n`),
    readInput: () => readAll(process.stdin),
    answer: () => {},
    environment: process.env,
    color: wantsColor(process.stdout.isTTY === true, process.env),
    signal: ending.signal,
    now: Date.now,
  });
  process.exitCode = interrupted && exit === 0 ? INTERRUPTED : exit;
}
