import assert from 'node:assert/strict';
import { NOTHING_WANTED, type Wanted } from '../../src/agent/enforcement.ts';
import { noticesOf } from '../../src/agent/notices.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { HardeningPolicy } from '../../src/model/hardening.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import type { Policy } from '../../src/model/policy.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';

function endpoint(id: string, mode: Endpoint['mode'] = 'interface'): Endpoint {
  const workload = { namespace: 'shop', kind: 'Service', name: id };
  const identity = deriveIdentity('test', { workload, container: '', labels: {} });
  return { id, mode, identity, containers: [], netns: 1, interfaces: [], addresses: [], ports: [] };
}

function policy(name: string, priority = 5): Policy {
  const text = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {namespace: shop, name: ${name}}
spec: {subject: {workload: '*/*'}, priority: ${priority}, ingress: []}
`;
  return parsePolicyFile('x', Buffer.from(text)).policies[0]?.policy ?? assert.fail('no policy');
}

function hardening(name: string, mode = 'Enforce'): HardeningPolicy {
  const text = `apiVersion: sallyport.dev/v1alpha1
kind: HardeningPolicy
metadata: {namespace: shop, name: ${name}}
spec: {subject: {workload: '*/*'}, mode: ${mode}, defaults: {mounts: Deny}}
`;
  return parsePolicyFile('x', Buffer.from(text)).hardening[0]?.policy ?? assert.fail('no policy');
}

function told(before: Partial<Wanted>, after: Partial<Wanted>): string[] {
  const [from, to] = [
    { ...NOTHING_WANTED, ...before },
    { ...NOTHING_WANTED, ...after },
  ];
  return noticesOf(from, to).map(({ type, action, subject }) => `${type} ${subject} ${action}`);
}

describe('what a round changed, in words', () => {
  it('is each policy that came, changed or went, and no other', () => {
    const [a, b, c] = [policy('a'), policy('b'), policy('c')];
    assert.deepEqual(told({ policies: [a, b, c] }, { policies: [c, policy('b', 6), policy('d')] }), [
      'policy shop/b changed',
      'policy shop/d in force',
      'policy shop/a ended',
    ]);
  });

  it('is hardening policies as well', () => {
    const [a, b] = [hardening('a'), hardening('b')];
    assert.deepEqual(
      told({ hardening: [a, b] }, { hardening: [hardening('a'), hardening('b', 'Stage'), hardening('c')] }),
      ['policy shop/b changed', 'policy shop/c in force'],
    );
    const [notice] = noticesOf(NOTHING_WANTED, { ...NOTHING_WANTED, hardening: [a] });
    assert.equal(notice?.message, 'hardening, Enforce, priority 1000');
  });

  it('is nothing where a policy was only read again', () => {
    assert.deepEqual(told({ policies: [policy('a')] }, { policies: [policy('a')] }), []);
  });

  it('is each endpoint that came or went, not one of which something changed', () => {
    const [a, b] = [endpoint('a'), endpoint('b')];
    assert.deepEqual(told({ endpoints: [a, b] }, { endpoints: [{ ...b, addresses: ['10.0.0.1'] }, endpoint('c')] }), [
      'endpoint shop/Service/c appeared',
      'endpoint shop/Service/a gone',
    ]);
    assert.deepEqual(told({ endpoints: [a, b] }, { endpoints: [b, a] }), []);
  });
});
