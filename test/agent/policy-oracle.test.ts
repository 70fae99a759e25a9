import assert from 'node:assert/strict';
import { TablesOracle } from '../../src/agent/policy-oracle.ts';
import { Compiler } from '../../src/compile/compiler.ts';
import type { KnownIdentity } from '../../src/compile/input.ts';
import { WORLD } from '../../src/handshake/port.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';
import { Slot } from '../../src/model/slot.ts';

const identity = (name: string): KnownIdentity => ({
  ...deriveIdentity('test', { workload: { namespace: 'shop', kind: 'Service', name }, container: 'app', labels: {} }),
  ports: [],
});

/** What `web` may open UDP 53 to, with these rules. */
function allows(rules: string, peer: 'api' | 'world', address: string, written?: string): boolean | undefined {
  const text = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: web, namespace: shop}
spec: {subject: {workload: Service/web}, egress: [${rules}]}
`;
  const { policies, problems } = parsePolicyFile('test.yaml', Buffer.from(text));
  assert.deepEqual(problems, []);
  const [web, api] = [identity('web'), identity('api')];
  const slots = new Map([web, api].map(({ id }, i) => [id, Slot.First + i]));
  const identities = new Map([web, api].map((one, i) => [Slot.First + i, one]));
  const tables = new Compiler().compile({ policies: policies.map(({ policy }) => policy), identities });
  const oracle = new TablesOracle({ tables: () => tables, slotOf: (id) => slots.get(id), subjectsOf: (id) => [id] });
  const question = { subject: web.id, direction: 'egress', address, protocol: 17, port: 53 } as const;
  const who = peer === 'world' ? WORLD : api.id;
  return oracle.decide({ ...question, peer: who, ...(written === undefined ? {} : { written }) })?.allowed;
}

describe('what agents ask the tables about what was rewritten', () => {
  const [service, behind] = ['10.96.0.10', '192.0.2.53'];

  it('means rules for either address, whoever is there', () => {
    for (const peer of ['api', 'world'] as const) {
      for (const cidr of [service, behind]) {
        assert.equal(allows(`{to: [{cidr: ${cidr}/32}]}`, peer, behind, service), true, `${peer} ${cidr}`);
      }
      assert.equal(allows(`{to: [{cidr: ${service}/32}]}`, peer, behind), false);
    }
  });

  it('is refused by either where a rule denies that', () => {
    for (const cidr of [service, behind]) {
      const rules = `{to: [{cidr: 0.0.0.0/0}]}, {action: Deny, to: [{cidr: ${cidr}/32}]}`;
      assert.equal(allows(rules, 'world', behind, service), false, cidr);
    }
  });

  it('needs no rule for addresses where one names who is there', () => {
    assert.equal(allows('{to: [{workload: Service/api}]}', 'api', behind, service), true);
    assert.equal(allows('{to: [{workload: Service/api}]}', 'world', behind, service), false);
  });
});
