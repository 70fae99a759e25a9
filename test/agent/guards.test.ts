import assert from 'node:assert/strict';
import { Guards } from '../../src/agent/kubernetes/guards.ts';
import { PROBES } from '../../src/agent/kubernetes/probes.ts';
import type { Policy } from '../../src/model/policy.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';

/** A policy of one namespace, or of the cluster, with this in its spec. */
function policy(spec: string, namespace = 'kube-system'): Policy {
  const [kind, where] =
    namespace === '' ? ['ClusterWorkloadNetworkPolicy', ''] : ['WorkloadNetworkPolicy', `, namespace: ${namespace}`];
  const text = `apiVersion: sallyport.dev/v1alpha1\nkind: ${kind}\nmetadata: {name: one${where}}\nspec: {${spec}}\n`;
  const { policies, problems } = parsePolicyFile('test.yaml', Buffer.from(text));
  assert.deepEqual(problems, []);
  return policies[0]!.policy;
}

const DNS = 'subject: {workload: Deployment/dns}';
const CLUSTER = 'subject: {workload: kube-*/Deployment/dns}';
const BY_NAME = 'from: [{workload: shop/Deployment/web}]';

describe('who may be particular about who sends datagrams', () => {
  const cases: readonly (readonly [string, Policy, readonly string[]])[] = [
    ['whom a policy lets be asked by some', policy(`${DNS}, ingress: [{${BY_NAME}}]`), ['kube-system']],
    ['also where it is only staged', policy(`${DNS}, mode: Stage, ingress: [{${BY_NAME}}]`), ['kube-system']],
    [
      'who is closed to some alone',
      policy(`${DNS}, defaults: {ingress: Allow}, ingress: [{action: Deny, ${BY_NAME}}]`),
      ['kube-system'],
    ],
    [
      'nobody whom a policy closes for connections alone',
      policy(`${DNS}, defaults: {ingress: Allow}, ingress: [{action: Deny, ${BY_NAME}, ports: [{protocol: TCP}]}]`),
      [],
    ],
    ['nobody who may only not ask others', policy(`${DNS}, egress: [{to: [{workload: Deployment/db}]}]`), []],
    ['nobody for the sake of probes', PROBES, []],
    [
      'whom a policy of the cluster may mean, by its namespaces',
      policy(`${CLUSTER}, ingress: [{${BY_NAME}}]`, ''),
      ['kube-system', 'kube-public'],
    ],
  ];
  for (const [title, one, wanted] of cases) {
    it(title, () => {
      const guards = new Guards([one]);
      const covered = ['kube-system', 'kube-public', 'shop'].filter((namespace) => guards.covers(namespace));
      assert.deepEqual(covered, wanted);
      assert.equal(guards.covers(undefined), wanted.length > 0);
    });
  }

  it('are the same of other policies that mean the same namespaces', () => {
    const one = policy(`${DNS}, ingress: [{${BY_NAME}}]`);
    const other = policy(`subject: {workload: Deployment/cache}, ingress: [{from: [{workload: Deployment/dns}]}]`);
    assert.equal(new Guards([one]).key, new Guards([other, PROBES, one]).key);
    assert.notEqual(new Guards([one]).key, new Guards([policy(`${DNS}, ingress: [{${BY_NAME}}]`, 'shop')]).key);
  });
});
