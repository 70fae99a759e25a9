import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ReportInput, reportOf } from '../../src/agent/kubernetes/report.ts';
import { Reporter } from '../../src/agent/kubernetes/reporter.ts';
import { type Ledger, settle } from '../../src/agent/policy-ledger.ts';
import type { AnyPolicy } from '../../src/model/any-policy.ts';
import { LABELS_CUT, LABELS_LABEL } from '../../src/model/cut-labels.ts';
import type { Container, Endpoint } from '../../src/model/endpoint.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import { type NodeReportStatus, nodeReportSchema } from '../../src/model/schema/node-report.ts';
import { KubernetesError } from '../../src/sources/kubernetes/error.ts';
import { projectPolicy } from '../../src/sources/kubernetes/policies.ts';
import { HARDENING_POLICIES, WORKLOAD_NETWORK_POLICIES } from '../../src/sources/kubernetes/resource.ts';

function endpoint(name: string, more: Partial<Endpoint> = {}, labels: Record<string, string> = {}): Endpoint {
  const identity = deriveIdentity('local', {
    workload: { namespace: 'shop', kind: 'Deployment', name },
    container: 'main',
    labels,
  });
  const container = { id: name, name, identity } as Container;
  return { id: name, mode: 'interface', identity, containers: [container], ...more } as Endpoint;
}

const cluster = (name: string, generation: number, spec: object, resource = WORKLOAD_NETWORK_POLICIES) =>
  projectPolicy(resource, { metadata: { namespace: 'shop', name, generation }, spec });
const network = (name: string, more: object = {}, generation = 3) =>
  cluster(name, generation, { subject: { workload: `Deployment/${name}` }, ingress: [], ...more });
const hardening = (name: string) =>
  cluster(
    name,
    2,
    { subject: { workload: `Deployment/${name}` }, rules: [{ ready: ['baseline'] }] },
    HARDENING_POLICIES,
  );

function input(policies: readonly ReturnType<typeof cluster>[], more: Partial<ReportInput> = {}): ReportInput {
  const ledger =
    more.ledger ??
    settle(
      new Map(),
      policies.map(({ file }) => file),
      '/p',
    );
  const applied = new Set<AnyPolicy>([...ledger.policies, ...ledger.hardening].map(({ policy }) => policy));
  return {
    now: 60_000,
    version: '1',
    startedAt: 0,
    ready: true,
    kernel: '6.1',
    hardening: { active: true },
    endpoints: [endpoint('web'), endpoint('db')],
    endpointStatus: ['web', 'db'].map((id) => ({ id, enforced: true })) as never,
    ledger,
    applied,
    cluster: policies,
    hardened: [],
    ...more,
  };
}

const brief = ({ policies }: NodeReportStatus): string[] =>
  policies.map(({ name, generation, state, containers }) => `${name} ${generation} ${state} ${containers}`);

describe('what a node reports', () => {
  it('is what its schema says', () => {
    const report = reportOf(input([network('web'), hardening('db')]));
    assert.deepEqual(nodeReportSchema.parse({ spec: { node: 'a' }, status: report }).status, report);
    assert.equal(report.observedAt, '1970-01-01T00:01:00.000Z');
    assert.deepEqual(report.endpoints, { total: 2, enforced: 2, unprotected: 0 });
  });

  const cases: readonly { name: string; input: ReportInput; said: string[]; message?: RegExp }[] = [
    { name: 'enforced', input: input([network('web')]), said: ['web 3 Enforced 1'] },
    { name: 'staged', input: input([network('web', { mode: 'Stage' })]), said: ['web 3 Staged 1'] },
    { name: 'nothing of what selects nothing', input: input([network('other')]), said: [] },
    {
      name: 'nothing of what no round has applied yet',
      input: input([network('web')], { applied: new Set() }),
      said: [],
    },
    {
      name: 'failed where somebody selected is not judged',
      input: input([network('web')], { endpointStatus: [{ id: 'web', enforced: false, error: 'EBUSY' }] as never }),
      said: ['web 3 Failed 1'],
      message: /EBUSY/,
    },
    {
      name: 'failed where somebody selected cannot be judged',
      input: input([network('web')], { endpoints: [endpoint('web', { mode: 'unprotected', reason: 'macvlan' })] }),
      said: ['web 3 Failed 1'],
      message: /macvlan/,
    },
    {
      name: 'failed of hardening where the kernel has none',
      input: input([hardening('web')], { hardening: { active: false, reason: 'no BPF LSM' } }),
      said: ['web 2 Failed 1'],
      message: /no BPF LSM/,
    },
    {
      name: 'hardened containers',
      input: input([hardening('web')], {
        hardened: [{ container: { id: 'web' }, policies: [], status: { enforced: true } }],
      }),
      said: ['web 2 Enforced 1'],
    },
  ];
  for (const { name, input: given, said, message } of cases) {
    it(`says ${name}`, () => {
      const report = reportOf(given);
      assert.deepEqual(brief(report), said);
      if (message !== undefined) assert.match(report.policies[0]?.message ?? '', message);
    });
  }

  it('says what is wrong with a policy, and that its version before stays', () => {
    const former: Ledger = settle(new Map(), [network('web').file], '/p');
    const wrong = cluster('web', 4, { subject: 7 });
    const ledger = settle(former.accepted, [wrong.file], '/p');
    const report = reportOf(input([wrong], { ledger }));
    assert.deepEqual(brief(report), ['web 4 Rejected 1']);
    assert.match(report.policies[0]?.message ?? '', /in force: the version before/);
  });

  it('does not say of a version that is not in force yet what became of the one before', () => {
    const ledger = settle(new Map(), [network('web').file], '/p');
    assert.deepEqual(brief(reportOf(input([network('web', { mode: 'Stage' }, 4)], { ledger }))), []);
  });

  it('says 0 for the generation of what is in a file', () => {
    const ledger = settle(new Map(), [network('web').file], '/p');
    assert.deepEqual(brief(reportOf(input([], { ledger }))), ['web 0 Enforced 1']);
  });

  it('has failed where who is selected has more labels than are looked at', () => {
    const cut = endpoint('web', {}, { [LABELS_LABEL]: LABELS_CUT });
    const { policies } = reportOf(input([network('web'), network('db')], { endpoints: [cut, endpoint('db')] }));
    assert.deepEqual(
      policies.map(({ name, state }) => `${name} ${state}`),
      ['db Enforced', 'web Failed'],
    );
    assert.match(policies[1]?.message ?? '', /^shop\/Deployment\/web: .*labels/);
  });

  it('has failed where its rules come to more than tables hold', () => {
    const { policies } = reportOf(input([network('web')], { overloaded: new Map([['shop/web', 'size']]) }));
    assert.deepEqual(
      policies.map(({ state }) => state),
      ['Failed'],
    );
    assert.match(policies[0]?.message ?? '', /denied everything/);
    const others = reportOf(
      input([network('web')], {
        overloaded: new Map([
          ['web', 'size'],
          ['evil/web', 'share'],
        ]),
      }),
    );
    assert.deepEqual(
      others.policies.map(({ state }) => state),
      ['Enforced'],
    );
  });
});

describe('the reporter', () => {
  let reporter: Reporter;
  let report: NodeReportStatus;
  let written: (string | undefined)[];
  let faults: string[];
  let apply: (signal: AbortSignal) => Promise<void>;

  beforeEach(() => {
    report = reportOf(input([]));
    written = [];
    faults = [];
    apply = async () => {};
  });
  afterEach(() => reporter.close());

  function start(changeMs: number, beatMs: number): void {
    reporter = new Reporter({
      client: {
        apply: async (
          _: unknown,
          __: unknown,
          { subresource, signal }: { subresource?: string; signal: AbortSignal },
        ) => {
          await apply(signal);
          written.push(subresource);
        },
      } as never,
      node: 'node1',
      report: () => report,
      onFault: (error) => faults.push(error.message),
      changeMs,
      beatMs,
    });
    reporter.changed();
  }

  async function until(is: () => boolean): Promise<void> {
    while (!is()) await sleep(2);
  }

  it('makes the report once, and writes its status when that changed', async () => {
    start(5, 60_000);
    await until(() => written.length === 2);
    assert.deepEqual(written, [undefined, 'status']);
    report = { ...report, kernel: '6.2' };
    reporter.changed();
    reporter.changed();
    await until(() => written.length === 3);
    await sleep(30);
    assert.deepEqual(written, [undefined, 'status', 'status']);
  });

  it('writes again after a while, though nothing changed', async () => {
    start(1, 10);
    await until(() => written.length >= 5);
    assert.equal(reporter.counts.failed, 0);
  });

  it('finds what changed while it wrote', async () => {
    const writing = Promise.withResolvers<void>();
    apply = () => writing.promise;
    start(5, 60_000);
    await sleep(20);
    report = { ...report, kernel: '6.2' };
    reporter.changed();
    writing.resolve();
    await until(() => written.length === 3);
  });

  it('complains once, goes on trying, and makes the report again', async () => {
    apply = async () => {
      throw new KubernetesError('FORBIDDEN', 'no');
    };
    start(1, 5);
    await until(() => reporter.counts.failed >= 3);
    assert.deepEqual(faults, ['no']);
    assert.equal(reporter.failing, true);
    apply = async () => {};
    await until(() => written.length >= 2);
    assert.deepEqual(written.slice(0, 2), [undefined, 'status']);
    assert.equal(reporter.failing, false);
  });

  it('gives up what it waits for when it ends', async () => {
    apply = (signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
    start(1, 5);
    await sleep(20);
    await reporter.close();
    assert.deepEqual(faults, []);
  });
});
