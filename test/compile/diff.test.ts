import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Compiler, compile } from '../../src/compile/compiler.ts';
import { diff, EMPTY_TABLES, formatPlan } from '../../src/compile/diff.ts';
import { evaluate } from '../../src/compile/evaluate.ts';
import type { CompileInput, Question } from '../../src/compile/input.ts';
import { lookup } from '../../src/compile/lookup.ts';
import type { PolicyTables } from '../../src/compile/tables.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import { verdictOf } from '../../src/model/verdict.ts';
import { policiesOf } from '../model/documents.ts';
import { applyPlan, type Kernel, kernelWith, normal } from './kernel.ts';
import { identities, inputs, questionsAbout } from './worlds.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 1500);

function assertWhole(tables: PolicyTables): void {
  for (const { egress, ingress } of tables.subjects.values()) {
    for (const id of [egress, ingress]) assert.ok(id === 0n || tables.sets.has(id), 'a subject without its set');
  }
  for (const set of tables.sets.values()) {
    for (const id of [...set.peers.values(), ...set.networks.map((entry) => entry.class)]) {
      assert.ok(tables.classes.has(id), 'a set without its class');
    }
  }
}

const networked: CompileInput = {
  policies: policiesOf(`apiVersion: sallyport.dev/v1alpha1
kind: ClusterWorkloadNetworkPolicy
metadata: {name: p}
spec: {subject: {workload: '*/*/*'}, ingress: [{from: [{cidr: 10.0.0.0/8}, {cidr: 'fd00::/8'}]}]}
`).map(({ policy }) => policy),
  identities: new Map([
    [
      16,
      {
        ...deriveIdentity('test', { workload: { namespace: 'a', kind: 'b', name: 'c' }, container: '', labels: {} }),
        ports: [],
      },
    ],
  ]),
};

function question(input: CompileInput): fc.Arbitrary<Question> {
  return questionsAbout([...input.identities.keys()]);
}

const changes = fc
  .record({ before: inputs, policies: inputs, identities, keep: fc.constantFrom('policies', 'identities', 'neither') })
  .map(({ before, policies, identities: others, keep }) => ({
    before,
    after: {
      policies: keep === 'policies' ? before.policies : policies.policies,
      identities: keep === 'identities' ? before.identities : others,
    },
  }));

describe('diff', function () {
  this.timeout(120_000);

  it('leads from any tables to any others, through steps that never leave a reference open', () => {
    fc.assert(
      fc.property(changes, ({ before, after }) => {
        const compiler = new Compiler();
        const [current, desired] = [compiler.compile(before), compiler.compile(after)];
        const kernel = kernelWith(current);
        applyPlan(kernel, diff(current, desired), () => assertWhole(kernel));
        assert.deepEqual(normal(kernel), normal(desired));
      }),
      { numRuns: RUNS },
    );
  });

  it('judges every packet by the old policies or by the new ones while only policies change', () => {
    const asked = changes.chain(({ before, after }) =>
      fc.record({
        before: fc.constant(before),
        after: fc.constant({ ...after, identities: before.identities }),
        questions: fc.array(question(before), { minLength: 5, maxLength: 5 }),
      }),
    );
    fc.assert(
      fc.property(asked, ({ before, after, questions }) => {
        const [current, desired] = [compile(before), compile(after)];
        const kernel = kernelWith(current);
        applyPlan(kernel, diff(current, desired), () => {
          for (const one of questions) {
            const allowed = [before, after].map((input) => verdictOf(evaluate(input, one).enforced.action));
            assert.ok(allowed.includes(lookup(kernel, one).verdict));
          }
        });
      }),
      { numRuns: RUNS },
    );
  });

  it('has no steps between equal tables, made by one compiler or by two', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const compiler = new Compiler();
        const tables = compiler.compile(input);
        assert.deepEqual(diff(tables, compiler.compile(input)).steps, []);
        assert.deepEqual(diff(tables, compile(input)).steps, []);
      }),
      { numRuns: RUNS },
    );
  });

  it('bumps the revision once wherever a verdict may be another one, after the switch', () => {
    fc.assert(
      fc.property(changes, ({ before, after }) => {
        const [current, desired] = [compile(before), compile(after)];
        const ops = diff(current, desired).steps.map((step) => step.op);
        const judging = ops.some((op) =>
          ['patch-classes', 'patch-sets', 'switch-subjects', 'delete-subjects', 'trim-sets'].includes(op),
        );
        assert.equal(ops.filter((op) => op === 'bump-revision').length, judging ? 1 : 0);
        if (judging) assert.ok(ops.indexOf('bump-revision') > ops.indexOf('switch-subjects'));
      }),
      { numRuns: RUNS },
    );
  });

  it('repairs tables that somebody changed behind our back', () => {
    const drifted = inputs.chain((input) => fc.record({ input: fc.constant(input), seed: fc.nat() }));
    fc.assert(
      fc.property(drifted, ({ input, seed }) => {
        const desired = compile(input);
        const kernel = kernelWith(desired);
        damage(kernel, seed);
        const current: PolicyTables = kernelWith(kernel);
        applyPlan(kernel, diff(current, desired));
        // `any` lies in the entries of sets, which the plan must have rewritten.
        const rewritten = new Set(
          diff(current, desired).steps.flatMap((step) =>
            step.op === 'patch-sets'
              ? step.patches.flatMap(({ peers, networks }) => [...peers.values(), ...networks.map((n) => n.class)])
              : [],
          ),
        );
        for (const [id, one] of kernel.classes) {
          const wanted = desired.classes.get(id);
          if (wanted !== undefined && rewritten.has(id)) kernel.classes.set(id, { ...one, any: wanted.any });
        }
        assert.deepEqual(normal(kernel), normal(desired));
      }),
      { numRuns: RUNS },
    );
  });

  it('rewrites every peer of a set whose networks are all gone, because its entries say that there are some', () => {
    const desired = compile(networked);
    const sets = new Map([...desired.sets].map(([id, set]) => [id, { ...set, networks: [] }]));
    const patches = diff({ ...desired, sets }, desired).steps.flatMap((step) =>
      step.op === 'patch-sets' ? step.patches : [],
    );
    const [set] = desired.sets.values();
    assert.ok(set && set.networks.length > 0);
    assert.deepEqual(patches, [{ id: set.id, peers: set.peers, networks: set.networks }]);
  });

  it('prints what it will do, and that there is nothing to do', () => {
    assert.equal(formatPlan(diff(EMPTY_TABLES, EMPTY_TABLES)), 'nothing to do');
    fc.assert(
      fc.property(changes, ({ before, after }) => {
        const plan = diff(compile(before), compile(after));
        const lines = formatPlan(plan)
          .split('\n')
          .filter((line) => /^ ?\d+\. /.test(line));
        assert.equal(lines.length, plan.steps.length);
      }),
      { numRuns: 200 },
    );
  });
});

/** One of the things an operator can do to a map by hand. */
function damage(kernel: Kernel, seed: number): void {
  const pick = <T>(items: readonly T[]): T | undefined => items[seed % Math.max(1, items.length)];
  const one = pick([...kernel.classes.values()]);
  const set = pick([...kernel.sets.values()]);
  const subject = pick([...kernel.subjects.values()]);
  switch (seed % 5) {
    case 0:
      if (one !== undefined) kernel.classes.set(one.id, { ...one, ports: one.ports.slice(1) });
      break;
    case 1:
      if (one !== undefined) kernel.classes.set(one.id, { ...one, any: { ...one.any, verdict: 2, rule: 99 } });
      break;
    case 2:
      if (set !== undefined) kernel.sets.set(set.id, { ...set, peers: new Map([...set.peers].slice(1)) });
      break;
    case 3:
      if (set !== undefined) kernel.sets.set(set.id, { ...set, networks: set.networks.slice(1) });
      break;
    default:
      if (subject !== undefined) kernel.subjects.set(subject.slot, { ...subject, egress: 0n });
  }
}
