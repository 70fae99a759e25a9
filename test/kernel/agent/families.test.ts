import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ApplyView, IdentityView, PolicyView } from '../../../src/agent/api/contract.ts';
import { Station, unitPolicy } from './station.ts';

const hardening = (name: string, path: string): string => `apiVersion: sallyport.dev/v1alpha1
kind: HardeningPolicy
metadata: {name: ${name}, namespace: test}
spec:
  subject: {workload: Unit/web}
  rules:
    - {name: usual, ready: [baseline]}
    - {name: own, files: {paths: ["${path}"], access: [modify]}}
`;
const NETWORK = unitPolicy('web', 'web', '  egress: []');

describe('an agent that is given policies of both families', function () {
  this.timeout(120_000);
  let station: Station;

  before(async () => {
    station = await Station.create(['web']);
    await station.start();
  });
  after(() => station?.close());

  const kinds = async (): Promise<string[]> => {
    const views = await station.json<PolicyView[]>(['policy', 'get']);
    return views.map(({ kind, name, managed }) => `${kind} ${name}${managed ? '' : ' of somebody'}`).sort();
  };

  it('has those of one file in force, and says whom each selects', async () => {
    await station.apply(`${NETWORK}---\n${hardening('web', '/etc/**')}`);
    assert.deepEqual(await kinds(), ['HardeningPolicy web', 'WorkloadNetworkPolicy web']);
    const identity = await station.json<IdentityView>(['identity', 'get', 'test/Unit/web']);
    assert.deepEqual(identity.policies, { ingress: [], egress: ['test/web'], hardening: ['test/web'] });
    const { policies } = await station.status();
    assert.deepEqual([policies.enforce, policies.hardening, policies.errors], [2, 1, []]);
  });

  it('says what a change would be, and changes only that', async () => {
    const diff = await station.cli(
      ['policy', 'diff', '-f', '-', '-o', 'json'],
      `${NETWORK}---\n${hardening('web', '/usr/**')}`,
    );
    assert.equal(diff.status, 8, diff.stderr);
    assert.deepEqual(
      (JSON.parse(diff.stdout) as ApplyView).changes.map(({ kind, action }) => [kind, action]),
      [
        ['WorkloadNetworkPolicy', 'unchanged'],
        ['HardeningPolicy', 'configured'],
      ],
    );
    await station.apply(hardening('web', '/usr/**'));
    const [view] = await station.json<PolicyView[]>(['policy', 'get', '--kind', 'HardeningPolicy']);
    assert.match(view?.source ?? '', /\/usr\/\*\*/);
    assert.deepEqual(readdirSync(station.policies).sort(), [
      '_hardening.test.web.applied.yaml',
      'test.web.applied.yaml',
    ]);
  });

  it('keeps the version before when a file of somebody turns bad, and tells where', async () => {
    const file = join(station.policies, 'mine.yaml');
    writeFileSync(file, hardening('mine', '/srv/**'));
    while (!(await kinds()).includes('HardeningPolicy mine of somebody'));
    writeFileSync(file, hardening('mine', '/srv/**').replace('baseline', 'base-line'));
    let { errors } = (await station.status()).policies;
    while (errors.length === 0) ({ errors } = (await station.status()).policies);
    assert.deepEqual(
      errors.map(({ file: at, line, field, inForce }) => [at, line, field, inForce]),
      [[file, 7, 'spec.rules[0].ready[0]', 'the version before']],
    );
    assert.match(errors[0]?.message ?? '', /did you mean baseline/);
    assert.ok((await kinds()).includes('HardeningPolicy mine of somebody'));
  });

  it('has all of them again after a restart, the good version of the bad one too', async () => {
    const before = await kinds();
    await station.stop();
    await station.start();
    assert.deepEqual(await kinds(), before);
  });

  it('deletes one of two that have the same name, by its kind', async () => {
    const ambiguous = await station.cli(['policy', 'delete', 'test/web']);
    assert.equal(ambiguous.status, 3);
    assert.match(
      ambiguous.stderr,
      /ambiguous: HardeningPolicy test\/web, WorkloadNetworkPolicy test\/web\nhint: .*--kind/,
    );
    const { status, stderr } = await station.cli(['policy', 'delete', 'test/web', '--kind', 'HardeningPolicy']);
    assert.equal(status, 0, stderr);
    assert.deepEqual(await kinds(), ['HardeningPolicy mine of somebody', 'WorkloadNetworkPolicy web']);
  });
});
