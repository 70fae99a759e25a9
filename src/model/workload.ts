/**
 * What a user names: `namespace/kind/name`. A pod's top owner (`shop/Deployment/web`), a compose service
 * (`shop/Service/web`), a plain container (`docker/Container/web`), a systemd unit (`host/Unit/sshd`).
 */
export interface Workload {
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
}

/** Most characters of each part, in names and in patterns. */
export const WORKLOAD_LIMITS = { namespace: 63, kind: 63, name: 253 } as const;

/**
 * `namespace/kind/name` or `kind/name`, in each part letters, digits, `. _ - : @` and the wildcards `*` and `?`.
 * Exported as text because the schema, its JSON form and the parser must mean the same.
 */
export const WORKLOAD_REFERENCE = '^([A-Za-z0-9._:@*?-]{1,63}/)?[A-Za-z0-9._:@*?-]{1,63}/[A-Za-z0-9._:@*?-]{1,253}$';

const REFERENCE = new RegExp(WORKLOAD_REFERENCE);

/** `namespace/kind/name`. */
export function formatWorkload(workload: Workload): string {
  return `${workload.namespace}/${workload.kind}/${workload.name}`;
}

/**
 * Reads `[namespace/]kind/name`, wildcards allowed.
 * @param namespace what stands for a namespace that is not written; undefined where it must be written
 * @returns undefined where the text is not a reference
 */
export function parseWorkload(text: string, namespace?: string): Workload | undefined {
  if (!REFERENCE.test(text)) return undefined;
  const parts = text.split('/');
  const [name, kind, written] = [parts.pop(), parts.pop(), parts.pop()];
  const where = written ?? namespace;
  if (name === undefined || kind === undefined || where === undefined) return undefined;
  return { namespace: where, kind, name };
}
