import assert from 'node:assert/strict';
import { Compiler, compile } from '../../src/compile/compiler.ts';
import type { KnownIdentity } from '../../src/compile/input.ts';
import { lookup } from '../../src/compile/lookup.ts';
import { parseNetwork } from '../../src/model/address.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import type { Policy, Rule } from '../../src/model/policy.ts';
import { Slot } from '../../src/model/slot.ts';
import { Verdict } from '../../src/model/verdict.ts';

const identity = (namespace: string): KnownIdentity => ({
  ...deriveIdentity('test', { workload: { namespace, kind: 'Deployment', name: 'web' }, container: '', labels: {} }),
  ports: [],
});
const [EVIL, SHOP] = [Slot.First, Slot.First + 1];
const identities = new Map([
  [EVIL, identity('evil')],
  [SHOP, identity('shop')],
]);

const policy = (namespace: string, rules: readonly Rule[], mode: Policy['mode'] = 'Enforce'): Policy => ({
  kind: 'WorkloadNetworkPolicy',
  namespace,
  name: 'many',
  labels: {},
  annotations: {},
  subject: { workload: { namespace, kind: '*', name: '*' }, container: '*', labels: {} },
  priority: 1_000,
  explicitPriority: false,
  mode,
  ingress: { default: 'Deny', rules },
});

/** Every address lies in many networks, each with a port of its own, and some in one more. */
const crowd = (many: number): Rule[] => {
  const rule = (cidr: string, port: number): Rule => {
    const network = parseNetwork(cidr);
    assert.ok('family' in network);
    return { action: 'Allow', peers: [{ type: 'network', network, except: [] }], ports: [{ protocol: 6, port }] };
  };
  return Array.from({ length: many }, (_, i) => [
    rule('0.0.0.0/0', 1 + 2 * i),
    rule(`10.0.${i >> 8}.${i & 255}/32`, 20_000 + 2 * i),
  ]).flat();
};

const asked = (subject: number) =>
  ({
    subject,
    direction: 'ingress',
    peer: { slot: Slot.World, address: Uint8Array.from([...Array(10).fill(0), 255, 255, 10, 0, 0, 9]) },
    protocol: 6,
    port: 1,
  }) as const;

describe('rules that come to more than tables hold', () => {
  it('are taken as they are written where they do not', () => {
    const compiler = new Compiler();
    const tables = compiler.compile({ policies: [policy('evil', crowd(200))], identities });
    assert.equal(lookup(tables, asked(EVIL)).verdict, Verdict.Allow);
    assert.deepEqual(compiler.closed('size'), []);
  });

  it('close those they are for, and nobody else, until they are fewer', () => {
    const compiler = new Compiler();
    const open = policy('shop', crowd(10));
    const many = policy('evil', crowd(700));
    const tables = compiler.compile({ policies: [many, open], identities });
    const { verdict, rule } = lookup(tables, asked(EVIL));
    assert.equal(verdict, Verdict.Deny);
    assert.equal(tables.rules.get(rule)?.policy, 'evil/many');
    assert.equal(lookup(tables, asked(SHOP)).verdict, Verdict.Allow);
    // What was made of it before it was too much is kept nowhere.
    assert.ok([...tables.classes.values()].reduce((sum, { ports }) => sum + ports.length, 0) < 1_000);
    assert.deepEqual(
      new Set(compiler.closed('size').map((id) => tables.rules.get(id)?.policy)),
      new Set(['evil/many']),
    );

    const fewer = compiler.compile({ policies: [policy('evil', crowd(10)), open], identities });
    assert.equal(lookup(fewer, asked(EVIL)).verdict, Verdict.Allow);
    assert.deepEqual(compiler.closed('size'), []);
  });

  it('are told of set by set, so that whoever waits can say he lives', () => {
    let built = 0;
    const compiler = new Compiler(() => {
      built += 1;
    });
    compiler.compile({ policies: [policy('evil', crowd(10)), policy('shop', crowd(11))], identities });
    assert.equal(built, 2);
  });

  it('change no verdict where they are staged', () => {
    const tables = compile({ policies: [policy('evil', crowd(700), 'Stage')], identities });
    const { verdict, stagedVerdict } = lookup(tables, asked(EVIL));
    assert.deepEqual([verdict, stagedVerdict], [Verdict.Allow, Verdict.Deny]);
  });

  it('leave no second copy of a class that others have, too', () => {
    const everybody: Policy = {
      ...policy('', [{ action: 'Allow', ports: [{ protocol: 17, port: 53 }] }]),
      kind: 'ClusterWorkloadNetworkPolicy',
      subject: { workload: { namespace: '*', kind: '*', name: 'web' }, container: '*', labels: {} },
    };
    const { ingress, ...rest } = everybody;
    const all: Policy = { ...rest, egress: { default: 'Deny', rules: ingress?.rules ?? [] } };
    const names = Array.from({ length: 450 }, (_, i): Rule => {
      const selector = { workload: { namespace: 'far', kind: '*', name: '*' }, container: '*', labels: {} };
      const ports = [
        { protocol: 6, port: 1 + 2 * i },
        { protocol: 6, port: 'http' },
      ];
      return { action: 'Allow', peers: [{ type: 'workload', selector }], ports };
    });
    const { ingress: _, ...own } = policy('evil', []);
    const many: Policy = { ...own, egress: { default: 'Pass', rules: names } };
    const far = Array.from({ length: 300 }, (_, i): [number, KnownIdentity] => {
      const workload = { namespace: 'far', kind: 'Deployment', name: `pod${i}` };
      const made = deriveIdentity('test', { workload, container: '', labels: {} });
      return [100 + i, { ...made, ports: [{ name: 'http', protocol: 'TCP', port: 10_000 + i }] }];
    });
    const compiler = new Compiler();
    const compileFor = (...who: [number, KnownIdentity][]) => {
      const tables = compiler.compile({ policies: [all, many], identities: new Map(who) });
      return { tables, closed: compiler.closed('size').length > 0 };
    };
    const [evil, shop] = [
      [EVIL, identity('evil')] as [number, KnownIdentity],
      [SHOP, identity('shop')] as [number, KnownIdentity],
    ];
    assert.equal(compileFor(evil, ...far).closed, true);
    assert.equal(compileFor(evil, shop, ...far).closed, true);
    assert.equal(compileFor(evil, shop, ...far.slice(0, 3)).closed, false);
    const { tables } = compileFor(evil, ...far.slice(0, 3));
    const kinds = [...tables.sets.values()].flatMap(({ peers }) => [...peers.values()]);
    assert.ok(kinds.every((id) => tables.classes.has(id)));
  });
});
