/** Identities that have more labels than are looked at: nobody can say which policies mean them, so they are closed. */
import type { Endpoint } from './endpoint.ts';
import type { IdentityAttributes } from './identity.ts';
import type { DirectionPolicy, Policy } from './policy.ts';
import { formatWorkload } from './workload.ts';

/** What such an identity bears. Who gives it himself closes himself. */
export const LABELS_LABEL = 'sallyport.dev/labels';
export const LABELS_CUT = 'cut';

const NOTHING: DirectionPolicy = { default: 'Pass', rules: [{ name: 'cut', action: 'Deny' }] };

/** Denies them everything, before any other rule. */
export const CLOSES_CUT: Policy = {
  kind: 'AdminNetworkPolicy',
  namespace: '',
  // No file or object can be called so.
  name: 'sallyport:too-many-labels',
  labels: {},
  annotations: {},
  subject: {
    workload: { namespace: '*', kind: '*', name: '*' },
    container: '*',
    labels: { [LABELS_LABEL]: LABELS_CUT },
  },
  priority: 0,
  explicitPriority: true,
  mode: 'Enforce',
  ingress: NOTHING,
  egress: NOTHING,
};

export function isCut({ labels }: Pick<IdentityAttributes, 'labels'>): boolean {
  return Object.hasOwn(labels, LABELS_LABEL) && labels[LABELS_LABEL] === LABELS_CUT;
}

/** Why an endpoint is closed; undefined where its labels are all known. */
export function cutReason({ identity, containers }: Pick<Endpoint, 'identity' | 'containers'>): string | undefined {
  const cut = isCut(identity) || containers.some((one) => isCut(one.identity));
  return cut ? 'it has more labels than are looked at: it is denied everything' : undefined;
}

/** The same of many, each workload once. */
export function cutProblems(endpoints: readonly Pick<Endpoint, 'identity' | 'containers'>[]): string[] {
  const told = endpoints.flatMap((endpoint) => {
    const reason = cutReason(endpoint);
    return reason === undefined ? [] : [`${formatWorkload(endpoint.identity.workload)}: ${reason}`];
  });
  return [...new Set(told)];
}
