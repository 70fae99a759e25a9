/** A real agent with hardening policies: from the file that was written to the refusal, its event, and its proof. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StatusView } from '../../../src/agent/api/contract.ts';
import type { ProfileDetailView, ProfileView } from '../../../src/agent/api/profile-contract.ts';
import type { ViolationEvent } from '../../../src/events/event.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { attempt } from '../../rig/process.ts';
import { Station } from '../agent/station.ts';
import { canHarden } from './cage.ts';

const policy = (rules: string): string => `apiVersion: sallyport.dev/v1alpha1
kind: HardeningPolicy
metadata: {name: web, namespace: test}
spec: {subject: {workload: Unit/web}, rules: ${rules}}
`;
const SHADOW = '[{name: accounts, action: Deny, files: {paths: [/etc/shadow]}}]';

/** Emulated machines take their time to verify programs. */
const PATIENCE_MS = 400_000;

describe('an agent that hardens', function () {
  this.timeout(600_000);
  let station: Station;

  before(async function () {
    if (!canHarden()) this.skip();
    station = await Station.create(['web', 'api']);
    await start();
  });
  after(() => station?.close());

  const start = async (): Promise<void> => {
    station.launch();
    const enforced = async (): Promise<boolean> => {
      const { status, stdout } = await station.cli(['status', '-o', 'json']);
      return (status === 0 || status === 8) && (JSON.parse(stdout) as StatusView).endpoints.enforced >= 2;
    };
    await waitFor('the agent is ready', enforced, PATIENCE_MS);
  };
  const write = async (rules: string): Promise<void> => {
    await writeFile(join(station.policies, 'web.yaml'), policy(rules));
  };
  const reads = async (unit: string, path: string): Promise<boolean> =>
    (await station.endpoint(unit).attempt(['cat', path])).status === 0;
  const ask = async <T>(path: string): Promise<T> => {
    const { stdout } = await attempt(['curl', '-s', '--unix-socket', station.socket, `http://agent/v1/${path}`]);
    return JSON.parse(stdout) as T;
  };

  it('has a refusal in force for whom a policy selects, and for nobody else', async () => {
    assert.ok(await reads('web', '/etc/shadow'));
    await write(SHADOW);
    await waitFor('it is refused', async () => !(await reads('web', '/etc/shadow')), PATIENCE_MS);
    assert.ok(await reads('web', '/etc/passwd'));
    assert.ok(await reads('api', '/etc/shadow'));
  });

  it('proves it, and tells of what was refused', async () => {
    const [profile, ...others] = await ask<ProfileView[]>('profiles');
    assert.deepEqual(others, []);
    assert.deepEqual([profile?.name, profile?.enforced, profile?.error], ['web', true, undefined]);
    assert.equal(profile?.inKernel, profile?.wanted);
    assert.ok((profile?.tasks ?? 0) > 0, 'its server runs');
    assert.deepEqual(profile?.policies, ['test/web']);
    const { ruleList } = await ask<ProfileDetailView>('profiles/web');
    assert.deepEqual(
      ruleList.map(({ name, action, violations }) => [name, action, violations > 0]),
      [['accounts', 'Deny', true]],
    );
    const [event] = await ask<ViolationEvent[]>('events?types=violation');
    assert.deepEqual(
      [event?.workload, event?.action, event?.object, event?.rule?.policy, event?.rule?.name],
      ['test/Unit/web', 'read', '/etc/shadow', 'test/web', 'accounts'],
    );
    assert.equal(event?.ancestors[0]?.name, 'cat');
    const { hardening } = await station.status();
    assert.deepEqual(hardening.containers, { total: 1, enforced: 1, failed: 0 });
    assert.equal(await station.metric('sallyport_hardening_containers{state="enforced"}'), 1);
    assert.ok((await station.metric('sallyport_hardening_violations_total{mode="Enforce",verdict="Deny"}')) > 0);
  });

  it('leaves it in force when it is killed, and has the same when it comes again', async () => {
    const [before] = await ask<ProfileView[]>('profiles');
    await station.kill();
    assert.equal(await reads('web', '/etc/shadow'), false);
    await start();
    assert.equal(await reads('web', '/etc/shadow'), false);
    await waitFor(
      'it is proved again',
      async () => (await ask<ProfileView[]>('profiles'))[0]?.enforced === true,
      60_000,
    );
    const [after] = await ask<ProfileView[]>('profiles');
    assert.deepEqual([after?.subject, after?.inKernel], [before?.subject, before?.inKernel]);
  });

  it('allows what the policy no longer denies', async () => {
    await write('[{name: accounts, action: Deny, files: {paths: [/etc/gshadow]}}]');
    await waitFor('it is allowed', () => reads('web', '/etc/shadow'), PATIENCE_MS);
    assert.equal(await reads('web', '/etc/gshadow'), false);
  });
});
