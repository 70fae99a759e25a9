/** AdminNetworkPolicy and its baseline, of a server that has been given their kinds. */

import { policy, type Town } from '../town.ts';

const kind = (name: string, plural: string) => `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: ${plural}.policy.networking.k8s.io
  annotations: { api-approved.kubernetes.io: 'unapproved, for tests' }
spec:
  group: policy.networking.k8s.io
  scope: Cluster
  names: { kind: ${name}, listKind: ${name}List, plural: ${plural}, singular: ${name.toLowerCase()} }
  versions:
    - name: v1alpha1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties: { spec: { type: object, x-kubernetes-preserve-unknown-fields: true } }
`;

/** The least that a server needs to keep them; Kubernetes does not bring them itself. */
export const ADMINISTRATORS_KINDS = [
  kind('AdminNetworkPolicy', 'adminnetworkpolicies'),
  kind('BaselineAdminNetworkPolicy', 'baselineadminnetworkpolicies'),
].join('---');

const rule = (name: string, action: string, app: string) => `
    - name: ${name}
      action: ${action}
      from:
        - pods:
            namespaceSelector: { matchLabels: { town: shop } }
            podSelector: { matchLabels: { app: ${app} } }`;

const admin = (action: string) => `
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: { name: no-web }
spec:
  priority: 10
  subject: { namespaces: { matchLabels: { town: shop } } }
  ingress:${rule('web', action, 'web')}
`;

const BASELINE = `
apiVersion: policy.networking.k8s.io/v1alpha1
kind: BaselineAdminNetworkPolicy
metadata: { name: default }
spec:
  subject: { namespaces: { matchLabels: { town: shop } } }
  ingress:${rule('strangers', 'Deny', 'stranger')}
`;

export function administrators(town: () => Town): void {
  it('enforces what administrators say before all others, and their baseline after them', async () => {
    const { cluster } = town();
    await cluster.kubectl('label', 'namespace', 'shop', 'town=shop');
    await town().asks('web', 'ok');
    await cluster.apply(admin('Deny'));
    await town().asks('web', 'refused');
    await cluster.apply(admin('Pass'));
    await town().asks('web', 'ok');
    await cluster.apply(BASELINE);
    // The baseline is for whom no other policy selects.
    await cluster.kubectl('delete', 'wnp', 'api', '-n', 'shop');
    await town().asks('web', 'ok');
    await town().asks('stranger', 'refused');
    await cluster.kubectl('delete', 'baselineadminnetworkpolicy', 'default');
    await town().asks('stranger', 'ok');
    await cluster.kubectl('delete', 'adminnetworkpolicy', 'no-web');
    await cluster.apply(policy('api', 'web'));
    await town().asks('stranger', 'refused');
  });
}
