/** Bits that stand for executables keep their meaning when the agent is started again. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BitsFile } from '../../src/agent/hardening/memory.ts';
import { compileWithCatalogue } from '../../src/agent/hardening/open.ts';
import { ProfileShelf } from '../../src/agent/hardening/shelf.ts';
import type { HardeningPolicy } from '../../src/model/hardening.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';

const WEB = { namespace: 'shop', kind: 'Service', name: 'web' };

/** A policy with a rule for each of these executables. */
function policies(...executables: readonly string[]): HardeningPolicy[] {
  const rules = executables.map((path) => `{executables: [${path}], files: {paths: [/etc/x]}}`);
  const { hardening, problems } = parsePolicyFile(
    'x',
    Buffer.from(`apiVersion: sallyport.dev/v1alpha1
kind: HardeningPolicy
metadata: {namespace: shop, name: web}
spec: {subject: {workload: Service/web}, rules: [${rules}]}
`),
  );
  assert.deepEqual(problems, []);
  return hardening.map(({ policy }) => policy);
}

describe('what bits of executables mean', () => {
  let directory: string;
  const faults: Error[] = [];
  beforeEach(() => {
    faults.length = 0;
    directory = mkdtempSync(join(tmpdir(), 'sallyport-test-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const path = (): string => join(directory, 'state', 'executables.json');
  const start = (): ProfileShelf =>
    new ProfileShelf(compileWithCatalogue, new BitsFile(path(), (error) => faults.push(error)));
  const bitsOf = (shelf: ProfileShelf, ...executables: readonly string[]): readonly string[] =>
    shelf.profileOf(WEB, policies(...executables)).executables;

  it('outlives the agent, whatever policies were edited meanwhile', () => {
    const first = start();
    assert.deepEqual(bitsOf(first, '/bin/a'), ['/bin/a']);
    assert.deepEqual(bitsOf(first, '/bin/b'), ['', '/bin/b']);
    assert.deepEqual(bitsOf(start(), '/bin/b'), ['', '/bin/b']);
    assert.deepEqual(bitsOf(start(), '/bin/c', '/bin/b', '/bin/a'), ['/bin/a', '/bin/b', '/bin/c']);
    assert.deepEqual(faults, []);
  });

  it('is told of where it cannot be read, and begins anew', () => {
    bitsOf(start(), '/bin/a');
    for (const damage of [
      '{',
      '[["shop/Service/web",[["/bin/a",1],["/bin/b",1]]]]',
      '[["shop/Service/web",[["/bin/a",64]]]]',
    ]) {
      faults.length = 0;
      writeFileSync(path(), damage);
      assert.deepEqual(bitsOf(start(), '/bin/b'), ['/bin/b'], damage);
      assert.equal(faults.length, 1, damage);
    }
  });

  it('is told of where it cannot be written, and holds while the agent lives', () => {
    writeFileSync(join(directory, 'state'), 'no directory');
    const shelf = start();
    assert.deepEqual(bitsOf(shelf, '/bin/a'), ['/bin/a']);
    assert.deepEqual(bitsOf(shelf, '/bin/b'), ['', '/bin/b']);
    assert.ok(faults.length > 0);
  });
});
