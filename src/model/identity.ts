import { createHash } from 'node:crypto';
import type { Workload } from './workload.ts';

/** The attributes an identity is made from. */
export interface IdentityAttributes {
  readonly workload: Workload;
  /** Container name inside the workload; empty for a sandbox that several containers share. */
  readonly container: string;
  /** Only labels that tell workloads apart; per-instance ones (hashes, numbers) are left out by the source. */
  readonly labels: Readonly<Record<string, string>>;
  /** What else it is called in its cluster, of `ALIAS_KINDS`, sorted: no part of what it is. Absent: nothing. */
  readonly aliases?: readonly Workload[];
}

/** Who a container is, the same on every node of the domain with no allocator. */
export interface Identity extends IdentityAttributes {
  /** First 8 bytes of SHA-256 over domain, workload, container and sorted labels; never 0. */
  readonly id: bigint;
}

/**
 * Derives the 64-bit identity. Every part is length-prefixed, so that no two attribute sets share an encoding.
 */
export function deriveIdentity(domain: string, attributes: IdentityAttributes): Identity {
  const { workload, container, labels } = attributes;
  const hash = createHash('sha256');
  const parts = [domain, workload.namespace, workload.kind, workload.name, container];
  for (const key of Object.keys(labels).sort()) parts.push(key, labels[key] ?? '');
  for (const part of parts) {
    const bytes = Buffer.from(part, 'utf8');
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    hash.update(length).update(bytes);
  }
  const id = hash.digest().readBigUInt64BE(0);
  return { workload, container, labels, id: id === 0n ? 1n : id };
}

/** An identity as people and files write it: 16 hexadecimal digits. */
export function formatIdentity(id: bigint): string {
  return id.toString(16).padStart(16, '0');
}
