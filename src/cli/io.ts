import { readFile } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { AgentError } from '../agent/errors.ts';

/** What a command may touch of the world outside. */
export interface Io {
  /** Resolves when the reader took it, so that nothing piles up before a slow one. */
  readonly write: (text: string) => Promise<void>;
  /** For people: errors, warnings, progress. */
  readonly complain: (text: string) => void;
  readonly readInput: () => Promise<string>;
  /** The exit code of a command that did what it was asked; 0 unless told. */
  readonly answer: (exit: number) => void;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly color: boolean;
  /** Aborted by Ctrl-C, and when nobody reads the output any more. */
  readonly signal: AbortSignal;
  readonly now: () => number;
}

/** More than any policy set needs; a larger input is a mistake or an attack. */
const INPUT_BYTES_MOST = 4 * 1024 * 1024;

/** Colours only for people: a terminal that is not dumb, and nobody said no (https://no-color.org). */
export function wantsColor(isTerminal: boolean, environment: Io['environment']): boolean {
  return isTerminal && !environment.NO_COLOR && environment.TERM !== 'dumb';
}

/** Writes and waits for the reader. A reader that went away (EPIPE) ends the command quietly. */
export function writer(stream: Writable, gone: () => void): (text: string) => Promise<void> {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    gone();
  });
  return (text) =>
    new Promise((resolve) => {
      if (stream.destroyed) return resolve();
      stream.write(text, () => resolve());
    });
}

/** All of a stream as text. @throws AgentError TOO_LARGE */
export async function readAll(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > INPUT_BYTES_MOST)
      throw new AgentError('TOO_LARGE', `The input is larger than ${INPUT_BYTES_MOST} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The text of a file; `-` is standard input. */
export async function readSource(io: Io, path: string): Promise<string> {
  if (path === '-') return await io.readInput();
  try {
    const bytes = await readFile(path);
    if (bytes.length > INPUT_BYTES_MOST) {
      throw new AgentError('TOO_LARGE', `${path} is larger than ${INPUT_BYTES_MOST} bytes`);
    }
    return bytes.toString('utf8');
  } catch (error) {
    if (error instanceof AgentError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    throw new AgentError(missing ? 'NOT_FOUND' : 'INVALID', `Cannot read ${path}: ${reason}`, { cause: error });
  }
}
