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
const HASHED = /-x[0-9a-f]{10}$/;

/** Kinds whose names are written plainly. A kind that differs from one in capitals only must not meet it. */
const PLAIN_KINDS = new Set(
  'Pod Deployment ReplicaSet StatefulSet DaemonSet Job CronJob ReplicationController'.split(' '),
);

/**
 * `deployment-web`: of a workload's objects, in its namespace. Of other kinds than Kubernetes' own, or where that would
 * be no name of Kubernetes or too long, it ends in a hash of the workload; no other name ends so.
 */
export function objectName({ kind, name }: Pick<Workload, 'kind' | 'name'>): string {
  const plain = `${kind.toLowerCase()}-${name}`;
  const isName = plain.length <= LONGEST && NAME.test(plain);
  if (PLAIN_KINDS.has(kind) && isName && !HASHED.test(plain)) return plain;
  const hash = createHash('sha256').update(`${kind}\0${name}`).digest('hex').slice(0, HASH);
  const safe = `w-${plain.toLowerCase().replace(/[^a-z0-9.-]/g, '-')}`.replace(/^w-(?=[a-z0-9])/, '');
  return `${safe.slice(0, LONGEST - HASH - 2).replace(/[^a-z0-9]+$/, '')}-x${hash}`;
}
