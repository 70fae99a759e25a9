import assert from 'node:assert/strict';
import { Compiler, compile } from '../../src/compile/compiler.ts';
import { evaluate } from '../../src/compile/evaluate.ts';
import { explain } from '../../src/compile/explain.ts';
import type { CompileInput } from '../../src/compile/input.ts';
import { lookup } from '../../src/compile/lookup.ts';
import type { PolicyTables } from '../../src/compile/tables.ts';
import { verdictName } from '../../src/model/verdict.ts';
import { plain } from '../compile/plain.ts';
import { type Case, conversations, expectedTable, formatProbe, loadCases } from './cases.ts';
import { isPod } from './cluster.ts';
import { Scene } from './scene.ts';
import { allowsAt, connects, type Direction, type Probe } from './upstream.ts';

const cases = loadCases();

/** Asks everybody's both ends; returns who may talk to whom by the tables. */
function truth(one: Case, scene: Scene, input: CompileInput, tables: PolicyTables): Map<string, boolean> {
  const { cluster } = scene;
  const objects = scene.objects();
  const everybody = new Map(cluster.everybody.map((end) => [end.key, end]));
  const table = new Map<string, boolean>();
  let asked = 0;
  const ask = (direction: Direction, own: string, other: string, probe: Probe): boolean => {
    const [pod, peer] = [everybody.get(own), everybody.get(other)];
    assert.ok(pod !== undefined && peer !== undefined);
    if (!isPod(pod)) return true;
    const question = scene.question(direction, pod, peer, probe);
    const meant = evaluate(input, question).enforced.action;
    const found = verdictName(lookup(tables, question).verdict);
    const text = `${direction} of ${own}, peer ${other}, ${formatProbe(probe)}`;
    if (one.stricter) assert.ok(found === meant || found === 'Deny', text);
    else assert.equal(found, meant, `tables, evaluator: ${text}`);
    // Explaining takes long and shares nearly all with evaluating.
    if (!one.stricter && asked++ % 11 === 0)
      assert.equal(explain(input, tables, question).disagreement, undefined, text);
    const allowed = found !== 'Deny';
    if (one.beyond === undefined) {
      assert.equal(allowed, allowsAt(cluster, objects, direction, pod, peer, probe), `translation: ${text}`);
    }
    return allowed;
  };
  for (const [from, to, probe] of conversations(cluster, one.probes)) {
    const out = ask('egress', from, to, probe);
    const into = ask('ingress', to, from, probe);
    table.set(`${from} -> ${to} ${formatProbe(probe)}`, out && into);
  }
  return table;
}

function reference(one: Case, scene: Scene): Map<string, boolean> {
  const { cluster } = scene;
  const objects = scene.objects();
  const table = new Map<string, boolean>();
  const by = new Map(cluster.everybody.map((end) => [end.key, end]));
  for (const [from, to, probe] of conversations(cluster, one.probes)) {
    const [source, destination] = [by.get(from), by.get(to)];
    assert.ok(source !== undefined && destination !== undefined);
    table.set(`${from} -> ${to} ${formatProbe(probe)}`, connects(cluster, objects, source, destination, probe));
  }
  return table;
}

function different(found: Map<string, boolean>, expected: Map<string, boolean>): string[] {
  return [...expected]
    .filter(([key, allowed]) => found.get(key) !== allowed)
    .map(([key, allowed]) => `${key} should be ${allowed ? 'allowed' : 'denied'}`);
}

describe('the semantics of Kubernetes’ policies', () => {
  it('have many cases', () => {
    assert.ok(cases.length >= 150, `${cases.length} cases`);
    assert.ok(cases.filter(({ steps }) => steps.length > 1).length >= 25);
  });

  it('have a name for each', () => {
    const names = cases.map(({ name }) => name);
    assert.deepEqual(names, [...new Set(names)]);
  });

  for (const one of cases) {
    it(`${one.file.replace('.yaml', '')}: ${one.name}`, () => {
      const scene = new Scene(one);
      const compiler = new Compiler();
      const told: string[] = [];
      for (const [i, step] of one.steps.entries()) {
        scene.take(step);
        const expected = expectedTable(scene.cluster, one.probes, step.expect);
        if (one.beyond === undefined) {
          assert.deepEqual(different(reference(one, scene), expected), [], `reference, step ${i}`);
        }
        const input = scene.input();
        const tables = compiler.compile(input);
        assert.deepEqual(different(truth(one, scene, input, tables), expected), [], `step ${i}`);
        assert.deepEqual(plain(tables), plain(compile(input)), `step ${i}: as from nothing`);
        told.push(...scene.translate().problems.map(({ message }) => message));
      }
      for (const words of one.problems)
        assert.ok(
          told.some((text) => text.includes(words)),
          `${words}: ${told.join('; ')}`,
        );
      if (one.problems.length === 0) assert.deepEqual(told, []);
    });
  }
});
