import assert from 'node:assert/strict';
import { readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PolicyView } from '../../../src/agent/api/contract.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { connect } from '../../rig/traffic.ts';
import { Station, unitPolicy } from './station.ts';

const GOOD = unitPolicy(
  'api',
  'api',
  `  priority: 10
  ingress:
    - name: web
      action: Allow
      from: [{workload: Unit/web}]
      ports: [{protocol: TCP, port: 8080}]`,
);

/** Ten levels of ten aliases each: ten thousand million values. */
const BOMB = `a0: &a0 [x]\n${Array.from({ length: 10 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(', ')}]`).join('\n')}\n`;

interface BadInput {
  readonly name: string;
  readonly code: string;
  readonly message: RegExp;
  readonly write: (path: string) => void;
}

const text = (content: string | Buffer) => (path: string) => writeFileSync(path, content);
const other = (spec: string): string => unitPolicy('other', 'db', spec);

const BAD: readonly BadInput[] = [
  {
    name: 'an unknown field',
    code: 'UNKNOWN_FIELD',
    message: /:6:\d+: spec\.ingres: found .*wanted .*did you mean .*ingress/,
    write: text(other('  ingres: []')),
  },
  {
    name: 'a wrong kind',
    code: 'UNKNOWN_KIND',
    message: /:2:\d+: kind: found "NetworkPolicy", wanted/,
    write: text(GOOD.replace('WorkloadNetworkPolicy', 'NetworkPolicy')),
  },
  {
    name: 'a bad CIDR',
    code: 'BAD_VALUE',
    message: /:6:\d+: spec\.egress\[0\]\.to\[0\]\.cidr: found "10\.0\.0\.0\/33", wanted a network/,
    write: text(other('  egress: [{action: Allow, to: [{cidr: 10.0.0.0/33}]}]')),
  },
  {
    name: 'port 70000',
    code: 'BAD_VALUE',
    message: /:6:\d+: spec\.ingress\[0\]\.ports\[0\]\.port: found 70000, wanted a port number from 1 to 65535/,
    write: text(other('  ingress: [{action: Allow, ports: [{protocol: TCP, port: 70000}]}]')),
  },
  {
    name: 'a priority that another policy has and contradicts',
    code: 'PRIORITY_CONFLICT',
    message:
      /spec\.priority: found priority 10, which WorkloadNetworkPolicy test\/api has too, wanted another priority/,
    write: text(
      unitPolicy('other', 'api', '  priority: 10\n  ingress: [{action: Deny, from: [{workload: Unit/web}]}]'),
    ),
  },
  {
    name: 'a huge file',
    code: 'FILE_TOO_LARGE',
    message: /at most 1048576/,
    write: text(`${other('  ingress: []')}# ${'x'.repeat(2 << 20)}\n`),
  },
  {
    name: 'a binary file',
    code: 'FILE_NOT_TEXT',
    message: /:1:\d+: found .*, wanted a text file in UTF-8/,
    write: text(Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0xff, 0xfe])),
  },
  {
    name: 'a name that another file has',
    code: 'DUPLICATE_POLICY',
    message: /metadata\.name: found a second WorkloadNetworkPolicy test\/api.*; see .*good\.yaml:1:1/,
    write: text(unitPolicy('api', 'web', '  ingress: []')),
  },
  {
    name: 'a file that cannot be read',
    code: 'FILE_UNREADABLE',
    message: /the link leads nowhere/,
    write: (path) => symlinkSync('/nonexistent', path),
  },
  {
    name: 'a YAML bomb',
    code: 'ALIASES',
    message: /found .*alias/i,
    write: text(BOMB),
  },
];

describe('bad policy files', function () {
  this.timeout(120_000);
  let station: Station;
  /** What `tables` gives as long as the good policy alone is in force. */
  let good: string;

  before(async () => {
    station = await Station.create(['web', 'api', 'db']);
    writeFileSync(join(station.policies, 'good.yaml'), GOOD);
    await station.start();
    await waitFor('the good policy is in force', async () => (await tables()).length > 0);
    good = await tables();
  });
  after(() => station?.close());

  /** Everything the kernel decides by. */
  const tables = async (): Promise<string> => {
    const dumps = ['subjects', 'peers', 'networks', 'ports', 'port_ranges'].map((map) =>
      station.json(['map', 'dump', map]),
    );
    const entries = (await Promise.all(dumps)).flat();
    return entries.length === 0 ? '' : JSON.stringify(entries.map((entry) => JSON.stringify(entry)).sort());
  };

  for (const { name, code, message, write } of BAD) {
    it(`${name} gives one clear error, is counted, and changes nothing that is enforced`, async () => {
      const rejected = await station.metric(`sallyport_policy_rejections_total{code="${code}"}`);
      const path = join(station.policies, 'bad.yaml');
      write(path);
      try {
        await waitFor('the error', async () => (await station.status()).policies.errors.length > 0);
        const status = await station.status();
        assert.equal(status.policies.errors.length, 1, JSON.stringify(status.policies.errors));
        const [error] = status.policies.errors;
        assert.equal(error?.file, path);
        assert.equal(error?.inForce, 'nothing');
        const shown = await station.cli(['status']);
        assert.match(shown.stdout, message);
        assert.equal(shown.status, 0, 'a bad file does not make the agent unready');
        assert.equal(await station.metric(`sallyport_policy_rejections_total{code="${code}"}`), rejected + 1);
        assert.equal(await station.metric(`sallyport_policy_errors{code="${code}"}`), 1);
        assert.equal(await tables(), good);
        const target = { address: station.endpoint('api').ipv4, port: 8080 };
        assert.equal((await connect(station.endpoint('web'), target)).result, 'ok');
        assert.equal((await connect(station.endpoint('db'), target, { timeoutMs: 200 })).result, 'refused');
      } finally {
        rmSync(path);
      }
      await waitFor('the error is gone', async () => (await station.status()).policies.errors.length === 0);
    });
  }

  it('a good file that turns bad keeps its former version in force, also when the agent starts anew', async () => {
    const path = join(station.policies, 'good.yaml');
    writeFileSync(path, GOOD.replace('port: 8080', 'port: 70000'));
    const inForce = async (): Promise<string | undefined> => (await station.status()).policies.errors[0]?.inForce;
    await waitFor('the error', async () => (await inForce()) !== undefined);
    assert.equal(await inForce(), 'the version before');
    assert.equal(await tables(), good);
    await station.kill();
    await station.start();
    assert.equal(await inForce(), 'the version before');
    assert.equal(await tables(), good);
    writeFileSync(path, GOOD);
    await waitFor('it is good again', async () => (await inForce()) === undefined);
    assert.equal(await tables(), good);
  });

  it('rules there is no room for close whom they are for, are told of, and keep no other change from being made', async () => {
    const path = join(station.policies, 'many.yaml');
    const many = Array.from({ length: 2_500 }, (_, i) => `{to: [{cidr: 10.${i >> 8}.${i & 255}.1/32}]}`).join(', ');
    const closed = () => station.metric('sallyport_policies_closed{reason="share"}');
    const reach = async (port: number) =>
      (await connect(station.endpoint('web'), { address: station.endpoint('api').ipv4, port })).result;
    writeFileSync(path, other(`  egress: [${many}]`));
    try {
      await waitFor('it is closed', async () => (await closed()) === 1);
      const { problems } = await station.status();
      assert.match(problems.join('\n'), /workloads test\/other selects have.* more .* than their share of the tables/);
      writeFileSync(join(station.policies, 'good.yaml'), GOOD.replace('port: 8080', 'port: 80'));
      await waitFor('the change is made', async () => (await reach(80)) === 'ok');
      assert.notEqual(await reach(8080), 'ok');
    } finally {
      rmSync(path);
      writeFileSync(join(station.policies, 'good.yaml'), GOOD);
    }
    await waitFor('it is open', async () => (await closed()) === 0);
    await waitFor('all is as before', async () => (await reach(8080)) === 'ok');
  });

  it('applied through the API are refused before anything is stored', async () => {
    const stored = readdirSync(station.policies);
    const { status, stderr } = await station.cli(
      ['policy', 'apply', '-f', '-'],
      GOOD.replace('port: 8080', 'port: 70000'),
    );
    assert.equal(status, 6);
    assert.match(stderr, /stdin:\d+:\d+: spec\.ingress\[0\]\.ports\[0\]\.port: found 70000/);
    const policies = await station.json<PolicyView[]>(['policy', 'get']);
    assert.equal(policies.length, 1);
    assert.deepEqual(readdirSync(station.policies), stored);
  });
});
