/** Objects of a large cluster, which nothing runs: workloads with their identities, policies, pods. */

import { deriveIdentity, formatIdentity } from '../../src/model/identity.ts';
import type { ApiObject } from '../../src/sources/kubernetes/resource.ts';
import { makeWorkload } from '../../src/sources/naming.ts';

const NAMESPACES = 50;
const IMAGE = 'none:latest';

export const PORT = 8080;

export const namespaces: readonly string[] = Array.from({ length: NAMESPACES }, (_, n) => `town-${n}`);

export interface Member {
  readonly namespace: string;
  readonly name: string;
}

/** The n-th workload, a Deployment. */
export function member(n: number): Member {
  return { namespace: namespaces[n % NAMESPACES]!, name: `w${n}` };
}

/** Its name in policies of any namespace. */
export function workloadOf({ namespace, name }: Member): string {
  return `${namespace}/Deployment/${name}`;
}

function labelsOf({ name }: Member): Record<string, string> {
  return { app: name, tier: 'bench' };
}

/** Two identities: of its one container, and of what its pods share. */
export function identityObject(one: Member, domain: string): ApiObject & { readonly spec: object } {
  const { namespace, name } = one;
  const workload = makeWorkload(namespace, 'Deployment', name);
  if (workload === undefined) throw new Error(`bench: ${workloadOf(one)} is no workload`);
  const labels = labelsOf(one);
  const identities = ['', 'main'].map((container) => ({
    ...(container === '' ? {} : { container }),
    labels,
    id: formatIdentity(deriveIdentity(domain, { workload, container, labels }).id),
    ports: [{ name: 'http', protocol: 'TCP', port: PORT }],
  }));
  return { metadata: { namespace, name: `deployment-${name}` }, spec: { workload: workloadOf(one), identities } };
}

/** Lets its neighbours of the same namespace in, before and after it, and nobody else. */
export function policyObject(n: number, workloads: number): ApiObject & { readonly spec: object } {
  const one = member(n);
  const others = [n + NAMESPACES, n + workloads - NAMESPACES].map((other) => member(other % workloads));
  return {
    metadata: { namespace: one.namespace, name: one.name },
    spec: {
      subject: { workload: `Deployment/${one.name}` },
      ingress: others.map(({ name }) => ({
        name: `from-${name}`,
        from: [{ workload: `Deployment/${name}` }],
        ports: [{ protocol: 'TCP', port: PORT }],
      })),
    },
  };
}

/** A pod as a kubelet's would look, of as much text as pods of people have. */
export function podObject(one: Member, node: string, number: number): ApiObject & { readonly spec: object } {
  const hash = (number % 4096).toString(16).padStart(8, '5');
  const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${one.name}-${hash}`, uid: crypto.randomUUID() };
  const variables = Array.from({ length: 20 }, (_, n) => ({ name: `SETTING_${n}`, value: `value-of-${n}`.repeat(4) }));
  return {
    metadata: {
      namespace: one.namespace,
      name: `${owner.name}-${number}`,
      labels: { ...labelsOf(one), 'pod-template-hash': hash },
      ownerReferences: [{ ...owner, controller: true }],
    },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'main', image: IMAGE, ports: [{ name: 'http', containerPort: PORT }], env: variables }],
    },
  };
}
