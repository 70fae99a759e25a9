/** The manager against a real API server: what it refuses, generates, tells, and how it outlives its replicas. */

import { strict as assert } from 'node:assert';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { waitFor } from '../rig/cleanup.ts';
import { IMAGE } from '../rig/image.ts';
import { uniqueName } from '../rig/names.ts';
import { type Cluster, cluster } from './cluster.ts';
import { appliedAgain, asked, reports } from './managed.ts';
import { type Installation, install, isReady, type ManagerProcess, metric, startManager } from './manager-process.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const PORTS = [
  [19_743, 19_764],
  [19_744, 19_765],
] as const;

interface Resource {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly generation: number;
    readonly resourceVersion: string;
  };
  readonly spec: {
    readonly identities: readonly {
      readonly container?: string;
      readonly id: string;
      readonly labels: Readonly<Record<string, string>>;
    }[];
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly nodes?: { readonly total: number; readonly enforced: number; readonly failed: number };
    readonly containers?: { readonly selected: number; readonly enforced: number };
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason: string }[];
  };
}

const policy = (name: string, namespace: string, spec: string, kind = 'WorkloadNetworkPolicy'): string =>
  `apiVersion: sallyport.dev/v1alpha1
kind: ${kind}
metadata: { name: ${name}, namespace: ${namespace} }
spec: ${spec}
`;

describe('the manager of a cluster', function () {
  this.timeout(420_000);
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-manager-'));
  const name = uniqueName('manager')
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '-');
  const shop = `${name}-shop`;
  const ghosts = ['one', 'two'].map((one) => `${name}-${one}`);
  let ground: Cluster;
  let installation: Installation;
  let replicas: ManagerProcess[] = [];
  let brought: string[] = [];

  const get = async (what: string, where = shop): Promise<Resource> =>
    JSON.parse(await ground.kubectl('get', what, '-n', where, '-o', 'json')) as Resource;
  const apply = (yaml: string) => ground.attempt(['apply', '--validate=false', '-f', '-'], { input: yaml });
  const holder = async (): Promise<string> =>
    ground.kubectl('get', 'lease', name, '-n', name, '-o', 'jsonpath={.spec.holderIdentity}');
  const leader = async (): Promise<ManagerProcess | undefined> => {
    const held = await holder();
    return replicas.find(({ replica, process }) => process.running && held.startsWith(`${replica}_`));
  };
  const condition = ({ status }: Resource, type: string): string => {
    const found = status?.conditions?.find((one) => one.type === type);
    return found === undefined ? 'unsaid' : `${found.status} ${found.reason}`;
  };

  before(async () => {
    ground = await cluster();
    const files = readdirSync(join(ROOT, 'k8s/crds')).map((file) => file.replace('.yaml', '.sallyport.dev'));
    const known = await ground.kubectl('get', 'crds', '-o', 'name');
    brought = files.filter((file) => !known.includes(`/${file}\n`));
    // Servers before 1.25 know nothing of x-kubernetes-validations.
    await ground.kubectl('apply', '--validate=false', '-f', join(ROOT, 'k8s/crds'));
    await ground.kubectl('wait', '--for=condition=Established', 'crd', ...files);
    installation = await install(ground, name, directory);
    await ground.kubectl('create', 'namespace', shop);
    replicas = PORTS.map((ports, i) => startManager(installation, `replica-${i}`, ports));
    await waitFor(
      'both replicas are ready',
      async () => (await Promise.all(replicas.map(isReady))).every(Boolean),
      60_000,
    );
    await waitFor('one leads', async () => (await leader()) !== undefined, 30_000);
    const configured = async () => (await asked(ground, name)) === 'policies.sallyport.dev reports.sallyport.dev';
    await waitFor('the webhook is configured', configured, 30_000);
  });

  after(async () => {
    for (const { process } of replicas) process.close();
    const quiet = ['--ignore-not-found', '--wait=false'];
    await ground.attempt(['delete', 'validatingwebhookconfiguration,clusterrole,clusterrolebinding', name, ...quiet]);
    await ground.attempt(['delete', 'node', ...ghosts, ...quiet]);
    await ground.attempt(['delete', 'nodereports.sallyport.dev', ...ghosts, ...quiet]);
    if (brought.length > 0) await ground.attempt(['delete', 'crd', ...brought, ...quiet]);
    await ground.attempt(['delete', 'namespace', shop, name, '--ignore-not-found', '--timeout=240s']);
    rmSync(directory, { recursive: true, force: true });
  });

  it('lets every example policy pass', async () => {
    for (const where of ['examples/policies', 'examples/demo/policies']) {
      for (const file of readdirSync(join(ROOT, where))) {
        const text = readFileSync(join(ROOT, where, file), 'utf8').replace(/namespace: [a-z]+/g, `namespace: ${shop}`);
        const { status, stderr } = await ground.attempt(['apply', '--dry-run=server', '-f', '-'], { input: text });
        assert.equal(status, 0, `${where}/${file}: ${stderr}`);
      }
    }
  });

  const refused: [what: string, spec: string, reasons: RegExp[]][] = [
    [
      'a port that is none, by the schema',
      '{subject: {workload: Deployment/a}, ingress: [{ports: [{protocol: TCP, port: 0}]}]}',
      [/spec\.ingress\S*ports\S*port/],
    ],
    [
      'a misspelt field, with what was meant',
      '{subject: {workload: Deployment/a}, ingress: [{prots: []}]}',
      [/spec\.ingress\[0\]\.prots: .*did you mean ports/],
    ],
    [
      'a subject of another namespace',
      '{subject: {workload: other/Deployment/a}, ingress: []}',
      [/spec\.subject\.workload: .*use kind ClusterWorkloadNetworkPolicy/],
    ],
    [
      'everything that is wrong at once',
      '{subject: {workload: Deployment/a}, ingress: [{from: [{cidr: 10.0.0.1/8}]}, {from: [{}]}]}',
      [
        /spec\.ingress\[0\]\.from\[0\]\.cidr: .*did you mean 10\.0\.0\.0\/8/,
        /spec\.ingress\[1\]\.from\[0\]: .*exactly one of/,
      ],
    ],
  ];
  for (const [what, spec, reasons] of refused) {
    it(`refuses ${what}`, async () => {
      const { status, stderr } = await apply(policy('bad', shop, spec));
      assert.notEqual(status, 0);
      for (const reason of reasons) assert.match(stderr, reason);
      assert.notEqual((await ground.attempt(['get', 'wnp', 'bad', '-n', shop])).status, 0);
    });
  }

  it('warns who applies a policy of what is probably not meant', async () => {
    const { status, stderr } = await apply(
      policy('lonely', shop, '{subject: {workload: Deployment/lonely}, egress: []}'),
    );
    assert.equal(status, 0, stderr);
    assert.match(stderr, /Warning: spec\.subject: \S+\/Deployment\/lonely selects no pod there is/);
    assert.match(stderr, /Warning: spec\.egress: .*no rule for UDP port 53/);
  });

  it('says in its status and by events that a policy selects nothing', async () => {
    const said = async () => condition(await get('wnp/lonely'), 'Enforced') === 'Unknown SelectsNothing';
    await waitFor('it is said', said, 30_000);
    assert.equal(condition(await get('wnp/lonely'), 'Accepted'), 'True Valid');
    const told = async () => /SelectsNothing/.test(await ground.kubectl('get', 'events', '-n', shop));
    await waitFor('it is told', told, 30_000);
  });

  it('writes one identity object for a workload, and none anew when its pods are replaced', async () => {
    await ground.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: ${shop} }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web, empty: '' } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - { name: web, image: 'docker.io/library/${IMAGE}', imagePullPolicy: Never, command: [sleep, '3600'] }
        - { name: side, image: 'docker.io/library/${IMAGE}', imagePullPolicy: Never, command: [sleep, '3600'] }
`);
    const pods = async () =>
      (await ground.kubectl('get', 'pods', '-n', shop, '-o', 'name')).split('\n').filter(Boolean);
    await waitFor('it has pods', async () => (await pods()).length === 2, 30_000);
    const there = async () => (await ground.attempt(['get', 'wid', 'deployment-web', '-n', shop])).status === 0;
    await waitFor('it has an identity object', there, 30_000);
    const before = await get('wid/deployment-web');
    assert.deepEqual(
      before.spec.identities.map(({ container }) => container ?? ''),
      ['', 'side', 'web'],
    );
    // A text without letters, which some servers take for none at all.
    for (const { labels } of before.spec.identities) assert.equal(labels.empty, '');
    const writes = async () => metric((await leader())!, 'sallyport_manager_writes_total');
    const written = await writes();
    for (let round = 0; round < 3; round += 1) {
      const old = await pods();
      await ground.kubectl('delete', '-n', shop, ...old, '--wait=true', '--timeout=150s');
      const replaced = async () => (await pods()).length === 2 && (await pods()).every((one) => !old.includes(one));
      await waitFor('its pods are replaced', replaced, 30_000);
    }
    const after = await get('wid/deployment-web');
    assert.deepEqual(
      [after.metadata.uid, after.metadata.generation],
      [before.metadata.uid, before.metadata.generation],
    );
    assert.deepEqual(after.spec, before.spec);
    const all = (await ground.kubectl('get', 'wid', '-n', shop, '-o', 'name')).trim();
    assert.equal(all, 'workloadidentity.sallyport.dev/deployment-web');
    // Six pods came and went; counts are told now and then.
    assert.ok((await writes()) - written <= 4, `${(await writes()) - written} writes`);
  });

  it('writes the profile that a workload’s hardening policies come down to', async () => {
    const spec = '{subject: {workload: Deployment/web}, rules: [{ready: [recommended]}]}';
    await ground.apply(policy('web', shop, spec, 'HardeningPolicy'));
    const there = async () => (await ground.attempt(['get', 'hprof', 'deployment-web', '-n', shop])).status === 0;
    await waitFor('it has a profile', there, 30_000);
    const compiled = async () => condition(await get('hprof/deployment-web'), 'Compiled') === 'True Compiled';
    await waitFor('its status says so', compiled, 30_000);
    await ground.kubectl('delete', 'hp', 'web', '-n', shop);
    await waitFor('it is gone', async () => !(await there()), 30_000);
  });

  it('makes nothing for what is gone with its namespace', async () => {
    const gone = `${shop}-gone`;
    await ground.kubectl('create', 'namespace', gone);
    // What does not listen to SIGTERM would keep its namespace for half a minute.
    await ground.apply(`
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: ${gone} }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - { name: web, image: 'docker.io/library/${IMAGE}', imagePullPolicy: Never, command: [sleep, '3600'] }
`);
    const there = async () => (await ground.attempt(['get', 'wid', 'deployment-web', '-n', gone])).status === 0;
    await waitFor('it has an identity object', there, 30_000);
    const failures = async () => metric((await leader())!, 'sallyport_manager_write_failures_total');
    const before = await failures();
    await ground.kubectl('delete', 'namespace', gone, '--timeout=240s');
    // By then it has heard of that, and looked again.
    await ground.kubectl('create', 'deployment', 'later', `--image=${IMAGE}`, '-n', shop);
    const later = async () => (await ground.attempt(['get', 'wid', 'deployment-later', '-n', shop])).status === 0;
    await waitFor('a later workload has an identity object', later, 30_000);
    assert.equal(await failures(), before);
  });

  const report = (generation: number, state: string, ageMs = 0): object => ({
    observedAt: new Date(Date.now() - ageMs).toISOString(),
    agent: { version: '0', startedAt: new Date(0).toISOString(), ready: true },
    kernel: 'none',
    hardening: { active: true },
    endpoints: { total: 2, enforced: 2, unprotected: 0 },
    policies: [{ kind: 'WorkloadNetworkPolicy', namespace: shop, name: 'lonely', generation, state, containers: 2 }],
  });
  const tell = async (node: string, ...said: [generation: number, state: string, ageMs?: number]): Promise<void> => {
    const api = { apiVersion: 'sallyport.dev/v1alpha1', kind: 'NodeReport', metadata: { name: node }, spec: { node } };
    await ground.apply(JSON.stringify(api));
    const change = JSON.stringify({ status: report(...said) });
    const path = `/apis/sallyport.dev/v1alpha1/nodereports/${node}`;
    // kubectl learnt to patch a status later than this.
    const present = JSON.parse(await ground.kubectl('get', '--raw', path)) as object;
    const whole = JSON.stringify({ ...present, ...(JSON.parse(change) as object) });
    const { status, stderr } = await ground.attempt(['replace', '--raw', `${path}/status`, '-f', '-'], {
      input: whole,
    });
    assert.equal(status, 0, stderr);
  };
  const counts = async (): Promise<string> => {
    const lonely = await get('wnp/lonely');
    const { nodes, containers } = lonely.status ?? {};
    const numbers = [nodes?.total, nodes?.enforced, nodes?.failed, containers?.selected, containers?.enforced];
    return `${condition(lonely, 'Enforced')} ${numbers.join(' ')}`;
  };
  const becomes = async (wanted: string): Promise<void> => {
    let last = '';
    try {
      const said = async () => {
        last = await counts();
        return last === wanted;
      };
      await waitFor(wanted, said, 45_000);
    } catch (cause) {
      throw new Error(`wanted ${wanted}, and it is ${last}`, { cause });
    }
  };

  reports(() => ({ ground, name, directory }));

  it('sums up what nodes report, while they come, fail, grow old and go', async () => {
    const nodes = ghosts.map((node) => `apiVersion: v1\nkind: Node\nmetadata: { name: ${node} }\n`);
    await ground.apply(nodes.join('---\n'));
    const [one = '', two = ''] = ghosts;
    await tell(one, 1, 'Enforced');
    await tell(two, 1, 'Enforced');
    await becomes('True Enforced 2 2 0 4 4');
    await tell(two, 1, 'Failed');
    await becomes('False Failed 2 1 1 4 2');
    await tell(two, 0, 'Enforced');
    await becomes('False Pending 2 1 0 4 2');
    await tell(two, 1, 'Enforced', 240_000);
    await becomes('True Enforced 1 1 0 2 2');
    await ground.kubectl('delete', 'node', one);
    await becomes('Unknown SelectsNothing 0 0 0 0 0');
  });

  it('goes on with another replica when the one that leads is killed', async () => {
    const before = await leader();
    before?.process.close();
    const taken = async () => {
      const now = await leader();
      return now !== undefined && now !== before;
    };
    await waitFor('another one leads', taken, 45_000);
    const judged = async () => {
      const { status, stderr } = await apply(policy('bad', shop, '{subject: {workload: Deployment/a}, ingres: []}'));
      assert.notEqual(status, 0);
      return /spec\.ingres: .*did you mean ingress/.test(stderr);
    };
    await waitFor('it judges policies', judged, 45_000);
    assert.equal((await apply(policy('after', shop, '{subject: {workload: Deployment/a}, ingress: []}'))).status, 0);
    await waitFor(
      'it says what became of them',
      async () => condition(await get('wnp/after'), 'Accepted') === 'True Valid',
      30_000,
    );
  });

  it('shows another certificate without a restart, and the API server believes it', async () => {
    const certificate = async () => {
      const path = 'jsonpath={.data.tls\\.crt}';
      const { stdout } = await ground.attempt(['get', 'secret', 'sallyport-webhook', '-n', name, '-o', path]);
      return stdout === '' ? '' : new X509Certificate(Buffer.from(stdout, 'base64')).serialNumber;
    };
    const before = await certificate();
    const { process } = (await leader())!;
    const empty = ['--type=merge', '--patch={"data":null}'];
    await ground.kubectl('patch', 'secret', 'sallyport-webhook', '-n', name, ...empty);
    await waitFor('there is another certificate', async () => !['', before].includes(await certificate()), 45_000);
    const judged = async () => {
      const { stderr } = await apply(policy('bad', shop, '{subject: {workload: Deployment/a}, ingres: []}'));
      return /spec\.ingres: .*did you mean ingress/.test(stderr);
    };
    await waitFor('policies are judged', judged, 45_000);
    assert.ok(process.running);
  });

  appliedAgain(() => ({ ground, name, directory }));

  it('makes tag keys once', async () => {
    const path = 'jsonpath={.data.tag-keys\\.json}';
    const text = Buffer.from(
      await ground.kubectl('get', 'secret', 'sallyport-tag-keys', '-n', name, '-o', path),
      'base64',
    );
    const { keys } = JSON.parse(text.toString()) as { keys: readonly { epoch: number }[] };
    assert.deepEqual(
      keys.map(({ epoch }) => epoch),
      [1],
    );
  });

  it('was denied nothing it asked for, and ends at once when it is told to', async () => {
    const { process } = (await leader())!;
    process.kill('SIGTERM');
    const { status, stdout } = await process.exited;
    assert.equal(status, 0);
    assert.equal(await holder(), '');
    for (const one of replicas) assert.doesNotMatch(one.process.stdout, /forbidden/i);
    assert.match(stdout, /The manager has ended/);
  });
});
