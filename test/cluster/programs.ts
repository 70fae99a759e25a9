/** The programs of a cluster: Debian's etcd and containerd, and Kubernetes as we build it from Debian's sources. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../rig/process.ts';

const CACHE = join(import.meta.dirname, '../../.cache/kubernetes/bin');
const KUBERNETES = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kube-proxy', 'kubelet'] as const;
/** Building takes five minutes on two idle processors. */
const BUILD_TIMEOUT_MS = 30 * 60_000;

export type Program = (typeof KUBERNETES)[number];

/** Builds what is missing; seconds where nothing is. */
export async function ensurePrograms(): Promise<void> {
  if (KUBERNETES.every((name) => existsSync(join(CACHE, name)))) return;
  await run([join(import.meta.dirname, 'build-kubernetes'), CACHE], { timeout: BUILD_TIMEOUT_MS });
}

export function program(name: Program): string {
  return join(CACHE, name);
}
