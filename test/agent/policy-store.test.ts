import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../../src/agent/errors.ts';
import { PolicyStore } from '../../src/agent/policy-store.ts';
import { policyName } from '../../src/model/policy.ts';

function policy(name: string, port: number | string = 80): string {
  return `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {namespace: shop, name: ${name}}
spec:
  subject: {workload: Service/web}
  ingress:
    - action: Allow
      ports: [{protocol: TCP, port: ${port}}]
`;
}

function hardening(name: string, path = '/etc/**'): string {
  return `apiVersion: sallyport.dev/v1alpha1
kind: HardeningPolicy
metadata: {namespace: shop, name: ${name}}
spec:
  subject: {workload: Service/web}
  rules:
    - ready: [baseline]
    - files: {paths: ["${path}"], access: [write]}
`;
}

interface Running {
  readonly store: PolicyStore;
  readonly problems: string[];
  readonly faults: string[];
}

describe('the store of policies', () => {
  let root: string;
  let directory: string;
  const running: { store: PolicyStore; stop: AbortController }[] = [];

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'sallyport-store-'));
    directory = join(root, 'policies');
  });
  afterEach(async () => {
    for (const { store, stop } of running.splice(0)) {
      stop.abort();
      await store.close();
    }
    await rm(root, { recursive: true, force: true });
  });

  async function start(): Promise<Running> {
    const problems: string[] = [];
    const faults: string[] = [];
    const stop = new AbortController();
    const store = new PolicyStore({
      directory,
      state: join(root, 'state'),
      now: Date.now,
      onChange: () => {},
      onProblem: (problem) => problems.push(problem.code),
      onFault: (error) => faults.push(error.message),
    });
    running.push({ store, stop });
    await store.start(stop.signal);
    return { store, problems, faults };
  }

  const names = (store: PolicyStore): string[] => store.ledger.policies.map((located) => policyName(located.policy));
  const until = async (check: () => boolean): Promise<void> => {
    while (!check()) await sleep(2);
  };
  const refusal = async (work: Promise<unknown>): Promise<AgentError> => {
    const error = await work.then(
      () => assert.fail('was accepted'),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof AgentError, String(error));
    return error;
  };

  it('stores what is applied as files, and reads it back into force', async () => {
    const { store } = await start();
    const changes = await store.apply([{ file: 'x', text: `${policy('a')}---\n${policy('b')}` }]);
    assert.deepEqual(
      changes.map(({ name, action }) => [name, action]),
      [
        ['a', 'created'],
        ['b', 'created'],
      ],
    );
    assert.deepEqual(names(store), ['shop/a', 'shop/b']);
    assert.deepEqual((await readdir(directory)).sort(), ['shop.a.applied.yaml', 'shop.b.applied.yaml']);
  });

  it('says what changed, and leaves alone what did not', async () => {
    const { store } = await start();
    await store.apply([{ file: 'x', text: policy('a') }]);
    const again = await store.apply([{ file: 'x', text: `# a comment\n${policy('a')}` }]);
    assert.deepEqual(
      again.map(({ action }) => action),
      ['unchanged'],
    );
    const other = await store.apply([{ file: 'x', text: policy('a', 81) }]);
    assert.deepEqual(
      other.map(({ action }) => action),
      ['configured'],
    );
    assert.equal((await store.delete('a', {})).action, 'deleted');
    assert.deepEqual(names(store), []);
  });

  it('stores hardening policies beside network policies of the same name', async () => {
    const { store } = await start();
    const kinds = (): string[] => store.ledger.hardening.map(({ policy: { kind, name } }) => `${kind} ${name}`);
    const changes = await store.apply([{ file: 'x', text: `${hardening('a')}---\n${policy('a')}` }]);
    assert.deepEqual(
      changes.map(({ kind, action }) => [kind, action]),
      [
        ['WorkloadNetworkPolicy', 'created'],
        ['HardeningPolicy', 'created'],
      ],
    );
    assert.deepEqual((await readdir(directory)).sort(), ['_hardening.shop.a.applied.yaml', 'shop.a.applied.yaml']);
    assert.deepEqual([names(store), kinds()], [['shop/a'], ['HardeningPolicy a']]);
    const again = await store.apply([{ file: 'x', text: `${hardening('a', '/usr/**')}---\n${policy('a')}` }]);
    assert.deepEqual(
      again.map(({ action }) => action),
      ['unchanged', 'configured'],
    );
    assert.equal((await refusal(store.delete('a', {}))).code, 'AMBIGUOUS');
    assert.equal((await store.delete('a', { kind: 'HardeningPolicy' })).kind, 'HardeningPolicy');
    assert.deepEqual([names(store), kinds()], [['shop/a'], []]);
  });

  it('says before anything changes which ready rule there is not', async () => {
    const { store } = await start();
    const text = `${policy('a')}---\n${hardening('a').replace('baseline', 'bsaeline')}`;
    const error = await refusal(store.apply([{ file: 'x.yaml', text }]));
    assert.equal(error.code, 'INVALID');
    assert.match(error.faults?.[0]?.message ?? '', /"bsaeline" in rule 0.*did you mean baseline/);
    assert.deepEqual(names(store), []);
  });

  it('keeps the last good version of hardening policies, too', async () => {
    const first = await start();
    await first.store.apply([{ file: 'x', text: `${hardening('a')}---\n${policy('a')}` }]);
    const before = first.store.ledger;
    for (const { store, stop } of running.splice(0)) {
      stop.abort();
      await store.close();
    }
    await writeFile(join(directory, '_hardening.shop.a.applied.yaml'), hardening('a', '/etc/../x'));
    const { store, problems } = await start();
    assert.deepEqual(problems, ['BAD_VALUE']);
    assert.deepEqual(store.ledger.hardening, before.hardening);
    assert.equal(store.ledger.errors[0]?.inForce, 'the version before');
  });

  it('refuses to change or delete what people keep in files of their own', async () => {
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, 'mine.yaml'), policy('a'));
    const { store } = await start();
    assert.deepEqual(names(store), ['shop/a']);
    for (const work of [store.apply([{ file: 'x', text: policy('a', 81) }]), store.delete('a', {})]) {
      const error = await refusal(work);
      assert.equal(error.code, 'CONFLICT');
      assert.match(error.message, /mine\.yaml/);
    }
    assert.deepEqual(
      (await store.apply([{ file: 'x', text: policy('a') }])).map(({ action }) => action),
      ['unchanged'],
    );
  });

  it('changes nothing when a document of several is bad, and names every fault', async () => {
    const { store } = await start();
    const error = await refusal(store.apply([{ file: 'in.yaml', text: `${policy('a')}---\n${policy('b', 70_000)}` }]));
    assert.equal(error.code, 'INVALID');
    assert.equal(error.faults[0]?.file, 'in.yaml');
    assert.equal(error.faults[0]?.line, 17);
    assert.deepEqual(await readdir(directory), []);
    assert.equal((await refusal(store.apply([{ file: 'in.yaml', text: '# nothing' }]))).code, 'INVALID');
    assert.equal(
      (await refusal(store.apply([{ file: 'x', text: `${policy('a')}---\n${policy('a')}` }]))).code,
      'INVALID',
    );
    assert.equal((await refusal(store.delete('zzz', {}))).code, 'NOT_FOUND');
  });

  it('takes what is applied at once one after the other', async () => {
    const { store } = await start();
    await Promise.all(Array.from({ length: 8 }, (_, i) => store.apply([{ file: 'x', text: policy('a', i + 1) }])));
    const stored = store.ledger.policies[0]?.policy.ingress?.rules[0]?.ports?.[0]?.port;
    assert.equal(stored, 8);
  });

  it('keeps the last good version of a file that was bad when the agent started', async () => {
    const first = await start();
    await writeFile(join(directory, 'mine.yaml'), policy('a', 81));
    await until(() => names(first.store).length === 1);
    const last = running.pop();
    last?.stop.abort();
    await last?.store.close();
    await writeFile(join(directory, 'mine.yaml'), policy('a', '"no such"'));
    const { store, problems } = await start();
    assert.deepEqual(names(store), ['shop/a']);
    assert.deepEqual(problems, ['BAD_VALUE']);
    assert.equal(store.ledger.errors[0]?.inForce, 'the version before');
  });

  it('does not bring back a file that was removed while no agent ran', async () => {
    const first = await start();
    await first.store.apply([{ file: 'x', text: policy('a') }]);
    const last = running.pop();
    last?.stop.abort();
    await last?.store.close();
    await rm(join(directory, 'shop.a.applied.yaml'));
    const { store } = await start();
    assert.deepEqual(names(store), []);
  });

  it('reports a fault once while it lasts, and anew when it comes back', async () => {
    const { store, problems } = await start();
    const place = join(directory, 'mine.yaml');
    await writeFile(place, policy('a', 70_000));
    await until(() => problems.length === 1);
    await writeFile(join(directory, 'other.yaml'), policy('b'));
    await until(() => names(store).includes('shop/b'));
    assert.equal(problems.length, 1);
    await rename(place, join(root, 'aside'));
    await until(() => store.ledger.errors.length === 0);
    await rename(join(root, 'aside'), place);
    await until(() => problems.length === 2);
  });

  it('works on when last good versions cannot be kept, and says so', async () => {
    await mkdir(join(root, 'state'));
    await writeFile(join(root, 'state', 'policies'), 'in the way');
    const { store, faults } = await start();
    await store.apply([{ file: 'x', text: policy('a') }]);
    await until(() => faults.length > 1);
    assert.deepEqual(names(store), ['shop/a']);
    assert.match(faults[0] ?? '', /last good/);
    await chmod(root, 0o700);
  });

  /** Long enough to be read in a thread. */
  const large = (name: string): string => {
    const rules = Array.from(
      { length: 2_000 },
      (_, i) => `    - {action: Allow, ports: [{protocol: TCP, port: ${i + 1}}]}`,
    );
    return policy(name).replace(/ {4}- action: [\s\S]*/, `${rules.join('\n')}\n`);
  };

  it('has a large file in force, or what is wrong with it', async () => {
    const { store, problems } = await start();
    const rules = (): number | undefined => store.ledger.policies[0]?.policy.ingress?.rules.length;
    await writeFile(join(directory, 'a.yaml'), large('a'));
    await until(() => rules() === 2_000);
    await writeFile(join(directory, 'a.yaml'), large('a').replace('port: 1999}', 'port: 70000}'));
    await until(() => problems.length > 0);
    assert.deepEqual([problems, rules()], [['BAD_VALUE'], 2_000]);
  }).timeout(60_000);

  it('can be closed while it reads a large file', async () => {
    const { store } = await start();
    await writeFile(join(directory, 'a.yaml'), large('a'));
    await sleep(60);
    await store.close();
    assert.deepEqual(names(store), []);
    const error = await refusal(store.plan([{ file: 'x', text: policy('b') }]));
    assert.equal(error.code, 'NOT_READY');
  }).timeout(60_000);
});
