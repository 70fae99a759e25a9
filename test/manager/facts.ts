/** Pods, policies and reports for tests, written shortly. */

import type { PodFacts } from '../../src/manager/pods.ts';
import { podFacts } from '../../src/manager/pods.ts';
import { type PolicyObject, policyObject } from '../../src/manager/policies.ts';
import type { Report } from '../../src/manager/reports.ts';
import type { AnyPolicyKind } from '../../src/model/any-policy.ts';
import type { PolicyState } from '../../src/model/schema/node-report.ts';
import { type LooseObject, POLICY_RESOURCES } from '../../src/sources/kubernetes/resource.ts';

export interface PodWish {
  readonly name: string;
  readonly owner?: readonly [kind: string, name: string];
  readonly labels?: Readonly<Record<string, string>>;
  readonly containers?: readonly string[];
  readonly node?: string;
  readonly phase?: string;
  /** Containers that begin it, and that look into it. */
  readonly init?: readonly string[];
  readonly ephemeral?: readonly string[];
  /** Those that run now; all that stay, where it runs. */
  readonly started?: readonly string[];
  readonly ending?: boolean;
}

export function pod({
  name,
  owner,
  labels = {},
  containers = ['app'],
  node = 'one',
  phase = 'Running',
  init = [],
  ephemeral = [],
  started = phase === 'Running' ? containers : [],
  ending = false,
}: PodWish): PodFacts {
  const [kind = '', controller = ''] = owner ?? [];
  const ownerReferences =
    owner === undefined ? [] : [{ apiVersion: 'v1', kind, name: controller, uid: controller, controller: true }];
  const stateOf = (one: string) => {
    const state = started.includes(one) ? { running: { startedAt: '2026-01-01T00:00:00Z' } } : { waiting: {} };
    return { name: one, state };
  };
  const object: LooseObject = {
    metadata: {
      namespace: 'shop',
      name,
      uid: `uid-${name}`,
      labels,
      ownerReferences,
      ...(ending ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    spec: {
      nodeName: node,
      containers: containers.map((one) => ({ name: one, ports: [{ name: 'http', containerPort: 8080 }] })),
      initContainers: init.map((one) => ({ name: one })),
      ephemeralContainers: ephemeral.map((one) => ({ name: one })),
    },
    status: {
      phase,
      containerStatuses: containers.map(stateOf),
      initContainerStatuses: init.map(stateOf),
      ephemeralContainerStatuses: ephemeral.map(stateOf),
    },
  };
  const facts = podFacts(object);
  if (facts === undefined) throw new Error('a pod is nothing');
  return facts;
}

export const DEPLOYMENT = {
  replicaSets: new Map([['shop/web-1', { controller: { kind: 'Deployment', name: 'web' } }]]),
  jobs: new Map([['shop/tidy-1', { controller: { kind: 'CronJob', name: 'tidy' } }]]),
};

let created = 0;

/** A policy of the namespace shop, or of all where its kind begins with Cluster. Later ones are younger. */
export function policy(kind: AnyPolicyKind, name: string, spec: object, generation = 1): PolicyObject {
  const resource = POLICY_RESOURCES.find((one) => one.kind === kind)!;
  created += 1_000;
  return policyObject(resource, {
    metadata: {
      name,
      ...(resource.namespaced ? { namespace: 'shop' } : {}),
      uid: `${kind}/${name}`,
      generation,
      creationTimestamp: new Date(created).toISOString(),
    },
    spec,
  });
}

export interface Said {
  readonly kind?: string;
  readonly name: string;
  readonly state: PolicyState;
  readonly generation?: number;
  readonly containers?: number;
  readonly message?: string;
}

export function report(node: string, observedAt: number, said: readonly Said[], hardening = true): Report {
  return {
    node,
    observedAt,
    ready: true,
    hardening,
    policies: said.map(({ kind = 'WorkloadNetworkPolicy', generation = 1, containers = 1, ...rest }) => ({
      kind,
      namespace: 'shop',
      generation,
      containers,
      ...rest,
    })),
  };
}
