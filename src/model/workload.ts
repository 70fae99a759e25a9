/**
 * What a user names: `namespace/kind/name`. A pod's top owner (`shop/Deployment/web`), a compose service
 * (`shop/Service/web`), a plain container (`docker/Container/web`), a systemd unit (`host/Unit/sshd`).
 */
export interface Workload {
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
}

/** `namespace/kind/name`. */
export function formatWorkload(workload: Workload): string {
  return `${workload.namespace}/${workload.kind}/${workload.name}`;
}
