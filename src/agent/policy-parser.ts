import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { fromDocuments, type PolicyDocument } from '../model/located-policy.ts';
import { MAX_FILE_BYTES, type PolicyFile, parsePolicyFile } from '../model/policy-file.ts';
import { type PolicyProblem, unreadableFile } from '../model/problem.ts';

/** What a thread is given. */
export interface ParseTask {
  readonly file: string;
  readonly bytes: Uint8Array;
}

/** What a thread sends, as JSON. */
export interface ParsedText {
  readonly documents: readonly PolicyDocument[];
  readonly problems: readonly PolicyProblem[];
}

/** Files longer than this are read in a thread, bytes: about 20 ms of work, where a thread takes 100 ms to begin. */
export const THREAD_BYTES = 64 << 10;
/** Most memory of a thread, MiB; the worst files found need under 256. */
const THREAD_MIB = 512;

/** Where the thread's program is: compiled beside this file, or its source where this is the source. */
const THREAD = new URL(`./policy-thread${extname(import.meta.filename)}`, import.meta.url);

/**
 * Reads policy files without keeping the agent from its work: a megabyte of YAML takes a second, so large ones are
 * read in a thread, one at a time. The thread lives as long as it reads, and its memory ends with it.
 */
export class PolicyParser {
  #queue: Promise<unknown> = Promise.resolve();
  #thread: Worker | undefined;
  #closed = false;

  /** As `parsePolicyFile`; undefined where the parser was closed before it was done. */
  parse(file: string, bytes: Uint8Array): Promise<PolicyFile | undefined> {
    // What is too long is refused without being read.
    const small = bytes.length <= THREAD_BYTES || bytes.length > MAX_FILE_BYTES;
    if (small) return Promise.resolve(this.#closed ? undefined : parsePolicyFile(file, bytes));
    const parsed = this.#queue.then(() => this.#parseInThread({ file, bytes }));
    this.#queue = parsed;
    return parsed;
  }

  /** Ends what is being read; resolves when no thread is left. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#thread?.terminate();
    await this.#queue;
  }

  /** Never rejects: whatever happens in the thread is the file's fault. */
  #parseInThread(task: ParseTask): Promise<PolicyFile | undefined> {
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const thread = new Worker(THREAD, {
        workerData: task,
        resourceLimits: { maxOldGenerationSizeMb: THREAD_MIB },
      });
      this.#thread = thread;
      let found: PolicyFile | undefined;
      let failure = 'the thread that read it ended early';
      thread.on('message', (text: string) => {
        found = policyFileOf(task.file, text);
      });
      thread.on('error', (error) => {
        failure = error.message;
      });
      // Comes last, and only when nothing of the thread is left.
      thread.on('exit', () => {
        this.#thread = undefined;
        resolve(this.#closed ? undefined : (found ?? failed(task.file, failure)));
      });
    });
  }
}

function policyFileOf(file: string, text: string): PolicyFile {
  const { documents, problems } = JSON.parse(text) as ParsedText;
  return { file, ...fromDocuments(documents), problems };
}

function failed(file: string, reason: string): PolicyFile {
  return { file, policies: [], hardening: [], problems: [unreadableFile(file, reason)] };
}
