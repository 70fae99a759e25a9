import type { NameBook, PacketRecord } from '../../src/events/decode.ts';
import type { ViolationNames, ViolationRecord } from '../../src/events/violation.ts';
import { deriveIdentity, type Identity } from '../../src/model/identity.ts';

function service(name: string, container = ''): Identity {
  return deriveIdentity('test', { workload: { namespace: 'shop', kind: 'Service', name }, container, labels: {} });
}

export const web = service('web', 'nginx');
export const api = service('api');

/** Slots 16 and 17 are web and api; rule 5 is one of shop/api's. */
export const names: NameBook & ViolationNames = {
  identityOf: (slot) =>
    new Map([
      [16, web],
      [17, api],
    ]).get(slot),
  ruleOf: (id) => (id === 5 ? { policy: 'shop/api', name: 'from-web' } : undefined),
  reasonOf: (reason) => ['none', 'policy', 'spoofed'][reason] ?? `reason ${reason}`,
  containerOf: (id) => (id === 'c1' ? { name: 'web-1', identity: web } : undefined),
  hardeningRuleOf: (container, rule) =>
    container === 'c1' && rule === 9
      ? { namespace: 'shop', policy: 'web', rule: 'secrets', ready: 'shadow-file' }
      : undefined,
};

/** A refused read of /etc/shadow in container c1, by rule 9. */
export const refusedRead: ViolationRecord = {
  kind: 'violation',
  time: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  container: 'c1',
  class: 1,
  detail: 0n,
  rule: 9,
  stagedRule: 9,
  verdict: 2,
  stagedVerdict: 2,
  suppressed: 0,
  process: { pid: 70, thread: 71, user: 0 },
  ancestors: [
    { pid: 70, name: 'cat' },
    { pid: 60, name: 'sh' },
  ],
  executable: '/bin/cat',
  path: '/etc/shadow',
};

/** A denied SYN of web to api:8080. */
export const denied: PacketRecord = {
  kind: 'verdict',
  time: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  endpoint: 'e1',
  local: 16,
  peer: 17,
  rule: 5,
  stagedRule: 5,
  verdict: 2,
  stagedVerdict: 2,
  direction: 'egress',
  reason: 1,
  protocol: 6,
  source: { address: '10.0.0.2', port: 40000 },
  destination: { address: '10.0.0.3', port: 8080 },
  bytes: 60,
  suppressed: 0,
};

export const allowed: PacketRecord = { ...denied, verdict: 1, stagedVerdict: 1, reason: 0 };
