/** Names of what the manager generates. */
import { createHash } from 'node:crypto';
import type { Workload } from '../model/workload.ts';

/** On all generated objects. */
export const MANAGED = { 'app.kubernetes.io/managed-by': 'sallyport' } as const;
export const MANAGED_SELECTOR = 'app.kubernetes.io/managed-by=sallyport';
export const FIELD_MANAGER = 'sallyport-manager';

const LONGEST = 253;
const HASH = 10;
const NAME = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/;

/**
 * `deployment-web`: of a workload's objects, in its namespace. Where that would be no name of Kubernetes, or too long,
 * it ends in a hash of the workload; no other name ends so but by the same workload.
 */
export function objectName({ kind, name }: Pick<Workload, 'kind' | 'name'>): string {
  const plain = `${kind.toLowerCase()}-${name}`;
  // Kinds that differ in capitals only, and a name that looks hashed, must not meet another's.
  if (
    plain.length <= LONGEST &&
    NAME.test(plain) &&
    /^[A-Z][A-Za-z0-9]*$/.test(kind) &&
    !/-x[0-9a-f]{10}$/.test(plain)
  ) {
    return plain;
  }
  const hash = createHash('sha256').update(`${kind}\0${name}`).digest('hex').slice(0, HASH);
  const safe = plain
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')
    .replace(/^[^a-z0-9]+/, '');
  return `${safe.slice(0, LONGEST - HASH - 2).replace(/[^a-z0-9]+$/, '')}-x${hash}`;
}
