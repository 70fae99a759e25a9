/**
 * What a user names: `namespace/kind/name`. A pod's top owner (`shop/Deployment/web`), a compose service
 * (`shop/Service/web`), a plain container (`docker/Container/web`), a systemd unit (`host/Unit/sshd`).
 */
export interface Workload {
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
}

/**
 * Kinds by which a pod is named that did not make it: the Services that select it, the account it runs as, the node whose
 * network it shares. Only a selector that writes out such a kind means them; a pattern never does, so that `*` goes on
 * meaning what made a pod, whoever may create Services. A node is in no namespace: `Node/node1`.
 */
export const ALIAS_KINDS = ['Service', 'ServiceAccount', 'Node'] as const;
export type AliasKind = (typeof ALIAS_KINDS)[number];

/** Whether a kind is one of those. */
export function isAliasKind(kind: string): kind is AliasKind {
  return (ALIAS_KINDS as readonly string[]).includes(kind);
}

/** Most characters of each part, in names and in patterns. */
export const WORKLOAD_LIMITS = { namespace: 63, kind: 63, name: 253 } as const;

/**
 * `namespace/kind/name` or `kind/name`, in each part letters, digits, `. _ - : @` and the wildcards `*` and `?`.
 * Exported as text because the schema, its JSON form and the parser must mean the same.
 */
export const WORKLOAD_REFERENCE = '^([A-Za-z0-9._:@*?-]{1,63}/)?[A-Za-z0-9._:@*?-]{1,63}/[A-Za-z0-9._:@*?-]{1,253}$';

const REFERENCE = new RegExp(WORKLOAD_REFERENCE);

/** `namespace/kind/name`; `Node/name`. */
export function formatWorkload({ namespace, kind, name }: Workload): string {
  return namespace === '' ? `${kind}/${name}` : `${namespace}/${kind}/${name}`;
}

/**
 * Reads `[namespace/]kind/name`, wildcards allowed.
 * @param namespace what stands for a namespace that is not written; undefined where it must be written
 * @returns undefined where the text is not a reference, or gives a node a namespace
 */
export function parseWorkload(text: string, namespace?: string): Workload | undefined {
  if (!REFERENCE.test(text)) return undefined;
  const parts = text.split('/');
  const [name, kind, written] = [parts.pop(), parts.pop(), parts.pop()];
  // A node is in no namespace, whoever names it.
  const where = kind === 'Node' ? (written === undefined ? '' : undefined) : (written ?? namespace);
  if (name === undefined || kind === undefined || where === undefined) return undefined;
  return { namespace: where, kind, name };
}
