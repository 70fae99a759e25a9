import assert from 'node:assert/strict';
import { HardeningAnswers } from '../../src/agent/hardening/answers.ts';
import { ContainerHardening, instanceOf } from '../../src/agent/hardening/containers.ts';
import { compileWithCatalogue } from '../../src/agent/hardening/open.ts';
import { hardeningReadings } from '../../src/agent/hardening/readings.ts';
import { type CompileProfile, ProfileShelf } from '../../src/agent/hardening/shelf.ts';
import type {
  HardenedContainer,
  HardeningStatus,
  HardeningTables,
  ViolationCount,
} from '../../src/datapath/hardening-port.ts';
import { ExecutableBits } from '../../src/hardening/executables.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { HardeningPolicy } from '../../src/model/hardening.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';

/**
 * Keeps in memory what was asked for: for what the agent asks, and when. What the kernel does with it is tested with the
 * kernel (test/kernel/hardening).
 */
class RecordingTables implements HardeningTables {
  active = true;
  reason?: string;
  readonly missing = new Map<string, string>();
  readonly asked: (readonly HardenedContainer[])[] = [];
  readonly kept: boolean[] = [];
  readonly known = new Map<bigint, HardenedContainer>();
  readonly counts: ViolationCount[] = [];
  refuse = new Set<string>();

  async apply(
    containers: readonly HardenedContainer[],
    { keepOthers = false } = {},
  ): Promise<readonly HardeningStatus[]> {
    this.asked.push(containers);
    this.kept.push(keepOthers);
    for (const container of containers) this.known.set(container.instance, container);
    return this.status();
  }

  knows(instance: bigint): boolean {
    return this.active && this.known.has(instance);
  }

  status(): readonly HardeningStatus[] {
    return [...this.known.values()].map(({ id, instance, profile }, index) => {
      const enforced = this.active && !this.refuse.has(id);
      const failure = enforced ? {} : { error: this.reason ?? 'no memory' };
      return {
        id,
        instance,
        subject: index + 1,
        profile: profile.id,
        wanted: profile.id,
        tasks: 3,
        enforced,
        ...failure,
      };
    });
  }

  async countTasks(): Promise<void> {}

  counters(): readonly ViolationCount[] {
    return this.counts;
  }

  drift(): [] {
    return [];
  }

  /** Ids and profiles of the last round. */
  get last(): readonly (readonly [string, bigint])[] {
    return (this.asked.at(-1) ?? []).map(({ id, profile }) => [id, profile.id] as const);
  }
}

function endpoint(id: string, name: string, labels: Record<string, string> = {}): Endpoint {
  const identity = deriveIdentity('test', {
    workload: { namespace: 'shop', kind: 'Service', name },
    container: '',
    labels,
  });
  const cgroup = { id: BigInt(`0x${Buffer.from(id).toString('hex')}`), path: `/docker/${id}`, level: 2 };
  const container = { id, name: `${name}-1`, runtime: 'docker', identity, cgroup, pid: 1, startedAt: 0 } as const;
  return {
    id,
    mode: 'interface',
    identity,
    containers: [container],
    netns: 1,
    interfaces: [],
    addresses: [],
    ports: [],
  };
}

function policies(...specs: readonly string[]): HardeningPolicy[] {
  const text = specs.map(
    (spec, index) => `apiVersion: sallyport.dev/v1alpha1
kind: HardeningPolicy
metadata: {namespace: shop, name: p${index}}
spec: ${spec}
`,
  );
  const { hardening, problems } = parsePolicyFile('x', Buffer.from(text.join('---\n')));
  assert.deepEqual(problems, []);
  return hardening.map(({ policy }) => policy);
}

const SHADOW =
  '{subject: {workload: Service/web}, rules: [{name: shadow, action: Deny, files: {paths: [/etc/shadow]}}]}';
const GROUP = '{subject: {workload: Service/web}, rules: [{action: Deny, ready: [baseline]}]}';

function make(compile: CompileProfile = compileWithCatalogue) {
  const tables = new RecordingTables();
  let compiled = 0;
  const counted: CompileProfile = (...args) => {
    compiled += 1;
    return compile(...args);
  };
  const shelf = new ProfileShelf(counted);
  const mountsOf = () => ({ root: { device: 1, inode: 0n }, anchors: [] });
  const hardening = new ContainerHardening({ tables, shelf, mountsOf });
  return { tables, hardening, compiled: () => compiled };
}

describe('hardening in the agent', () => {
  const [web, api] = [endpoint('c-web', 'web'), endpoint('c-api', 'api')];
  const asked = (
    hardening: readonly HardeningPolicy[],
    endpoints: readonly Endpoint[] = [web, api],
    complete = true,
  ) => ({
    endpoints,
    hardening,
    complete,
  });

  it('is of the containers that policies select, and of no others', async () => {
    const { tables, hardening } = make();
    await hardening.apply(asked(policies(SHADOW)), false);
    assert.deepEqual(
      tables.last.map(([id]) => id),
      ['c-web'],
    );
    const [protection] = hardening.protections();
    assert.deepEqual([protection?.container.id, protection?.status.enforced], ['c-web', true]);
    assert.equal(tables.asked[0]?.[0]?.instance, instanceOf(web.containers[0]!));
  });

  it('has a profile compiled once for many containers and rounds, anew when a policy changes', async () => {
    const { tables, hardening, compiled } = make();
    const [same] = [policies(SHADOW)];
    const many = [web, { ...endpoint('c-web2', 'web') }];
    await hardening.apply(asked(same, many), false);
    await hardening.apply(asked(same, [...many]), true);
    assert.equal(compiled(), 1);
    assert.equal(new Set(tables.last.map(([, id]) => id)).size, 1);
    await hardening.apply(asked(policies(SHADOW.replace('shadow]', 'gshadow]')), many), false);
    assert.equal(compiled(), 2);
    assert.notDeepEqual(
      tables.last,
      tables.asked[0]?.map(({ id, profile }) => [id, profile.id]),
    );
  });

  it('asks the kernel for nothing where nothing has changed, unless all is to be looked at anew', async () => {
    const { tables, hardening } = make();
    const wanted = asked(policies(SHADOW));
    await hardening.apply(wanted, false);
    await hardening.apply({ ...wanted, hardening: [...wanted.hardening] }, false);
    assert.equal(tables.asked.length, 1);
    await hardening.apply(wanted, true);
    assert.equal(tables.asked.length, 2);
  });

  it('gives a container that no policy selects any more a profile that allows all, and takes none from it', async () => {
    const { tables, hardening } = make();
    await hardening.apply(asked(policies(SHADOW)), false);
    const [[, strict] = []] = tables.last;
    await hardening.apply(asked([]), false);
    assert.deepEqual(tables.last, [['c-web', compileWithCatalogue([], { executables: new ExecutableBits() }).id]]);
    assert.notEqual(tables.last[0]?.[1], strict);
  });

  it('keeps what it cannot compile by the profile before, tells why, and goes on with the others', async () => {
    let broken = false;
    const { tables, hardening } = make((...args) => {
      if (broken) throw new RangeError('too many states');
      return compileWithCatalogue(...args);
    });
    await hardening.apply(asked(policies(SHADOW)), false);
    const before = tables.last;
    broken = true;
    const failing = hardening.apply(asked(policies(GROUP)), false);
    await assert.rejects(failing, /Cannot harden 1 containers; web-1: too many states/);
    assert.deepEqual(tables.last, before);
    assert.equal(hardening.protections()[0]?.status.error, 'too many states');
  });

  it('tries again what the kernel refused, without anything having changed', async () => {
    const { tables, hardening } = make();
    const wanted = asked(policies(SHADOW));
    tables.refuse.add('c-web');
    await assert.rejects(hardening.apply(wanted, false), /Cannot harden 1 containers; web-1: no memory/);
    tables.refuse.clear();
    await hardening.apply(wanted, false);
    assert.equal(tables.asked.length, 2);
  });

  it('keeps others while some source has not told all, and the containers it knew', async () => {
    const { tables, hardening } = make();
    await hardening.apply(asked(policies(SHADOW)), false);
    await hardening.apply(asked(policies(SHADOW), [api], false), false);
    assert.deepEqual(tables.kept, [false, true]);
    assert.deepEqual(
      tables.last.map(([id]) => id),
      ['c-web'],
    );
    await hardening.apply(asked(policies(SHADOW), [api], true), false);
    assert.deepEqual(tables.last, []);
  });

  it('fails no round where the kernel cannot, and says so wherever it is asked', async () => {
    const { tables, hardening } = make();
    tables.active = false;
    tables.reason = 'no BPF LSM';
    await hardening.apply(asked(policies(SHADOW)), false);
    const answers = new HardeningAnswers(tables, hardening);
    assert.deepEqual(answers.status(), {
      active: false,
      reason: 'no BPF LSM',
      containers: { total: 1, enforced: 0, failed: 1 },
      profiles: 1,
      missing: [],
    });
    assert.deepEqual(answers.problems(), ['1 containers are not hardened: no BPF LSM']);
    const active = hardeningReadings({ tables, hardening }).find(({ name }) => name === 'sallyport_hardening_active');
    assert.deepEqual(active?.read(), [{ labels: {}, value: 0 }]);
  });

  it('proves what a container is judged by, with rules by name and what they refused', async () => {
    const { tables, hardening } = make();
    await hardening.apply(asked(policies(SHADOW, GROUP)), false);
    const profile = tables.asked[0]?.[0]?.profile;
    const answers = new HardeningAnswers(tables, hardening);
    const rule = [...(hardening.protections()[0]?.profile?.rules ?? [])].find(([, ref]) => ref.rule === 'shadow');
    tables.counts.push({ container: 'c-web', rule: rule![0], staged: false, count: 4n, lastAt: 1000 });
    tables.counts.push({ container: 'c-web', rule: 0, staged: false, count: 2n, lastAt: 1000 });
    for (const name of ['c-web', 'web-1', 'web', 'Service/web', 'shop/Service/web']) {
      const found = await answers.profile(name);
      assert.equal(found.id, 'c-web', name);
    }
    await assert.rejects(answers.profile('db'), /hardened container "db" was not found/);
    const found = await answers.profile('web');
    assert.equal(found.inKernel, profile?.id.toString(16).padStart(16, '0'));
    assert.deepEqual([found.wanted, found.enforced, found.tasks], [found.inKernel, true, 3]);
    assert.deepEqual(found.policies, ['shop/p0', 'shop/p1']);
    assert.deepEqual([found.violations, found.otherViolations], [6, 2]);
    const shadow = found.ruleList.find(({ name }) => name === 'shadow');
    assert.deepEqual([shadow?.policy, shadow?.action, shadow?.violations], ['shop/p0', 'Deny', 4]);
    assert.ok(found.ruleList.filter(({ ready }) => ready !== undefined).length > 5, 'a group stands for its rules');
    const totals = hardeningReadings({ tables, hardening }).find(({ name }) => name.endsWith('violations_total'));
    assert.deepEqual(totals?.read(), [
      { labels: { mode: 'Enforce', verdict: 'Deny' }, value: 4n },
      { labels: { mode: 'Enforce', verdict: 'default' }, value: 2n },
    ]);
  });
});

describe('the sums of violations', () => {
  it('never go down: not when a container goes, nor when its rule does', async () => {
    const { tables, hardening } = make();
    const web = endpoint('c-web', 'web');
    await hardening.apply({ endpoints: [web], hardening: policies(SHADOW), complete: true }, false);
    const [rule = 0] = hardening.protections()[0]?.profile?.rules.keys() ?? [];
    const totals = hardeningReadings({ tables, hardening }).find(({ name }) => name.endsWith('violations_total'));
    const count = (container: string, counted: bigint): void => {
      tables.counts.splice(0);
      tables.counts.push({ container, rule, staged: false, count: counted, lastAt: 0 });
    };
    const denied = (value: bigint) => [{ labels: { mode: 'Enforce', verdict: 'Deny' }, value }];
    count('c-web', 4n);
    assert.deepEqual(totals?.read(), denied(4n));
    count('c-web', 9n);
    assert.deepEqual(totals?.read(), denied(9n));
    count('', 9n);
    await hardening.apply({ endpoints: [], hardening: [], complete: true }, false);
    assert.deepEqual(totals?.read(), denied(9n));
    count('', 2n);
    assert.deepEqual(totals?.read(), [...denied(9n), { labels: { mode: 'Enforce', verdict: 'unknown' }, value: 2n }]);
  });
});

describe('this life of a container', () => {
  it('is another one in another cgroup, and the same for whoever asks', () => {
    const of = (id: string, cgroup: bigint) => instanceOf({ id, cgroup: { id: cgroup, path: '/x', level: 1 } });
    assert.equal(of('a', 1n), of('a', 1n));
    assert.notEqual(of('a', 1n), of('a', 2n));
    assert.notEqual(of('a', 1n), of('b', 1n));
  });
});
