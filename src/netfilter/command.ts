/** Tools of the system: found where the system has them, given no shell, waited for only so long. */
import { execFile } from 'node:child_process';

export interface Outcome {
  readonly ok: boolean;
  readonly stdout: string;
  /** What it complained of, in one line. */
  readonly complaint: string;
}

/** A PATH that nobody but root writes to. */
const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
const TIMEOUT_MS = 20_000;
/** Chains of others are in what we read: 100,000 rules of 160 bytes. */
const MOST_OUTPUT = 16 << 20;

/** Runs it to its end; undefined when the system does not have it. */
export function runTool(file: string, args: readonly string[], input = ''): Promise<Outcome | undefined> {
  return new Promise((resolve) => {
    const options = { env: ENVIRONMENT, timeout: TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: MOST_OUTPUT } as const;
    const child = execFile(file, [...args], options, (error, stdout, stderr) => {
      if (error?.code === 'ENOENT') return resolve(undefined);
      const complaint = error === null ? '' : firstLine(stderr) || firstLine(error.message);
      resolve({ ok: error === null, stdout, complaint });
    });
    // A tool that ends before it has read everything is judged by its status, not by our EPIPE.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** Without what a tool says of itself or of others on every call. */
function firstLine(text: string): string {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.find((line) => line !== '' && !/^#|warning/i.test(line))?.slice(0, 300) ?? '';
}
