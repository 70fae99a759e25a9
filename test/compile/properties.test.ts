import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Compiler, compile } from '../../src/compile/compiler.ts';
import { type Answer, evaluate, type Match } from '../../src/compile/evaluate.ts';
import type { CompileInput, Question } from '../../src/compile/input.ts';
import { lookup } from '../../src/compile/lookup.ts';
import type { PolicyTables } from '../../src/compile/tables.ts';
import { Slot } from '../../src/model/slot.ts';
import { verdictName } from '../../src/model/verdict.ts';
import { plain } from './plain.ts';
import { identity, inputs, moved, worlds } from './worlds.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 1500);

/** What the tables must name as deciding: among matches equal in priority, action and mode, the one with the lowest id. */
function expectedRule(tables: PolicyTables, answer: Answer, matches: readonly Match[]): number {
  const { decidedBy } = answer;
  if (decidedBy === undefined) return 0;
  const isDefault = decidedBy.peer === undefined;
  const tied = matches.filter(
    (match) =>
      match.action === decidedBy.action &&
      match.mode === decidedBy.mode &&
      (match.peer === undefined) === isDefault &&
      (isDefault || match.priority === decidedBy.priority),
  );
  const ids = [...tables.rules.values()].filter((info) =>
    tied.some(
      (match) => match.policy === info.policy && match.direction === info.direction && match.name === info.name,
    ),
  );
  assert.equal(ids.length, tied.length);
  return Math.min(...ids.map((info) => info.id));
}

function assertAgreement(input: CompileInput, tables: PolicyTables, question: Question): void {
  const { enforced, staged, matches } = evaluate(input, question);
  const found = lookup(tables, question);
  const enforcedMatches = matches.filter((match) => match.mode === 'Enforce');
  assert.deepEqual(
    {
      verdict: verdictName(found.verdict),
      rule: found.rule,
      staged: verdictName(found.stagedVerdict),
      stagedRule: found.stagedRule,
    },
    {
      verdict: enforced.action,
      rule: expectedRule(tables, enforced, enforcedMatches),
      staged: staged.action,
      stagedRule: expectedRule(tables, staged, matches),
    },
  );
}

describe('the compiler', function () {
  this.timeout(120_000);

  it('makes tables that answer every question as the policies do', () => {
    fc.assert(
      fc.property(worlds, ({ input, questions }) => {
        const tables = compile(input);
        for (const question of questions) assertAgreement(input, tables, question);
      }),
      { numRuns: RUNS },
    );
  });

  it('makes the same tables whatever the order of its input', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const reversed = {
          policies: input.policies.toReversed(),
          identities: new Map([...input.identities].reverse()),
        };
        assert.deepEqual(plain(compile(reversed)), plain(compile(input)));
      }),
      { numRuns: RUNS },
    );
  });

  it('makes the same tables from what it remembers as from nothing', () => {
    const visits = fc.array(fc.record({ policies: fc.nat(1), identities: fc.nat(2) }), { minLength: 2, maxLength: 5 });
    fc.assert(
      fc.property(inputs, inputs, visits, (one, other, path) => {
        const policies = [one.policies, other.policies];
        const identities = [one.identities, other.identities, moved(one.identities)];
        const compiler = new Compiler();
        for (const visit of path) {
          const input: CompileInput = {
            policies: policies[visit.policies] ?? [],
            identities: identities[visit.identities] ?? new Map(),
          };
          assert.deepEqual(plain(compiler.compile(input)), plain(compile(input)));
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('returns the objects of the last time where nothing changed', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const compiler = new Compiler();
        const first = compiler.compile(input);
        const again = compiler.compile({ policies: [...input.policies], identities: new Map(input.identities) });
        for (const [id, set] of again.sets) assert.equal(set, first.sets.get(id));
        for (const [id, one] of again.classes) assert.equal(one, first.classes.get(id));
        for (const [slot, subject] of again.subjects) assert.equal(subject, first.subjects.get(slot));
      }),
      { numRuns: RUNS },
    );
  });

  it('changes no set of the others when an identity comes, except that they may list it', () => {
    fc.assert(
      fc.property(inputs, identity, (input, newcomer) => {
        const slot = Slot.First + input.identities.size;
        const compiler = new Compiler();
        const before = compiler.compile(input);
        const after = compiler.compile({ ...input, identities: new Map([...input.identities, [slot, newcomer]]) });
        for (const [known, subject] of before.subjects) assert.deepEqual(after.subjects.get(known), subject);
        for (const [id, set] of before.sets) {
          const now = after.sets.get(id);
          const others = new Map([...(now?.peers ?? [])].filter(([peer]) => peer !== slot));
          assert.deepEqual(others, set.peers);
          assert.deepEqual(now?.networks, set.networks);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('refers to nothing it does not define and defines nothing it does not refer to', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const tables = compile(input);
        const sets = new Set(
          [...tables.subjects.values()].flatMap((s) => [s.egress, s.ingress]).filter((id) => id !== 0n),
        );
        const classes = new Set(
          [...tables.sets.values()].flatMap((set) => [
            ...set.peers.values(),
            ...set.networks.map((entry) => entry.class),
          ]),
        );
        assert.deepEqual(sets, new Set(tables.sets.keys()));
        assert.deepEqual(classes, new Set(tables.classes.keys()));
        for (const set of tables.sets.values()) {
          for (const slot of [Slot.Host, Slot.World, Slot.Any]) assert.ok(set.peers.has(slot));
        }
      }),
      { numRuns: RUNS },
    );
  });
});
