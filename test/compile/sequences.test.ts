import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Compiler, compile } from '../../src/compile/compiler.ts';
import { diff, EMPTY_TABLES } from '../../src/compile/diff.ts';
import type { KnownIdentity } from '../../src/compile/input.ts';
import { PatchedMap } from '../../src/compile/patched-map.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import type { DirectionPolicy, Policy, Rule } from '../../src/model/policy.ts';
import { Slot } from '../../src/model/slot.ts';
import { applyPlan, kernelWith, normal } from './kernel.ts';
import { rule } from './worlds.ts';

const SIZE = 60;

/** Enough that the tables' maps have a base worth sharing, and are put together anew now and then. */
function identityOf(n: number): KnownIdentity {
  const workload = { namespace: 'a', kind: 'Service', name: `s${n}` };
  return { ...deriveIdentity('test', { workload, container: '', labels: {} }), ports: [] };
}

function policyOf(n: number, rules: readonly Rule[]): Policy {
  const peer = { namespace: 'a', kind: 'Service', name: `s${(n * 7 + rules.length) % SIZE}` };
  const ingress: DirectionPolicy = {
    default: 'Deny',
    rules: [
      { action: 'Allow', peers: [{ type: 'workload', selector: { workload: peer, container: '*', labels: {} } }] },
      ...rules,
    ],
  };
  return {
    kind: 'WorkloadNetworkPolicy',
    namespace: 'a',
    name: `p${n}`,
    labels: {},
    annotations: {},
    subject: { workload: { namespace: 'a', kind: 'Service', name: `s${n % SIZE}` }, container: '*', labels: {} },
    priority: 10 + (rules.length % 3),
    explicitPriority: false,
    mode: 'Enforce',
    ingress,
  };
}

const rules = fc.uniqueArray(rule, { maxLength: 3, comparator: (a, b) => a.name !== undefined && a.name === b.name });

/** One of a few hundred things at a time; a policy written again as it was is another object. */
const change = fc.oneof(
  { weight: 6, arbitrary: fc.record({ policy: fc.nat(SIZE + 20), rules }) },
  { weight: 2, arbitrary: fc.record({ policy: fc.nat(SIZE + 20), rules: fc.constant(undefined) }) },
  { weight: 1, arbitrary: fc.record({ identity: fc.nat(SIZE + 10) }) },
  { weight: 1, arbitrary: fc.record({ moved: fc.nat(SIZE + 10) }) },
);

describe('a thousand changes, one after the other', function () {
  this.timeout(300_000);

  it('end, each of them, in the tables made from nothing, and a plan leads from each to the next', () => {
    const changes = fc.array(change, { minLength: 1_000, maxLength: 1_000, size: 'max' });
    fc.assert(
      fc.property(changes, (all) => {
        const policies = new Map(Array.from({ length: SIZE }, (_, n) => [n, policyOf(n, [])]));
        let identities = new Map(Array.from({ length: SIZE }, (_, n) => [Slot.First + n, identityOf(n)]));
        let here: ReadonlySet<number> = new Set(Array.from({ length: SIZE / 2 }, (_, n) => Slot.First + n));
        const compiler = new Compiler();
        const kernel = kernelWith(EMPTY_TABLES);
        let tables = EMPTY_TABLES;
        const bases = new Set<unknown>();
        for (const [i, one] of all.entries()) {
          if ('identity' in one) {
            identities = new Map(identities);
            const slot = Slot.First + one.identity;
            if (!identities.delete(slot)) identities.set(slot, identityOf(one.identity));
          } else if ('moved' in one) {
            const slot = Slot.First + one.moved;
            here = here.has(slot) ? new Set([...here].filter((other) => other !== slot)) : new Set([...here, slot]);
          } else if (one.rules === undefined) {
            policies.delete(one.policy);
          } else {
            policies.set(one.policy, policyOf(one.policy, one.rules));
          }
          const next = compiler.compile({ policies: [...policies.values()], identities, here });
          applyPlan(kernel, diff(tables, next));
          tables = next;
          assert.ok(next.rules instanceof PatchedMap);
          bases.add(next.rules.base);
          if (i % 10 !== 0 && i < all.length - 10) continue;
          assert.deepEqual(normal(next), normal(compile({ policies: [...policies.values()], identities, here })));
          assert.deepEqual(normal(kernel), normal(next));
        }
        // Both ways of comparing were gone.
        assert.ok(bases.size > 1 && bases.size < all.length / 2, `${bases.size} bases`);
      }),
      { numRuns: 3, endOnFailure: true },
    );
  });
});
