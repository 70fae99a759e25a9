import assert from 'node:assert/strict';
import { identityObject, member, podObject, policyObject, workloadOf } from '../../bench/cluster/population.ts';
import { holdsOf } from '../../bench/scenarios/pod-start.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';
import { identitiesOf, projectIdentities } from '../../src/sources/kubernetes/identities.ts';
import { projectPod } from '../../src/sources/kubernetes/pods.ts';
import { projectPolicy } from '../../src/sources/kubernetes/policies.ts';
import { WORKLOAD_NETWORK_POLICIES } from '../../src/sources/kubernetes/resource.ts';

describe('the bench in a cluster', () => {
  it('makes identities, policies and pods that an agent takes', () => {
    const one = member(7);
    const { known, refused } = identitiesOf('local', projectIdentities(identityObject(one, 'local')));
    assert.deepEqual([known.length, refused], [2, 0]);
    const { name, content } = projectPolicy(WORKLOAD_NETWORK_POLICIES, policyObject(7, 1_000)).file;
    const { policies, problems } = parsePolicyFile(name, content.ok ? content.bytes : assert.fail());
    assert.deepEqual(problems, []);
    const [namespace, kind, workload] = workloadOf(one).split('/');
    const { subject } = policies[0]!.policy;
    assert.deepEqual({ ...subject.workload }, { namespace, kind, name: workload });
    assert.equal(projectPod(podObject(one, 'node', 1)).controller?.kind, 'ReplicaSet');
  });

  it('reads out of a histogram how long containers were held', () => {
    const bucket = (bound: string, count: number): string =>
      `sallyport_gate_hold_seconds_bucket{le="${bound}"} ${count}\n`;
    const held = holdsOf([bucket('0.01', 0), bucket('0.02', 50), bucket('0.05', 100), bucket('+Inf', 100)].join(''));
    assert.equal(held(0.25), 15);
    assert.equal(held(0.5), 20);
    assert.equal(held(1), 50);
    assert.ok(Number.isNaN(holdsOf('')(0.5)));
  });
});
