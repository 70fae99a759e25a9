/** The programs of a cluster: Debian's etcd and containerd, and Kubernetes as we build it from Debian's sources. */

import { join } from 'node:path';
import { run } from '../rig/process.ts';

const CACHE = join(import.meta.dirname, '../../.cache/kubernetes/bin');
/** Building takes five minutes on two idle processors. */
const BUILD_TIMEOUT_MS = 30 * 60_000;

export type Program = 'kube-apiserver' | 'kube-controller-manager' | 'kube-scheduler' | 'kube-proxy' | 'kubelet';

/** Builds what is missing; returns at once where nothing is. */
export async function ensurePrograms(): Promise<void> {
  await run([join(import.meta.dirname, 'build-kubernetes'), CACHE], { timeout: BUILD_TIMEOUT_MS });
}

export function program(name: Program): string {
  return join(CACHE, name);
}
