/** A real agent with hardening policies: from the file that was written to the refusal, its event, and its proof. */
import assert from 'node:assert/strict';
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

describe('an agent that hardens', function () {
  this.timeout(600_000);
  let station: Station;

  before(async function () {
    if (!canHarden()) this.skip();
    station = await Station.create(['web', 'api']);
    await station.start();
  });
  after(() => station?.close());

  const reads = async (unit: string, path: string): Promise<boolean> =>
    (await station.endpoint(unit).attempt(['cat', path])).status === 0;
  const ask = async <T>(path: string): Promise<T> => {
    const { stdout } = await attempt(['curl', '-s', '--unix-socket', station.socket, `http://agent/v1/${path}`]);
    return JSON.parse(stdout) as T;
  };

  it('has a refusal in force when the policy is said to be applied, for whom it selects alone', async () => {
    assert.ok(await reads('web', '/etc/shadow'));
    await station.apply(policy(SHADOW));
    assert.equal(await reads('web', '/etc/shadow'), false);
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
    await station.start();
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
    await station.apply(policy('[{name: accounts, action: Deny, files: {paths: [/etc/gshadow]}}]'));
    assert.ok(await reads('web', '/etc/shadow'));
    assert.equal(await reads('web', '/etc/gshadow'), false);
  });
});
