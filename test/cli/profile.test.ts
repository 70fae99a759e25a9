import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProfileDetailView, ProfileView } from '../../src/agent/api/profile-contract.ts';
import { sallyport } from './terminal.ts';

const HARDENING = `apiVersion: sallyport.dev/v1alpha1
kind: HardeningPolicy
metadata: {namespace: shop, name: web}
spec:
  subject: {workload: Service/web}
  defaults: {operations: Deny}
  rules:
    - {name: accounts, action: Deny, files: {paths: [/etc/passwd], access: [modify]}}
    - {name: modules, ready: [no-module-load]}
    - {name: python, action: Deny, executables: [/usr/bin/python3], execution: {paths: [/bin/sh]}}
---
apiVersion: sallyport.dev/v1alpha1
kind: HardeningPolicy
metadata: {namespace: shop, name: trial}
spec:
  subject: {workload: Service/web, labels: {tier: front}}
  mode: Stage
  rules: [{name: bind, action: Deny, unix: {names: ['@chat'], access: [bind]}}]
`;

const profile: ProfileView = {
  id: '3f2a9c1b7e6d5f40',
  namespace: 'shop',
  kind: 'Service',
  name: 'web',
  container: 'web-1',
  identity: '00000000000000ab',
  endpoint: 'e',
  pid: 7,
  policies: ['shop/web'],
  instance: '0000000000000001',
  subject: 3,
  wanted: '00000000000000c1',
  inKernel: '00000000000000c1',
  enforced: true,
  tasks: 2,
  pages: 3,
  rules: 1,
  violations: 12_345,
};

describe('profile, of files', () => {
  let directory: string;
  let file: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'sallyport-cli-'));
    file = join(directory, 'web.yaml');
    writeFileSync(file, HARDENING);
  });
  after(() => rmSync(directory, { recursive: true }));
  const explain = (action: string, ...more: string[]) =>
    sallyport(['profile', 'explain', 'shop/Service/web', ...action.split(' '), '-f', file, ...more]);

  const cases: [action: string, more: string[], exit: number, out: RegExp][] = [
    ['file write /etc/passwd', [], 5, /^ {2}Deny: rule "accounts" of shop\/web, priority 1000$/m],
    ['file read /etc/passwd', [], 0, /Allow: no rule is about it/],
    ['rename /etc/passwd /tmp/x', [], 5, /rule "accounts"/],
    ['rename /tmp/x /etc/passwd', [], 5, /rule "accounts"/],
    ['rename /tmp/x /tmp/y', [], 0, /Allow: no rule/],
    ['operation settime', [], 5, /Deny: no rule is about it; default of shop\/web/],
    ['operation kernel-module', [], 5, /rule "modules" of shop\/web, ready rule no-module-load/],
    ['exec /bin/sh', [], 0, /Allow: no rule/],
    ['exec /bin/sh', ['--by', '/usr/bin/python3'], 5, /rule "python"/],
    ['unix bind @chat', [], 0, /Allow: no rule is about it\n {2}policies that select it: shop\/web$/m],
    [
      'unix bind @chat',
      ['--label', 'tier=front'],
      0,
      /Allow.*\n {2}if the staged policies were enforced: Deny: rule "bind" of shop\/trial, priority 1000, staged/,
    ],
    ['capability SYS_ADMIN user-namespace', [], 0, /Allow/],
    ['connect 10.0.0.1 443', [], 0, /connect 10\.0\.0\.1 443 TCP/],
    ['mount bind', [], 0, /Allow/],
    ['socket inet stream', [], 0, /Allow/],
  ];
  for (const [action, more, exit, out] of cases) {
    it(`explains ${[action, ...more].join(' ')}`, async () => {
      const shown = await explain(action, ...more);
      assert.equal(shown.exit, exit, shown.err);
      assert.match(shown.out, out);
    });
  }

  const wrong: [action: string, message: RegExp][] = [
    ['frob', /"frob" is none of file, exec, unix, rename/],
    ['file write', /file wants ACCESS PATH/],
    ['file chew /x', /no access "chew"; there are read, write/],
    ['file write etc/passwd', /"etc\/passwd" is not where something lies/],
    ['file write /a/../etc/passwd', /names without \. and \.\./],
    ['operation dance', /no operation "dance"/],
    ['capability DANCE', /no capability "DANCE"/],
    ['socket dance', /no socket family "dance"/],
    ['connect nowhere 1', /"nowhere" is no IPv4 or IPv6 address/],
    ['connect 10.0.0.1 70000', /"70000" is no port/],
  ];
  for (const [action, message] of wrong) {
    it(`says what is wrong with "${action}"`, async () => {
      const { exit, err } = await explain(action);
      assert.equal(exit, 2);
      assert.match(err, message);
    });
  }

  it('answers programs with the rule', async () => {
    const { out } = await explain('file write /etc/passwd', '-o', 'json');
    const { verdict, enforced, policies } = JSON.parse(out);
    assert.deepEqual(
      [verdict, enforced.rule.policy, enforced.rule.rule, policies],
      ['Deny', 'web', 'accounts', ['shop/web']],
    );
  });

  it('wants whole names of workloads where no agent is asked', async () => {
    const { exit, err } = await sallyport(['profile', 'explain', 'web', 'exec', '/bin/sh', '-f', file]);
    assert.equal(exit, 2);
    assert.match(err, /"web" is no namespace\/kind\/name/);
  });

  it('shows a workload as one profile, in the order in which rules decide', async () => {
    const { out } = await sallyport(['profile', 'show', 'shop/Service/web', '-f', file, '-o', 'json']);
    const { kind, metadata, spec, status } = JSON.parse(out);
    assert.deepEqual(
      [kind, metadata.name, spec.defaults],
      ['HardeningProfile', 'shop/Service/web', { operations: 'Deny' }],
    );
    assert.deepEqual(spec.rules.map((rule: { rule: string }) => rule.rule).sort(), ['accounts', 'modules', 'python']);
    assert.match(status.profile, /^[0-9a-f]{16}$/);
    const { out: text } = await sallyport(['profile', 'show', 'shop/Service/web', '-f', file]);
    assert.match(text, /^ {2}Deny shop\/web "accounts", priority 1000: \{"paths":\["\/etc\/passwd"\]/m);
  });
});

describe('profile, of an agent', () => {
  let directory: string;
  let server: Server;
  const answers = new Map<string, unknown>();
  const asked: string[] = [];
  let followers: ServerResponse[] = [];
  before((done) => {
    directory = mkdtempSync(join(tmpdir(), 'sallyport-cli-'));
    server = createServer((request, response) => {
      const path = decodeURIComponent(request.url?.split('?')[0] ?? '');
      asked.push(`${request.method} ${path}`);
      if (path === '/v1/events/follow') {
        response.writeHead(200).flushHeaders();
        followers.push(response);
        return;
      }
      const value = answers.get(`${request.method} ${path}`);
      response.writeHead(value === undefined ? 404 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value ?? { error: { code: 'NOT_FOUND', message: `no ${path}` } }));
    }).listen(join(directory, 's'), done);
  });
  after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  });
  beforeEach(() => {
    answers.clear();
    asked.length = 0;
    followers = [];
    answers.set('GET /v1/status', { hardening: { active: true, missing: [] } });
  });
  const ask = (...words: string[]) => sallyport(['--socket', join(directory, 's'), ...words]);
  const identity = { namespace: 'shop', kind: 'Service', name: 'web', container: '', labels: {} };

  it('proves what is in the kernel', async () => {
    answers.set('GET /v1/profiles', [profile]);
    const { exit, out, err } = await ask('profile', 'status', '--no-headers');
    assert.deepEqual([exit, err], [0, '']);
    assert.match(out, /^shop +Service +web +web-1 +enforced +00000000000000c1 +1 +2 +12\.3k +3f2a9c1b7e6d5f40\n$/);
  });

  it('says not enforced, and why, where the kernel does not judge', async () => {
    const { inKernel: _, ...without } = profile;
    answers.set('GET /v1/profiles', [{ ...without, enforced: false, error: 'no LSM' }]);
    answers.set('GET /v1/status', { hardening: { active: false, reason: 'the kernel has no BPF LSM', missing: [] } });
    const { exit, out, err } = await ask('profile', 'status', '-o', 'wide');
    assert.equal(exit, 1);
    assert.match(out, /not enforced +- .* no LSM\n/);
    assert.match(err, /^not enforced: the kernel has no BPF LSM; see "sallyport doctor"/);
  });

  it('shows one container with its rules', async () => {
    const rule = { id: 1, policy: 'shop/web', name: 'accounts', action: 'Deny', mode: 'Enforce', violations: 4 };
    const detail: ProfileDetailView = {
      ...profile,
      ruleList: [rule],
      otherViolations: 2,
      executables: ['/usr/bin/python3'],
      size: { states: 9, cells: 20, pages: 3 },
    };
    answers.set('GET /v1/profiles/web', detail);
    const { exit, out } = await ask('profile', 'status', 'web');
    assert.equal(exit, 0);
    assert.match(out, /^in kernel {3}00000000000000c1, wanted 00000000000000c1, judges 2 threads$/m);
    assert.match(out, /^shop\/web +accounts +- +Deny +Enforce +4 +-$/m);
    assert.match(out, /^defaults {4}violated 2 times$/m);
  });

  it('tells what a file would change, workload by workload', async () => {
    answers.set('GET /v1/identities', [identity, { ...identity, name: 'api' }]);
    const [first = ''] = HARDENING.split('---');
    const source = first.replace('/etc/passwd', '/etc/shadow');
    const view = { kind: 'HardeningPolicy', namespace: 'shop', name: 'web', source, file: 'a.yaml' };
    answers.set('GET /v1/policies', [view]);
    const file = join(directory, 'web.yaml');
    writeFileSync(file, first);
    const { exit, out } = await ask('profile', 'diff', '-f', file);
    assert.equal(exit, 8);
    assert.deepEqual(
      out.split('\n').map((line) => line.replace(/^( {2}[+-] Deny shop\/web "\w+").*(\/etc\/\w+).*/, '$1 $2')),
      ['shop/Service/web', '  - Deny shop/web "accounts" /etc/shadow', '  + Deny shop/web "accounts" /etc/passwd', ''],
    );
    writeFileSync(file, source);
    const same = await ask('profile', 'diff', '-f', file);
    assert.deepEqual([same.exit, same.out], [0, '']);
  });

  it('learns what is told while it records, and takes its own policy away', async () => {
    answers.set('GET /v1/identities/web', identity);
    answers.set('POST /v1/policies', { dryRun: false, changes: [], plan: '' });
    const own = 'shop/sallyport-learning-service-web';
    answers.set(`DELETE /v1/policies/${own.slice('shop/'.length)}`, { dryRun: false, changes: [], plan: '' });
    const out = join(directory, 'learnt.yaml');
    answers.set('GET /v1/status', { events: { lost: 3 } });
    const judged = { kind: 'Service', name: 'web', enforced: true };
    answers.set('GET /v1/profiles', [{ ...judged, policies: ['shop/web'] }]);
    const learning = ask('profile', 'learn', 'web', '--for', '400ms', '--out', out);
    const event = (action: string, object: string, policy = own) => ({
      type: 'violation',
      verdict: 'Allow',
      class: 'file',
      action,
      object,
      staged: { verdict: 'Alert', rule: { id: 1, policy, name: 'files' } },
      suppressed: 0,
    });
    while (followers.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    answers.set('GET /v1/profiles', [{ ...judged, policies: ['shop/web', own] }]);
    const lines = [event('read', '/etc/hosts'), event('write', '/data/4711'), event('read', '/root/x', 'shop/other')];
    answers.set('GET /v1/status', { events: { lost: 10 } });
    followers[0]!.write(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const { exit, err } = await learning;
    assert.equal(exit, 0, err);
    assert.deepEqual(asked.at(-1), `DELETE /v1/policies/${own.slice('shop/'.length)}`);
    const text = readFileSync(out, 'utf8');
    assert.match(text, /^# Learnt in 400ms from 2 different things that shop\/Service\/web did\.$/m);
    assert.match(text, /^# Up to 7 things it did were not told/m);
    assert.match(err, /^Up to 7 things it did were not told.*\n.*record it longer/m);
    const checked = await sallyport(['policy', 'validate', out]);
    assert.equal(checked.exit, 0, checked.err);
    assert.deepEqual(text.match(/\/(etc|data|root)\S*/g), ['/etc/hosts', '/data/[0-9]*']);
  });

  it('writes nothing where nothing was seen', async () => {
    answers.set('GET /v1/identities/web', identity);
    answers.set('POST /v1/policies', { dryRun: false, changes: [], plan: '' });
    answers.set('GET /v1/status', { events: { lost: 0 } });
    answers.set('GET /v1/profiles', []);
    const { exit, out, err } = await ask('profile', 'learn', 'web', '--for', '100ms');
    assert.deepEqual([exit, out], [3, '']);
    assert.match(err, /was not seen to do anything/);
  });
});
