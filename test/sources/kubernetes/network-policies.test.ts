import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Compiler } from '../../../src/compile/compiler.ts';
import type { Policy } from '../../../src/model/policy.ts';
import { translateNetworkPolicies } from '../../../src/sources/kubernetes/network-policies.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 1500);
const NAMESPACES = new Map([
  ['shop', { team: 'one' }],
  ['ops', { team: 'two' }],
  ['lab', { team: 'one' }],
]);

function policy(name: string, spec: unknown, namespace = 'shop'): object {
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name, namespace }, spec };
}

const fromTeam = (team: string) => ({
  podSelector: {},
  ingress: [{ from: [{ namespaceSelector: { matchLabels: { team } } }] }],
});

describe('translating network policies', () => {
  it('keeps the object of a policy that says what it said', () => {
    const networkPolicies = [
      policy('a', fromTeam('one')),
      policy('b', fromTeam('two')),
      policy('c', { podSelector: {} }),
    ];
    const first = translateNetworkPolicies({ networkPolicies }, NAMESPACES).policies;
    const again = translateNetworkPolicies({ networkPolicies }, new Map(NAMESPACES)).policies;
    assert.deepEqual(
      again.map((one, i) => one === first[i]),
      [true, true, true],
    );
    const joined = translateNetworkPolicies({ networkPolicies }, new Map([...NAMESPACES, ['new', { team: 'two' }]]));
    assert.deepEqual(
      joined.policies.map((one, i) => one === first[i]),
      [true, false, true],
    );
  });

  it('makes another object where one of the same name is new', () => {
    const one = translateNetworkPolicies({ networkPolicies: [policy('a', fromTeam('one'))] }, NAMESPACES).policies;
    const other = translateNetworkPolicies({ networkPolicies: [policy('a', fromTeam('one'))] }, NAMESPACES).policies;
    assert.notEqual(one[0], other[0]);
    assert.deepEqual(one, other);
  });

  it('takes one of several objects with one name, and tells of the others', () => {
    const networkPolicies = [policy('a', { podSelector: {} }), policy('a', fromTeam('one'))];
    const { policies, problems } = translateNetworkPolicies({ networkPolicies }, NAMESPACES);
    assert.equal(policies.length, 1);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['DUPLICATE'],
    );
    new Compiler().compile({ policies, identities: new Map() });
  });

  it('resolves nodes only where they are known', () => {
    const spec = {
      priority: 1,
      subject: { namespaces: {} },
      egress: [{ action: 'Deny', to: [{ nodes: {} }] }],
    };
    const adminNetworkPolicies = [{ metadata: { name: 'a' }, spec }];
    const unknown = translateNetworkPolicies({ adminNetworkPolicies }, NAMESPACES);
    assert.deepEqual(
      unknown.problems.map(({ code, severity }) => `${severity} ${code}`),
      ['error UNSUPPORTED'],
    );
    assert.deepEqual(unknown.policies[0]?.egress?.rules, [{ action: 'Deny' }]);
    const nodes = new Map([['n', { labels: {}, addresses: ['192.0.2.1', 'fd00::1'] }]]);
    const known = translateNetworkPolicies({ adminNetworkPolicies }, NAMESPACES, { nodes });
    assert.deepEqual(known.problems, []);
    assert.equal(known.policies[0]?.egress?.rules[0]?.peers?.length, 2);
  });

  it('names an administrator’s rules as they are named, where names can be used', () => {
    const names = ['dns', 'dns', '17', 'default', 'a\u0000b', 'with space'];
    const rule = (name: string) => ({ name, action: 'Allow', from: [{ namespaces: {} }] });
    const spec = { priority: 1, subject: { namespaces: {} }, ingress: names.map(rule) };
    const { policies } = translateNetworkPolicies(
      { adminNetworkPolicies: [{ metadata: { name: 'a' }, spec }] },
      NAMESPACES,
    );
    assert.deepEqual(
      policies[0]?.ingress?.rules.map(({ name }) => name),
      ['dns', undefined, undefined, undefined, undefined, 'with space'],
    );
  });

  it('does not repeat itself without end', () => {
    const from = Array.from({ length: 500 }, () => ({ nothing: {} }));
    const { problems } = translateNetworkPolicies(
      { networkPolicies: [policy('a', { podSelector: {}, ingress: [{ from }] })] },
      NAMESPACES,
    );
    assert.equal(problems.length, 20);
  });

  it('takes what anybody may write, and opens nothing by it', () => {
    const word = fc.constantFrom(
      '',
      'x',
      '*',
      'pod',
      'In',
      'Allow',
      '10.0.0.0/8',
      'kubernetes.io/x',
      '__proto__',
      '80',
    );
    const tree = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        word,
        fc.constantFrom(null, true, 0, 80, -1, 1.5),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(
          fc.constantFrom(
            ...[
              'matchLabels',
              'matchExpressions',
              'key',
              'operator',
              'values',
              'from',
              'to',
              'ports',
              'port',
              'ipBlock',
            ],
            ...['cidr', 'except', 'podSelector', 'namespaceSelector', 'namespaces', 'pods', 'networks', 'action', 'x'],
          ),
          tie('value'),
          { maxKeys: 4, noNullPrototype: true },
        ),
      ),
    })).value;
    const spec = fc.dictionary(
      fc.constantFrom('podSelector', 'policyTypes', 'ingress', 'egress', 'subject', 'priority', 'other'),
      tree,
      { maxKeys: 5, noNullPrototype: true },
    );
    fc.assert(
      fc.property(fc.oneof(spec, tree), fc.oneof(fc.constant('a'), tree), (written, name) => {
        const object = { metadata: { name, namespace: 'shop' }, spec: written };
        const { policies } = translateNetworkPolicies(
          { networkPolicies: [object], adminNetworkPolicies: [{ ...object }], baselineAdminNetworkPolicies: [tree] },
          NAMESPACES,
        );
        for (const one of policies) assertClosed(one);
        new Compiler().compile({ policies, identities: new Map() });
      }),
      { numRuns: RUNS },
    );
  });
});

/** What selects somebody isolates him, and no list is empty, which would mean everybody. */
function assertClosed({ kind, ingress, egress }: Policy): void {
  for (const part of [ingress, egress]) {
    assert.ok(part === undefined || part.default === (kind === 'NetworkPolicy' ? 'Deny' : 'Pass'));
    for (const { peers, ports } of part?.rules ?? []) {
      assert.notEqual(peers?.length, 0);
      assert.notEqual(ports?.length, 0);
    }
  }
  assert.ok(kind !== 'NetworkPolicy' || ingress !== undefined || egress !== undefined);
}
