import assert from 'node:assert/strict';
import { decodePacket } from '../../src/events/decode.ts';
import { isObservation } from '../../src/events/event.ts';
import { summary } from '../../src/events/summary.ts';
import { formatIdentity } from '../../src/model/identity.ts';
import { allowed, denied, names, web } from './record.ts';

describe('a kernel record', () => {
  it('becomes an event with the names of both ends and of the rule', () => {
    assert.deepEqual(decodePacket(denied, names, 7), {
      sequence: 7,
      time: '2026-01-02T03:04:05.678Z',
      type: 'verdict',
      verdict: 'Deny',
      direction: 'egress',
      reason: 'policy',
      endpoint: 'e1',
      protocol: 'TCP',
      source: {
        kind: 'workload',
        name: 'shop/Service/web',
        container: 'nginx',
        identity: formatIdentity(web.id),
        address: '10.0.0.2',
        port: 40000,
      },
      destination: {
        kind: 'workload',
        name: 'shop/Service/api',
        identity: formatIdentity(names.identityOf(17)?.id ?? 0n),
        address: '10.0.0.3',
        port: 8080,
      },
      rule: { id: 5, policy: 'shop/api', name: 'from-web' },
      bytes: 60,
      suppressed: 0,
    });
  });

  it('has the local endpoint as its destination when the packet came in', () => {
    const event = decodePacket({ ...denied, direction: 'ingress' }, names, 1);
    assert.equal(event.source.name, 'shop/Service/api');
    assert.equal(event.destination.name, 'shop/Service/web');
  });

  it('never guesses a name: gone identities are unknown, gone rules keep their number', () => {
    const event = decodePacket({ ...denied, peer: 99, rule: 12, stagedRule: 12 }, names, 1);
    assert.deepEqual(event.destination, { kind: 'unknown', name: 'unknown', address: '10.0.0.3', port: 8080 });
    assert.deepEqual(event.rule, { id: 12, policy: '', name: '' });
  });

  const peers: [slot: number, kind: string][] = [
    [1, 'host'],
    [2, 'world'],
  ];
  for (const [slot, kind] of peers) {
    it(`names slot ${slot} ${kind}`, () => {
      assert.equal(decodePacket({ ...denied, peer: slot }, names, 1).destination.kind, kind);
    });
  }

  it('tells what staged policies would have said only where that differs', () => {
    assert.equal(decodePacket(allowed, names, 1).staged, undefined);
    const staged = decodePacket({ ...allowed, stagedVerdict: 2, stagedRule: 5, rule: 0 }, names, 1);
    assert.deepEqual(staged.staged, { verdict: 'Deny', rule: { id: 5, policy: 'shop/api', name: 'from-web' } });
    assert.equal(isObservation(staged), false);
    assert.equal(isObservation(decodePacket(allowed, names, 1)), true);
  });

  it('is a refusal with its reason when it was dropped before any rule', () => {
    const event = decodePacket({ ...denied, kind: 'drop', reason: 2, verdict: 0, rule: 0 }, names, 1);
    assert.equal(event.type, 'drop');
    assert.equal(event.verdict, 'Deny');
    assert.equal(event.reason, 'spoofed');
    assert.equal(event.rule, undefined);
    assert.match(summary(event), /^Deny TCP egress shop\/Service\/web .*: spoofed$/);
  });
});
