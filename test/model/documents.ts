/** Policy documents for tests: a good one, and ways to spoil it. */
import type { LocatedPolicy } from '../../src/model/located-policy.ts';
import { type PolicyFile, parsePolicyFile } from '../../src/model/policy-file.ts';

export const GOOD = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata:
  name: web-to-api
  namespace: shop
spec:
  subject: {workload: Service/api}
  priority: 500
  mode: Enforce
  defaults: {ingress: Deny}
  ingress:
    - name: from-web
      action: Allow
      from:
        - {workload: Service/web, container: app, labels: {tier: front}}
        - {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
        - {entity: host}
      ports:
        - {protocol: TCP, port: 8080, endPort: 8090}
        - {protocol: UDP, port: dns}
        - {protocol: ICMP, type: 8}
        - {protocol: 47}
  egress:
    - to: [{entity: world}]
`;

export const CLUSTER = `apiVersion: sallyport.dev/v1alpha1
kind: ClusterWorkloadNetworkPolicy
metadata: {name: everyone}
spec:
  subject: {workload: '*/*/*'}
  defaults: {egress: Allow}
`;

/** The good document with one text in it replaced. */
export function spoiled(from: string, to: string, document = GOOD): string {
  const made = document.replace(from, to);
  if (made === document) throw new TypeError(`nothing to replace: ${from}`);
  return made;
}

export function parse(text: string, file = 'shop.yaml'): PolicyFile {
  return parsePolicyFile(file, Buffer.from(text));
}

/** The policies of files that must be right. */
export function policiesOf(...files: readonly string[]): LocatedPolicy[] {
  return files.flatMap((text, i) => {
    const { policies, problems } = parse(text, `${i}.yaml`);
    if (problems[0] !== undefined) throw new TypeError(JSON.stringify(problems[0]));
    return policies;
  });
}
