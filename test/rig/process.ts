/** Running commands: to their end, or in the background with an owner that ends them. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { closeOnExit, waitSync } from './cleanup.ts';

export interface Outcome {
  /** Exit status; null when a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Buffer;
  /** Milliseconds until it is killed; 30,000 unless told. */
  readonly timeout?: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A command of the rig ended otherwise than with status 0. */
export class CommandError extends Error {
  readonly code = 'RIG_COMMAND';
  readonly command: readonly string[];
  readonly outcome: Outcome;

  constructor(command: readonly string[], outcome: Outcome) {
    const end = outcome.signal ?? `status ${outcome.status}`;
    const said = (outcome.stderr || outcome.stdout).trim().slice(-2000);
    super(`Command "${command.join(' ').slice(0, 400)}" ended with ${end}${said ? `: ${said}` : ''}`);
    this.command = command;
    this.outcome = outcome;
  }
}

/** Marks every process the rig starts, and theirs, so that the residue check finds forgotten ones. */
export const MARK = 'SALLYPORT_RIG';
const MAX_OUTPUT = 64 << 20;

function environment(extra: Readonly<Record<string, string>> | undefined): NodeJS.ProcessEnv {
  return { ...process.env, [MARK]: String(process.pid), ...extra };
}

/** Keeps the first 64 MiB. */
function collect(stream: Readable): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    if (size < MAX_OUTPUT) chunks.push(chunk);
    size += chunk.length;
  });
  return () => Buffer.concat(chunks).toString();
}

/** Runs a command to its end, whatever its status. Rejects only when it cannot be started. */
export function attempt(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const [file, ...args] = command;
    const child = spawn(file!, args, {
      cwd: options.cwd,
      env: environment(options.env),
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      timeout: options.timeout ?? 30_000,
      killSignal: 'SIGKILL',
      ...(options.signal ? { signal: options.signal } : {}),
    });
    const stdout = collect(child.stdout!);
    const stderr = collect(child.stderr!);
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status, signal, stdout: stdout(), stderr: stderr() }));
    if (options.input !== undefined) {
      // A command that ends before it has read everything is judged by its status, not by our EPIPE.
      child.stdin!.on('error', () => {});
      child.stdin!.end(options.input);
    }
  });
}

/** Runs a command to its end and returns its standard output. Throws `CommandError` unless its status is 0. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const outcome = await attempt(command, options);
  if (outcome.status !== 0) throw new CommandError(command, outcome);
  return outcome.stdout;
}

/** As `attempt`, blocking; for clean-up. */
export function attemptSync(command: readonly string[], options: RunOptions = {}): Outcome {
  const [file, ...args] = command;
  const result = spawnSync(file!, args, {
    cwd: options.cwd,
    env: environment(options.env),
    input: options.input ?? '',
    timeout: options.timeout ?? 30_000,
    maxBuffer: MAX_OUTPUT,
    killSignal: 'SIGKILL',
  });
  if (result.error && result.status === null && result.signal === null) throw result.error;
  return {
    status: result.status,
    signal: result.signal,
    stdout: result.stdout.toString(),
    stderr: result.stderr.toString(),
  };
}

/** Whether a process runs (a zombie does not). */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const state = stat.slice(stat.lastIndexOf(')') + 2)[0];
    return state !== 'Z' && state !== 'X';
  } catch {
    return false; // no such process
  }
}

/** A process in the background: its output is kept (the last MiB of each stream), `close()` ends it. */
export class Background {
  readonly pid: number;
  readonly command: readonly string[];
  readonly exited: Promise<Outcome>;
  /** Ends it now with SIGKILL if it still runs, and waits until it is gone. Idempotent. */
  readonly close: () => void;
  #child: ChildProcess;
  #stdout = '';
  #stderr = '';
  #watchers = new Set<() => void>();
  #ended = false;

  constructor(command: readonly string[], options: Omit<RunOptions, 'timeout' | 'input'> = {}) {
    const [file, ...args] = command;
    this.command = command;
    this.#child = spawn(file!, args, {
      cwd: options.cwd,
      env: environment(options.env),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.pid = this.#child.pid ?? 0;
    const keep = 1 << 20;
    this.#child.stdout!.on('data', (chunk: Buffer) => {
      this.#stdout = (this.#stdout + chunk.toString()).slice(-keep);
      this.#notify();
    });
    this.#child.stderr!.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-keep);
      this.#notify();
    });
    this.#child.stdin!.on('error', () => {});
    this.exited = new Promise((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', (status, signal) => {
        this.#ended = true;
        this.#notify();
        resolve({ status, signal, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
    this.exited.catch(() => {}); // reported by whoever waits for it
    this.close = closeOnExit(() => {
      if (this.pid === 0 || !isRunning(this.pid)) return;
      this.#child.kill('SIGKILL');
      waitSync(() => !isRunning(this.pid), 5000);
    });
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get running(): boolean {
    return !this.#ended && isRunning(this.pid);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  write(text: string): void {
    this.#child.stdin!.write(text);
  }

  /** Closes its standard input. */
  end(): void {
    this.#child.stdin!.end();
  }

  /** Waits until the output (standard output, then error) matches. Throws `CommandError` when it ends before. */
  async output(pattern: RegExp, timeoutMs = 10_000): Promise<RegExpMatchArray> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const match = this.#stdout.match(pattern) ?? this.#stderr.match(pattern);
      if (match) return match;
      if (this.#ended) throw new CommandError(this.command, await this.exited);
      const left = deadline - Date.now();
      if (left <= 0) {
        throw new Error(
          `rig: "${this.command.join(' ')}" did not say ${pattern} within ${timeoutMs} ms; ${this.#stderr}`,
        );
      }
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          this.#watchers.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, left);
        this.#watchers.add(wake);
      });
    }
  }

  #notify(): void {
    for (const wake of [...this.#watchers]) wake();
  }
}
