import { join } from 'node:path';
import { isClusterFile } from '../sources/kubernetes/policies.ts';

/** Where a policy is kept, for people: a file's path, or its name in the cluster. */
export function pathOfName(directory: string, name: string): string {
  return isClusterFile(name) ? name : join(directory, name);
}

/** Undoes `pathOfName`. */
export function nameOfPath(directory: string, path: string): string {
  return isClusterFile(path) ? path : path.slice(directory.length + (directory.endsWith('/') ? 0 : 1));
}
