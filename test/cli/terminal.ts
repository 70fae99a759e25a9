// Loaded here, because zod makes globals, and mocha would blame the test in which a command first loads it.
import 'zod';
import { run } from '../../src/cli/run.ts';

export interface Shown {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

export interface TerminalOptions {
  readonly input?: string;
  readonly color?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
  readonly now?: number;
}

/** Runs one command line in this process, with a terminal of strings. */
export async function sallyport(words: readonly string[], options: TerminalOptions = {}): Promise<Shown> {
  let out = '';
  let err = '';
  const exit = await run(words, {
    write: async (text) => {
      out += text;
    },
    complain: (text) => {
      err += `${text}\n`;
    },
    readInput: async () => options.input ?? '',
    answer: () => {},
    environment: options.environment ?? {},
    color: options.color ?? false,
    signal: new AbortController().signal,
    now: () => options.now ?? 0,
  });
  return { exit, out, err };
}
