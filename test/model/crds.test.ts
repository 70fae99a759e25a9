import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { customResourceDefinition, rootSchema } from '../../src/model/schema/crd.ts';
import { generatedFiles } from '../../src/model/schema/generate.ts';
import { POLICY_SCHEMAS } from '../../src/model/schema/kinds.ts';
import { RESOURCES } from '../../src/model/schema/resources.ts';
import { validateManifest } from '../../src/model/schema/validate.ts';
import { BAD_DOCUMENTS } from './bad-documents.ts';
import { GOOD } from './documents.ts';
import { structuralFaults, validationCosts, violations } from './structural-schema.ts';

const ROOT = path.join(import.meta.dirname, '../..');
const SCHEMAS = new Map(RESOURCES.map((resource) => [resource.kind, rootSchema(resource)]));

function examples(): { file: string; value: { kind: string } }[] {
  return ['examples/policies', 'examples/demo/policies'].flatMap((directory) =>
    readdirSync(path.join(ROOT, directory)).flatMap((file) => {
      const text = readFileSync(path.join(ROOT, directory, file), 'utf8');
      return parseAllDocuments(text).map((document) => ({ file: `${directory}/${file}`, value: document.toJS() }));
    }),
  );
}

function judged(value: { kind: string }): string[] {
  return violations(SCHEMAS.get(value.kind) ?? {}, value);
}

describe('the custom resource definitions', () => {
  it('are there for every kind of policy and what is generated', () => {
    const kinds = RESOURCES.map((resource) => resource.kind);
    assert.deepEqual(kinds.slice(0, 4), Object.keys(POLICY_SCHEMAS));
    assert.deepEqual(kinds.slice(4), ['HardeningProfile', 'WorkloadIdentity', 'NodeReport']);
    const files = [...generatedFiles().keys()].filter((file) => file.startsWith('k8s/crds/'));
    assert.equal(files.length, kinds.length);
  });

  for (const resource of RESOURCES) {
    it(`have a structural schema for ${resource.kind}`, () => {
      const written = parse(generatedFiles().get(`k8s/crds/${resource.plural}.yaml`) ?? '');
      assert.deepEqual(structuralFaults(written.spec.versions[0].schema.openAPIV3Schema), []);
    });
  }

  it('have rules in CEL that no server finds too dear', () => {
    for (const [kind, schema] of SCHEMAS) {
      const costs = validationCosts(schema);
      for (const { at, cost } of costs) assert.ok(cost <= 10_000_000, `${kind}${at} costs ${cost}`);
      assert.ok(costs.reduce((sum, { cost }) => sum + cost, 0) <= 100_000_000, kind);
    }
  });

  it('write no default into an object', () => {
    for (const content of generatedFiles().values()) assert.doesNotMatch(content, /^ +default: /m);
  });

  it('have short names and the columns that say what became of it', () => {
    const definitions = RESOURCES.map(customResourceDefinition);
    const names = definitions.map(({ spec }) => spec.names.shortNames[0]);
    assert.deepEqual(names, ['wnp', 'cwnp', 'hp', 'chp', 'hprof', 'wid', 'nrep']);
    for (const { spec } of definitions) {
      assert.deepEqual(spec.versions[0]?.subresources, { status: {} });
      assert.ok((spec.versions[0]?.additionalPrinterColumns.length ?? 0) > 2);
    }
  });

  it('take every example policy', () => {
    const all = examples();
    assert.ok(all.length > 8);
    for (const { file, value } of all) {
      assert.ok(validateManifest(value).ok, file);
      assert.deepEqual(judged(value), [], file);
    }
    assert.deepEqual(judged(parse(GOOD)), []);
  });

  it('keep what nobody described, so that those who judge a policy see it', () => {
    const keeping = (schema: object): number =>
      JSON.stringify(schema).split('"x-kubernetes-preserve-unknown-fields":true').length - 1;
    for (const resource of RESOURCES) {
      const objects = JSON.stringify(SCHEMAS.get(resource.kind)).split('"properties":').length - 1;
      const kept = keeping(SCHEMAS.get(resource.kind) ?? {});
      assert.ok(resource.written ? kept > 5 && kept < objects : kept <= 1, resource.kind);
    }
  });

  const NOT_TOLD = [
    // Kept for the webhook and the agents, which tell what was meant.
    ...['an unknown field', 'an unknown field in a rule', 'a field of the other direction', 'a field named __proto__'],
  ];
  it('refuse what is wrong in one field, and leave the rest to those who judge policies', () => {
    const told: string[] = [];
    for (const [name, [text, [code]]] of Object.entries(BAD_DOCUMENTS)) {
      // Large ones and bombs never get as far as an API server's schema.
      if (text.length > 10_000 || text.includes('&a')) continue;
      let value: { kind: string };
      try {
        value = parse(text, { logLevel: 'silent' });
      } catch {
        continue;
      }
      if (typeof value !== 'object' || !SCHEMAS.has(value?.kind)) continue;
      const faults = judged(value);
      if (faults.length > 0) told.push(name);
      if (NOT_TOLD.includes(name) || code === 'UNKNOWN_FIELD') assert.deepEqual(faults, [], name);
    }
    assert.ok(told.length >= 14, told.join('; '));
  });

  const SPOILED: Record<string, (spec: Record<string, unknown>) => void> = {
    'no subject': (spec) => delete spec.subject,
    'a priority out of range': (spec) => Object.assign(spec, { priority: 70_000 }),
    'a text for a priority': (spec) => Object.assign(spec, { priority: '7' }),
    'a mode nobody knows': (spec) => Object.assign(spec, { mode: 'Maybe' }),
    'a protocol nobody knows': (spec) => Object.assign(spec, { ingress: [{ ports: [{ protocol: 'TPC' }] }] }),
    'a protocol out of range': (spec) => Object.assign(spec, { ingress: [{ ports: [{ protocol: 256 }] }] }),
    'a port out of range': (spec) => Object.assign(spec, { ingress: [{ ports: [{ protocol: 'TCP', port: 0 }] }] }),
    'a port name that is none': (spec) =>
      Object.assign(spec, { ingress: [{ ports: [{ protocol: 'TCP', port: 'H_T' }] }] }),
    'an empty list of peers': (spec) => Object.assign(spec, { ingress: [{ from: [] }] }),
    'more rules than an object may have': (spec) => Object.assign(spec, { ingress: Array(501).fill({}) }),
  };
  for (const [name, spoil] of Object.entries(SPOILED)) {
    it(`refuse ${name}`, () => {
      const value = parse(GOOD);
      spoil(value.spec);
      assert.equal(judged(value).length, 1);
    });
  }
});
