import { closeSync, constants, openSync } from 'node:fs';
import { BpfError } from './errors.ts';
import { type LinkHandle, native, type ProgramHandle } from './native.ts';

/** A link on a cgroup-v2 directory, or a negative errno. Throws `BpfError` NOT_FOUND when there is no such directory. */
export function attachToCgroup(
  program: ProgramHandle,
  path: string,
  attachType: number,
  attempted: string,
): LinkHandle | number {
  let directory: number;
  try {
    directory = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (cause) {
    throw new BpfError('NOT_FOUND', { attempted, reason: 'there is no such directory', cause });
  }
  try {
    return native.createLink(program, directory, attachType, 0);
  } finally {
    closeSync(directory);
  }
}
