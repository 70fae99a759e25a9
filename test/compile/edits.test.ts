import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { Compiler, compile } from '../../src/compile/compiler.ts';
import { samePolicy } from '../../src/compile/same-policy.ts';
import type { DirectionPolicy, Policy, Rule } from '../../src/model/policy.ts';
import { plain } from './plain.ts';
import { inputs, rule } from './worlds.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 1500);

/** What somebody does to one policy of a file, seldom more than a rule at a time. */
const edit = fc.record({
  which: fc.nat(5),
  direction: fc.constantFrom('ingress', 'egress'),
  at: fc.nat(4),
  kind: fc.constantFrom('replace', 'replace', 'insert', 'remove', 'swap', 'mode', 'priority', 'default', 'undo'),
  rule,
});

type Edit = typeof edit extends fc.Arbitrary<infer E> ? E : never;

function edited(policy: Policy, change: Edit): Policy {
  const part = policy[change.direction];
  if (change.kind === 'mode') return { ...policy, mode: policy.mode === 'Stage' ? 'Enforce' : 'Stage' };
  if (change.kind === 'priority') return { ...policy, priority: policy.priority === 10 ? 1000 : 10 };
  if (part === undefined) return policy;
  const next: DirectionPolicy =
    change.kind === 'default'
      ? { ...part, default: part.default === 'Deny' ? 'Allow' : 'Deny' }
      : { ...part, rules: editedRules(part.rules, change) };
  return { ...policy, [change.direction]: next };
}

function editedRules(rules: readonly Rule[], { kind, at, rule: other }: Edit): readonly Rule[] {
  const i = at % (rules.length + 1);
  const { name: _, ...unnamed } = other;
  const name = rules[i]?.name;
  if (kind === 'insert') return rules.toSpliced(i, 0, unnamed);
  if (kind === 'remove') return rules.toSpliced(i, 1);
  if (kind === 'swap') return rules.toReversed();
  return i === rules.length ? rules : rules.with(i, name === undefined ? unnamed : { ...unnamed, name });
}

/** Of each step all policies, every one another object, as if read from files again. */
function versionsOf(policies: readonly Policy[], edits: readonly Edit[]): (readonly Policy[])[] {
  const versions: (readonly Policy[])[] = [policies];
  for (const change of edits) {
    const from = change.kind === 'undo' ? policies : (versions.at(-1) ?? []);
    versions.push(from.map((policy, i) => (i === change.which % from.length ? edited(policy, change) : policy)));
  }
  return structuredClone(versions);
}

describe('policies edited rule by rule', function () {
  this.timeout(120_000);

  it('make the same tables as they would from nothing', () => {
    const edits = fc.array(edit, { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(inputs, edits, ({ policies, identities }, changes) => {
        const compiler = new Compiler();
        for (const version of versionsOf(policies, changes)) {
          const input = { policies: structuredClone(version), identities };
          assert.deepEqual(plain(compiler.compile(input)), plain(compile(input)));
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('are the same where nothing that decides is different, and only there', () => {
    fc.assert(
      fc.property(inputs, edit, ({ policies }, change) => {
        for (const policy of policies) {
          const other = structuredClone(edited(policy, change));
          assert.equal(samePolicy(policy, other), isDeepStrictEqual(policy, other));
          assert.ok(samePolicy(policy, { ...structuredClone(policy), annotations: { owner: 'somebody' } }));
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('keep the classes and rules that an edit is not about', () => {
    fc.assert(
      fc.property(inputs, edit, ({ policies, identities }, change) => {
        const compiler = new Compiler();
        const [first = [], second = []] = versionsOf(policies, [change]);
        const before = compiler.compile({ policies: first, identities });
        const after = compiler.compile({ policies: second, identities });
        for (const [id, one] of after.classes) assert.equal(one, before.classes.get(id) ?? one);
        if (change.kind !== 'replace') return;
        for (const [id, info] of after.rules) {
          const known = before.rules.get(id);
          if (isDeepStrictEqual(known, info)) assert.equal(info, known);
        }
      }),
      { numRuns: RUNS },
    );
  });
});
