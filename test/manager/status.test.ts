import assert from 'node:assert/strict';
import { workloadsOf } from '../../src/manager/identities.ts';
import { judgePolicies } from '../../src/manager/policies.ts';
import { eventsOf } from '../../src/manager/policy-statuses.ts';
import { profileStatus } from '../../src/manager/profile-status.ts';
import { ProfileBuilder } from '../../src/manager/profiles.ts';
import { byPolicy, freshReports, REPORT_AGE_MS, type Report } from '../../src/manager/reports.ts';
import { type FoundShortfalls, LASTING_MS, type Lasting, Shortfalls } from '../../src/manager/shortfalls.ts';
import { indexOf, statuses } from '../../src/manager/status.ts';
import { hardeningProfileSchema } from '../../src/model/schema/hardening-profile.ts';
import { policyStatusSchema } from '../../src/model/schema/status.ts';
import { DEPLOYMENT, pod, policy, report } from './facts.ts';

const NOW = 1_000_000_000;
const NODES = new Set(['one', 'two']);
const SPEC = { subject: { workload: 'Deployment/web' }, ingress: [] };

/** Two pods of the deployment web, one on each node. */
const PODS = ['one', 'two'].map((node) => pod({ name: node, node, owner: ['ReplicaSet', 'web-1'] }));

/** As if every node had been short of containers for long. */
const lasting = (found: ReadonlyMap<string, FoundShortfalls>): Lasting =>
  new Map([...found].map(([key, { short }]) => [key, new Map(short.map((one) => [one.node, one]))]));

function statusOf(reports: readonly Report[], spec: object = SPEC, pods = PODS, generation = 1) {
  const object = policy('WorkloadNetworkPolicy', 'web', spec, generation);
  const fresh = freshReports(reports, NODES, NOW);
  const index = indexOf(workloadsOf(pods, DEPLOYMENT, 'local'));
  const input = { policies: judgePolicies([object]), index, reports: byPolicy(fresh), lasting, now: NOW };
  const [status] = statuses(input).values();
  assert.ok(status !== undefined && policyStatusSchema.safeParse(status).success);
  return status;
}

function enforced(reports: readonly Report[], ...more: [spec?: object, pods?: typeof PODS, generation?: number]) {
  const { conditions = [], nodes, containers } = statusOf(reports, ...more);
  const [, condition] = conditions;
  const counts = [nodes?.total, nodes?.enforced, nodes?.failed, containers?.selected, containers?.enforced];
  return [condition?.status, condition?.reason, ...counts].join(' ');
}

const good = (node: string, at = NOW) => report(node, at, [{ name: 'web', state: 'Enforced' }]);

describe('the status of a policy', () => {
  const cases: [what: string, reports: Report[], expected: string][] = [
    ['every node says so', [good('one'), good('two')], 'True Enforced 2 2 0 2 2'],
    ['a node has said nothing', [good('one')], 'False Pending 2 1 0 2 1'],
    ['nobody has said anything', [], 'False Pending 2 0 0 2 0'],
    ['a report is too old', [good('one'), good('two', NOW - REPORT_AGE_MS)], 'False Pending 2 1 0 2 1'],
    ['a report is just not too old', [good('one'), good('two', NOW - REPORT_AGE_MS + 1)], 'True Enforced 2 2 0 2 2'],
    ['a report is of a time to come', [good('one'), good('two', NOW + 600_000)], 'False Pending 2 1 0 2 1'],
    ['a node that is gone speaks', [good('one'), good('two'), good('gone')], 'True Enforced 2 2 0 2 2'],
    [
      'a node has a former version',
      [good('one'), report('two', NOW, [{ name: 'web', state: 'Enforced', generation: 0 }])],
      'False Pending 2 1 0 2 1',
    ],
    [
      'a node failed',
      [good('one'), report('two', NOW, [{ name: 'web', state: 'Failed', message: 'no room' }])],
      'False Failed 2 1 1 2 1',
    ],
    [
      'a node finds nothing of it, where a pod of it runs',
      [good('one'), report('two', NOW, [{ name: 'web', state: 'Idle', containers: 0 }])],
      'False Pending 2 1 0 2 1',
    ],
    [
      'a node speaks of another policy of that name',
      [good('one'), report('two', NOW, [{ kind: 'HardeningPolicy', name: 'web', state: 'Enforced' }])],
      'False Pending 2 1 0 2 1',
    ],
    [
      'a node knows more containers than pods have',
      [good('one'), report('two', NOW, [{ name: 'web', state: 'Enforced', containers: 5 }])],
      'True Enforced 2 2 0 6 6',
    ],
  ];
  for (const [what, reports, expected] of cases) {
    it(`tells the truth where ${what}`, () => assert.equal(enforced(reports), expected));
  }

  it('does not call what is staged enforced', () => {
    const reports = ['one', 'two'].map((node) => report(node, NOW, [{ name: 'web', state: 'Staged' }]));
    assert.equal(enforced(reports, { ...SPEC, mode: 'Stage' }), 'False Staged 2 0 0 2 0');
  });

  it('says that nothing is selected', () => {
    assert.equal(enforced([good('one')].slice(1), SPEC, []), 'Unknown SelectsNothing 0 0 0 0 0');
  });

  it('says what is wrong with it, and that a former version may be in force', () => {
    const { conditions = [] } = statusOf([good('one'), good('two')], {
      subject: { workload: 'Deployment/web' },
      ingres: [],
    });
    assert.deepEqual(
      conditions.map(({ type, status, reason }) => `${type} ${status} ${reason}`),
      ['Accepted False UnknownField', 'Enforced False NotAccepted'],
    );
    assert.match(conditions[0]?.message ?? '', /spec\.ingres: found the unknown field .*did you mean ingress/);
  });

  it('keeps since when a condition is what it is, and tells of what has changed', () => {
    const before = statusOf([good('one')]);
    const object = { ...policy('WorkloadNetworkPolicy', 'web', SPEC), status: before };
    const index = indexOf(workloadsOf(PODS, DEPLOYMENT, 'local'));
    const fresh = freshReports([good('one'), good('two')], NODES, NOW + 5_000);
    const input = { policies: judgePolicies([object]), index, reports: byPolicy(fresh), lasting, now: NOW + 5_000 };
    const [after] = statuses(input).values();
    const times = after?.conditions?.map(({ lastTransitionTime }) => Date.parse(lastTransitionTime) - NOW);
    assert.deepEqual(times, [0, 5_000]);
    assert.deepEqual(eventsOf(before, after!), []);
    assert.deepEqual(
      eventsOf({}, after!).map(({ type, reason }) => `${type} ${reason}`),
      ['Normal Accepted'],
    );
  });

  it('refuses the later of two that contradict each other', () => {
    const spec = (action: string) => ({ ...SPEC, priority: 7, ingress: [{ action, from: [{ entity: 'world' }] }] });
    const [older, younger] = ['z-older', 'a-younger'].map((name, i) =>
      policy('WorkloadNetworkPolicy', name, spec(i === 0 ? 'Allow' : 'Deny')),
    );
    const judged = judgePolicies([younger!, older!]);
    assert.deepEqual(
      judged.map(({ object, errors }) => `${object.name} ${errors[0]?.code ?? 'good'}`),
      ['z-older good', 'a-younger PRIORITY_CONFLICT'],
    );
  });
});

describe('generated profiles', () => {
  const workloads = workloadsOf(PODS, DEPLOYMENT, 'local');
  const hardening = policy('HardeningPolicy', 'web', {
    subject: { workload: 'Deployment/web' },
    rules: [{ name: 'ready', ready: ['recommended'] }],
  });
  const other = policy('HardeningPolicy', 'nobody', {
    subject: { workload: 'Deployment/nobody' },
    rules: [{ ready: ['recommended'] }],
  });

  it('are one for each workload that a policy selects, rule by rule', () => {
    const objects = new ProfileBuilder().desired(workloads, judgePolicies([hardening, other]));
    assert.deepEqual([...objects.keys()], ['shop/deployment-web']);
    const [object] = objects.values();
    assert.ok(hardeningProfileSchema.safeParse(object).success);
    const [profile] = object?.spec.profiles ?? [];
    assert.deepEqual(
      profile?.policies.map(({ name }) => name),
      ['shop/web'],
    );
    assert.ok((profile?.rules.length ?? 0) > 10);
    assert.match(profile?.profile ?? '', /^(?!0{16})[0-9a-f]{16}$/);
    assert.deepEqual(
      profile?.containers.map(({ name }) => name),
      ['app'],
    );
  });

  it('are the same again while nothing changes', () => {
    const builder = new ProfileBuilder();
    const [first, second] = [0, 1].map(() => builder.desired(workloads, judgePolicies([hardening])));
    assert.deepEqual(
      [...(first?.values() ?? [])].map(({ spec }) => spec),
      [...(second?.values() ?? [])].map(({ spec }) => spec),
    );
  });

  const said = (node: string, state: 'Enforced' | 'Failed', active = true) =>
    report(node, NOW, [{ kind: 'HardeningPolicy', name: 'web', state }], active);
  const shortfall = { node: 'two', reported: 1, running: 2, pods: 1 };
  const hidden: Lasting = new Map([['HardeningPolicy/shop/web', new Map([['two', shortfall]])]]);
  const cases: [what: string, reports: Report[], expected: string, short?: Lasting][] = [
    ['in force on every node', [said('one', 'Enforced'), said('two', 'Enforced')], 'True Enforced 2 2 0'],
    [
      'waited for where a node does not see all of its containers',
      [said('one', 'Enforced'), said('two', 'Enforced')],
      'False Pending 2 1 0',
      hidden,
    ],
    ['waited for', [said('one', 'Enforced')], 'False Pending 2 1 0'],
    ['failed on a node', [said('one', 'Enforced'), said('two', 'Failed')], 'False Failed 2 1 1'],
    [
      'on a node that cannot enforce hardening',
      [said('one', 'Enforced'), said('two', 'Enforced', false)],
      'False Failed 2 1 1',
    ],
  ];
  for (const [what, reports, expected, short = new Map()] of cases) {
    it(`are told to be ${what}`, () => {
      const [object] = new ProfileBuilder().desired(workloads, judgePolicies([hardening])).values();
      const fresh = freshReports(reports, NODES, NOW);
      const told = { reports: fresh, byPolicy: byPolicy(fresh), short };
      const input = { ...told, generation: 1, before: undefined, now: NOW };
      const { conditions = [], nodes } = profileStatus(object!, input);
      assert.equal(conditions[0]?.status, 'True');
      const { status, reason } = conditions[1]!;
      assert.equal(`${status} ${reason} ${nodes?.total} ${nodes?.enforced} ${nodes?.failed}`, expected);
    });
  }
});

describe('a node that sees fewer containers than run there', () => {
  const two = (more: Partial<Parameters<typeof pod>[0]> = {}) =>
    ['a', 'b'].map((name) => pod({ name, owner: ['ReplicaSet', 'web-1'], ...more }));
  const sees = (containers: number, state: 'Enforced' | 'Staged' = 'Enforced') => [
    report('one', NOW, [{ name: 'web', state, containers }]),
  ];
  const told = (pods: ReturnType<typeof two>, containers: number, spec: object = SPEC) =>
    enforced(sees(containers), spec, pods);

  const cases: [what: string, pods: ReturnType<typeof two>, containers: number, expected: string][] = [
    ['sees all', two(), 2, 'True Enforced 1 1 0 2 2'],
    ['sees one of two pods', two(), 1, 'False Degraded 1 0 0 2 0'],
    ['sees all but a side container', two({ containers: ['app', 'side'] }), 3, 'False Degraded 1 0 0 4 0'],
    [
      'does not see what begins a pod',
      two({ init: ['make'], started: ['make', 'app'] }),
      2,
      'False Degraded 1 0 0 4 0',
    ],
    [
      'does not see what looks into a pod',
      two({ ephemeral: ['look'], started: ['look', 'app'] }),
      2,
      'False Degraded 1 0 0 4 0',
    ],
    [
      'does not see what has not begun',
      two({ containers: ['app', 'side'], started: ['app'] }),
      2,
      'True Enforced 1 1 0 4 4',
    ],
    [
      'does not see what is about to go',
      [...two(), pod({ name: 'c', owner: ['ReplicaSet', 'web-1'], ending: true })],
      2,
      'True Enforced 1 1 0 2 2',
    ],
    [
      'does not see what has ended',
      [...two(), pod({ name: 'c', owner: ['ReplicaSet', 'web-1'], phase: 'Succeeded' })],
      2,
      'True Enforced 1 1 0 2 2',
    ],
  ];
  for (const [what, pods, containers, expected] of cases) {
    it(`is told of truly where it ${what}`, () => assert.equal(told(pods, containers), expected));
  }

  it('counts for what it is asked about: containers of that name, on nodes of that name', () => {
    const side = { ...SPEC, subject: { workload: 'Deployment/web', container: 'side' } };
    const pods = two({ containers: ['app', 'side'] });
    assert.equal(told(pods, 2, side), 'True Enforced 1 1 0 2 2');
    assert.equal(told(pods, 1, side), 'False Degraded 1 0 0 2 0');
  });

  it('is named, with what it sees and how many pods there are', () => {
    const { conditions = [] } = statusOf(sees(1), SPEC, two({ containers: ['app', 'side'] }));
    const message = 'the agent of one sees 1 of 4 containers that run there in 2 pods: does it ask their runtime?';
    assert.equal(conditions[1]?.message, message);
    assert.deepEqual(
      eventsOf({}, { conditions }).map(({ type, reason }) => `${type} ${reason}`),
      ['Normal Accepted', 'Warning Degraded'],
    );
  });

  it('is no less so where the policy is staged', () => {
    assert.equal(enforced(sees(1, 'Staged'), { ...SPEC, mode: 'Stage' }, two()), 'False Degraded 1 0 0 2 0');
  });

  const short = { node: 'one', reported: 1, running: 2, pods: 2 };
  const whole: FoundShortfalls = { short: [], settled: new Set(['one']), said: false };
  const looks = (...all: [seconds: number, found: Partial<FoundShortfalls>][]): string => {
    const shortfalls = new Shortfalls();
    return all
      .map(([seconds, found]) => {
        const lasting = shortfalls.look(new Map([['web', { ...whole, ...found }]]), seconds * 1_000);
        return [...(lasting.get('web')?.keys() ?? [])].join() || '-';
      })
      .join(' ');
  };
  const SHORT = { short: [short] };

  it('is told of after a minute, and not before', () => {
    const last = LASTING_MS / 1_000;
    assert.equal(looks([0, SHORT], [30, SHORT], [last - 1, SHORT], [last, SHORT]), '- - - one');
  });

  it('is not told of while containers come and go: each look without it begins anew', () => {
    assert.equal(looks([0, SHORT], [50, SHORT], [55, {}], [61, SHORT], [120, SHORT], [121, SHORT]), '- - - - - one');
  });

  it('is told of until it has seen all for a minute', () => {
    assert.equal(
      looks([0, SHORT], [60, SHORT], [70, {}], [100, SHORT], [130, {}], [159, {}], [160, {}]),
      '- one one one one one -',
    );
  });

  it('is told of no more once the policy is not its own to enforce', () => {
    assert.equal(looks([0, SHORT], [60, SHORT], [61, { settled: new Set() }], [62, SHORT]), '- one - -');
  });

  it('is told of at once by a new leader, where the former one said so', () => {
    assert.equal(looks([0, { ...SHORT, said: true }]), 'one');
    assert.equal(looks([0, { said: true }], [10, { ...SHORT, said: true }]), '- one');
  });

  it('is forgotten with the policy', () => {
    const shortfalls = new Shortfalls();
    const found = new Map([['web', { ...whole, ...SHORT }]]);
    shortfalls.look(found, 0);
    shortfalls.look(new Map(), 30_000);
    assert.equal(shortfalls.look(found, 60_000).size, 0);
  });
});
