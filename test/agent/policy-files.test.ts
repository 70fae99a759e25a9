import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentError } from '../../src/agent/errors.ts';
import { fileOf, isApplied, removePolicy, textOf, writePolicies } from '../../src/agent/policy-files.ts';
import type { AnyPolicy } from '../../src/model/any-policy.ts';
import { canonicalJson } from '../../src/model/manifest.ts';
import type { Policy } from '../../src/model/policy.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';

function policy(namespace: string, name: string): Policy {
  const manifest = {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: namespace === '' ? 'ClusterWorkloadNetworkPolicy' : 'WorkloadNetworkPolicy',
    metadata: { name, ...(namespace === '' ? {} : { namespace }) },
    spec: {
      subject: { workload: namespace === '' ? '*/*/*' : 'Service/*' },
      ingress: [{ name: 'x', action: 'Allow', ports: [{ protocol: 'TCP', port: 80 }] }],
    },
  };
  const { policies, problems } = parsePolicyFile('test', Buffer.from(JSON.stringify(manifest)));
  assert.deepEqual(problems, []);
  return policies[0]?.policy ?? assert.fail('no policy');
}

function hardening(namespace: string, name: string): AnyPolicy {
  const manifest = {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: namespace === '' ? 'ClusterHardeningPolicy' : 'HardeningPolicy',
    metadata: { name, ...(namespace === '' ? {} : { namespace }) },
    spec: {
      subject: { workload: namespace === '' ? '*/*/*' : 'Service/*' },
      rules: [{ files: { paths: ['/etc/**', '/x/[*]'], access: ['modify'] }, unix: { names: ['@x'] } }],
    },
  };
  const { hardening: found, problems } = parsePolicyFile('test', Buffer.from(JSON.stringify(manifest)));
  assert.deepEqual(problems, []);
  return found[0]?.policy ?? assert.fail('no policy');
}

describe('a stored policy', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sallyport-policies-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it('reads back as the same policy', async () => {
    const stored = policy('shop', 'api');
    await writePolicies(directory, [stored]);
    const path = join(directory, fileOf(stored));
    const again = parsePolicyFile(path, await readFile(path));
    assert.deepEqual(again.problems, []);
    assert.equal(canonicalJson(again.policies[0]?.policy ?? assert.fail()), canonicalJson(stored));
    assert.ok(isApplied(path));
    assert.match(textOf(stored), /policy delete shop\/api/);
  });

  it('reads back as the same policy where it is a hardening policy', async () => {
    for (const stored of [hardening('shop', 'api'), hardening('', 'api')]) {
      await writePolicies(directory, [stored]);
      const path = join(directory, fileOf(stored));
      const again = parsePolicyFile(path, await readFile(path));
      assert.deepEqual(again.problems, []);
      assert.deepEqual(again.hardening[0]?.policy, stored);
      assert.ok(isApplied(path));
    }
  });

  it('leaves nothing beside it', async () => {
    const two = [policy('shop', 'api'), policy('', 'base')];
    await writePolicies(directory, two);
    await writePolicies(directory, two);
    assert.deepEqual((await readdir(directory)).sort(), ['_cluster.base.applied.yaml', 'shop.api.applied.yaml']);
    await removePolicy(directory, policy('shop', 'api'));
    assert.deepEqual(await readdir(directory), ['_cluster.base.applied.yaml']);
  });

  it('has a file of its own, whatever the names', () => {
    const long = 'a'.repeat(253);
    const all = [
      policy('a', 'b.c'),
      policy('a', 'b'),
      policy('', 'a.b'),
      policy('cluster', 'x'),
      policy('', 'x'),
      hardening('a', 'b.c'),
      hardening('a', 'b'),
      hardening('', 'a.b'),
      hardening('cluster', 'x'),
      hardening('', 'x'),
      policy('n'.repeat(63), long),
      policy('n'.repeat(63), `${long.slice(1)}b`),
    ];
    const files = all.map(fileOf);
    assert.equal(new Set(files).size, all.length);
    for (const file of files) assert.ok(Buffer.byteLength(file) <= 200, file);
  });

  it('is not stored in part: when one cannot be written, none changes', async () => {
    const [first, second] = [policy('shop', 'api'), policy('shop', 'web')];
    await writePolicies(directory, [first]);
    const before = await readFile(join(directory, fileOf(first)), 'utf8');
    await writeFile(join(directory, fileOf(first)), `${before}# edited\n`);
    // A directory in the second one's place makes its rename fail.
    await mkdir(join(directory, fileOf(second)));
    await assert.rejects(writePolicies(directory, [second]), (error) => {
      assert.ok(error instanceof AgentError);
      assert.match(error.message, /^Cannot store policies in /);
      return true;
    });
    assert.deepEqual((await readdir(directory)).sort(), [fileOf(first), fileOf(second)]);
    assert.match(await readFile(join(directory, fileOf(first)), 'utf8'), /# edited/);
  });
});
