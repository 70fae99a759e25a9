import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Claim, preferredRuleId, RuleNumbers } from '../../src/compile/rule-ids.ts';

const NEAR_THE_END = 0xffff_fffe;

/** Rules that prefer few numbers, so that they get in each other's way; also at the end of the range. */
const claims = fc.uniqueArray(
  fc.record(
    {
      key: fc.stringMatching(/^[a-e]{1,3}$/),
      preferredId: fc.constantFrom(1, 2, 3, 7, NEAR_THE_END, NEAR_THE_END + 1),
      owner: fc.constantFrom('p', 'q', 'r'),
    },
    { noNullPrototype: true },
  ),
  { selector: (claim) => claim.key, maxLength: 12 },
);

function numbersOf(all: readonly Claim<string>[]): Map<string, number> {
  const numbers = new RuleNumbers<string>();
  for (const claim of all) numbers.claim(claim);
  numbers.settle();
  return new Map(all.map((claim) => [claim.key, numbers.numberOf(claim)]));
}

describe('rule numbers', () => {
  it('are never 0 and never given twice', () => {
    fc.assert(
      fc.property(claims, (all) => {
        const given = [...numbersOf(all).values()];
        assert.equal(new Set(given).size, all.length);
        for (const id of given) assert.ok(Number.isInteger(id) && id > 0 && id <= 0xffff_ffff);
      }),
      { numRuns: 2_000 },
    );
  });

  it('are the preferred ones where nobody else prefers them', () => {
    fc.assert(
      fc.property(claims, (all) => {
        const given = numbersOf(all);
        for (const { key, preferredId } of all) {
          const rivals = all.filter((claim) => claim.preferredId === preferredId);
          const [first] = rivals.map((claim) => claim.key).sort();
          assert.equal(given.get(key) === preferredId, key === first);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('do not depend on the order in which rules came and went, and tell whose changed', () => {
    fc.assert(
      fc.property(claims, claims, (one, other) => {
        const numbers = new RuleNumbers<string>();
        for (const claim of one) numbers.claim(claim);
        numbers.settle();
        const before = new Map(one.map((claim) => [claim.key, numbers.numberOf(claim)]));
        const stays = one.filter((claim, i) => i % 2 === 0 && !other.some((next) => next.key === claim.key));
        for (const claim of one) if (!stays.includes(claim)) numbers.release(claim);
        for (const claim of other.toReversed()) numbers.claim(claim);
        const changed = numbers.settle();
        const now = [...stays, ...other];
        assert.deepEqual(new Map(now.map((claim) => [claim.key, numbers.numberOf(claim)])), numbersOf(now));
        for (const claim of stays) {
          if (numbers.numberOf(claim) !== before.get(claim.key)) assert.ok(changed.has(claim.owner));
        }
      }),
      { numRuns: 3_000 },
    );
  });

  it('are made from all of what names a rule', () => {
    const key = ['WorkloadNetworkPolicy', 'shop', 'p', 'ingress', 'web'] as const;
    const others = key.map((_, i) => key.map((part, j) => (i === j ? `${part}x` : part)) as unknown as typeof key);
    assert.equal(new Set([key, ...others].map(preferredRuleId)).size, 6);
  });
});
