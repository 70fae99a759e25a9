import assert from 'node:assert/strict';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { generatedFiles, staleFiles } from '../../src/model/schema/generate.ts';
import { POLICY_SCHEMAS } from '../../src/model/schema/kinds.ts';
import { fieldNames, schemaAt, unwrap } from '../../src/model/schema/walk.ts';
import { suggest } from '../../src/model/suggest.ts';

const ROOT = path.join(path.dirname(fileURLToPath(import.meta.url)), '../..');

describe('what is generated from the policy schema', () => {
  it('is fresh in the repository', () => {
    assert.deepEqual(staleFiles(ROOT), []);
  });

  it('says something about every field', () => {
    const page = generatedFiles().get('docs/policy-reference.md') ?? '';
    const rows = page.split('\n').filter((line) => line.startsWith('| `'));
    assert.ok(rows.length > 40);
    for (const row of rows) assert.match(row, /\| [^|]+ \|( [^|]+ \|)?$/);
  });

  it('has strict objects all the way down', () => {
    const loose: string[] = [];
    const visit = (schema: z.core.$ZodType, at: string): void => {
      const inner = unwrap(schema);
      if (inner instanceof z.ZodArray) visit(inner.element, `${at}[]`);
      if (!(inner instanceof z.ZodObject)) return;
      if (inner.safeParse({ surprise: 1 }).error?.issues.every((issue) => issue.code !== 'unrecognized_keys'))
        loose.push(at);
      for (const [name, value] of Object.entries(inner.shape)) visit(value as z.core.$ZodType, `${at}.${name}`);
    };
    for (const [kind, schema] of Object.entries(POLICY_SCHEMAS)) visit(schema, kind);
    assert.deepEqual(loose, []);
  });

  it('can be walked by the paths of problems', () => {
    const at = schemaAt(POLICY_SCHEMAS.WorkloadNetworkPolicy, ['spec', 'ingress', 3, 'from', 0]);
    assert.deepEqual(fieldNames(at), ['workload', 'container', 'labels', 'cidr', 'except', 'entity']);
    assert.equal(schemaAt(POLICY_SCHEMAS.WorkloadNetworkPolicy, ['spec', 'nothing', 'there']), undefined);
  });
});

describe('a suggestion', () => {
  const fields = ['name', 'action', 'from', 'ports'];
  const cases: [word: string, meant: string | undefined][] = [
    ['port', 'ports'],
    ['form', 'from'],
    ['NAME', 'name'],
    ['acton', 'action'],
    ['to', undefined],
    ['selector', undefined],
    ['', undefined],
    ['x'.repeat(1000), undefined],
  ];
  for (const [word, meant] of cases) {
    it(`for ${JSON.stringify(word.slice(0, 20))} is ${meant ?? 'none'}`, () =>
      assert.equal(suggest(word, fields), meant));
  }
});
