import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Observation } from '../../../src/hardening/learn/observation.ts';
import { learnPolicy } from '../../../src/hardening/learn/policy.ts';
import { fromHardening, toHardening } from '../../../src/model/hardening-manifest.ts';
import { validateManifest } from '../../../src/model/schema/validate.ts';
import { OPTIONS, observation } from './observations.ts';

const read = (path: string): Observation => ({ type: 'path', access: 'read', path, cut: false });

describe('the policy that is learnt', () => {
  it('says each kind of thing once, in one order, and denies the rest', () => {
    const seen: Observation[] = [
      { type: 'network', protocol: 6, port: 443, address: '10.0.0.9' },
      { type: 'mount', operation: 'bind' },
      { type: 'socket', family: 2, kind: 1, protocol: 0 },
      { type: 'operation', operation: 'io-uring' },
      { type: 'capability', capability: 10, within: 'container' },
      { type: 'path', access: 'connect', path: '/run/nscd/socket', cut: false },
      { type: 'path', access: 'bind', path: '@chat-a8f3Kz', cut: false },
      { type: 'path', access: 'execute', path: '/usr/bin/web', cut: false },
      { type: 'path', access: 'write', path: '/data/log', cut: false },
      { type: 'path', access: 'read', path: 'x/config', cut: true },
      read('/data/log'),
      read('/etc/hosts'),
      read('/etc/hosts'),
    ];
    const policy = learnPolicy(seen, OPTIONS);
    assert.deepEqual(learnPolicy([...seen].reverse(), OPTIONS), policy);
    assert.deepEqual(fromHardening(policy).spec, {
      subject: { workload: 'shop/Service/web' },
      mode: 'Stage',
      defaults: {
        files: 'Deny',
        execution: 'Deny',
        capabilities: 'Deny',
        sockets: 'Deny',
        mounts: 'Deny',
        network: 'Deny',
        operations: 'Deny',
      },
      rules: [
        { name: 'read', action: 'Allow', files: { paths: ['/**/config', '/etc/hosts'], access: ['read'] } },
        { name: 'read-write', action: 'Allow', files: { paths: ['/data/log'], access: ['read', 'write'] } },
        { name: 'execute', action: 'Allow', execution: { paths: ['/usr/bin/web'] } },
        { name: 'connect', action: 'Allow', unix: { names: ['/run/nscd/socket'], access: ['connect'] } },
        { name: 'bind', action: 'Allow', unix: { names: ['@chat-*'], access: ['bind'] } },
        {
          name: 'capabilities-in-container',
          action: 'Allow',
          capabilities: { names: ['NET_BIND_SERVICE'], within: 'Container' },
        },
        { name: 'operations', action: 'Allow', operations: ['io-uring'] },
        {
          name: 'sockets',
          action: 'Allow',
          sockets: [
            { family: 'inet', type: 'stream', protocol: 0 },
            { family: 'inet', type: 'stream', protocol: 'TCP' },
          ],
        },
        { name: 'mounts', action: 'Allow', mounts: { operations: ['bind'], writable: false, devices: false } },
        { name: 'network-tcp-443', action: 'Allow', network: { cidrs: ['10.0.0.9/32'], protocol: 'TCP', port: 443 } },
      ],
    });
  });

  it('allows any address where there are many, and any port where there are many of those', () => {
    const to = (i: number, port: number): Observation => ({
      type: 'network',
      protocol: 6,
      port,
      address: `10.0.${i >> 8}.${i & 255}`,
    });
    const many = learnPolicy(
      Array.from({ length: 300 }, (_, i) => to(i, 80)),
      OPTIONS,
    );
    const [web] = fromHardening(many).spec.rules ?? [];
    assert.deepEqual(web?.network, { cidrs: ['0.0.0.0/0'], protocol: 'TCP', port: 80 });
    const ports = learnPolicy(
      Array.from({ length: 300 }, (_, i) => to(i, 1000 + i)),
      OPTIONS,
    );
    assert.deepEqual(
      fromHardening(ports).spec.rules?.map(({ network }) => network),
      [{ cidrs: ['0.0.0.0/0'], protocol: 'TCP' }],
    );
  });

  it('is always a policy that can be written and applied', () => {
    fc.assert(
      fc.property(fc.array(observation, { maxLength: 80 }), (seen) => {
        const policy = learnPolicy(seen, OPTIONS);
        const validated = validateManifest(fromHardening(policy));
        assert.ok(validated.ok, validated.ok ? '' : JSON.stringify(validated.problems));
        assert.deepEqual(toHardening(fromHardening(policy)), policy);
      }),
      { numRuns: 200 },
    );
  });
});
