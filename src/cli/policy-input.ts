import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../agent/errors.ts';
import { type Io, readSource } from './io.ts';

export interface InputFile {
  /** As messages show it. */
  readonly file: string;
  readonly text: string;
}

const SUFFIXES = ['.yaml', '.yml', '.json'];

/**
 * The texts of files, of the policy files in directories, and of standard input (`-`).
 * @throws AgentError USAGE where nothing is named; NOT_FOUND, INVALID, TOO_LARGE
 */
export async function readPolicyFiles(io: Io, paths: readonly string[]): Promise<InputFile[]> {
  if (paths.length === 0) throw new AgentError('USAGE', 'No policy was given: name files, directories or - with -f');
  const files: InputFile[] = [];
  for (const path of await expand(paths)) {
    files.push({ file: path === '-' ? 'stdin' : path, text: await readSource(io, path) });
  }
  return files;
}

async function expand(paths: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) {
    const isDirectory = path !== '-' && (await stat(path).catch(() => undefined))?.isDirectory() === true;
    if (!isDirectory) files.push(path);
    else {
      const names = (await readdir(path)).filter((name) => SUFFIXES.some((suffix) => name.endsWith(suffix)));
      files.push(...names.sort().map((name) => join(path, name)));
    }
  }
  return files;
}
