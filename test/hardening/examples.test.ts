import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { READY_NAMES } from '../../src/agent/ready-names.ts';
import { READY_RULES, readyNames } from '../../src/hardening/catalogue/index.ts';
import { type Deed, evaluate } from '../../src/hardening/evaluate.ts';
import { type FileAccess, type HardeningPolicy, OPERATIONS } from '../../src/model/hardening.ts';
import { hardeningSetErrors, hardeningSetWarnings } from '../../src/model/hardening-set.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';
import { formatProblem } from '../../src/model/problem.ts';
import { selects } from '../../src/model/selector.ts';

const identity = (name: string) =>
  deriveIdentity('example', { workload: { namespace: 'shop', kind: 'Service', name }, container: name, labels: {} });

function read(path: string, text = readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')) {
  const { hardening, problems } = parsePolicyFile(path, Buffer.from(text));
  assert.deepEqual(problems.map(formatProblem), []);
  assert.deepEqual(hardeningSetErrors(hardening, READY_NAMES).map(formatProblem), []);
  return hardening;
}

/** With the groups of ready rules spelled out. */
function spelled(policy: HardeningPolicy): HardeningPolicy {
  return { ...policy, rules: policy.rules.map((rule) => ({ ...rule, ready: rule.ready.flatMap(readyNames) })) };
}

const NGINX = '/usr/sbin/nginx';
const SHELL = '/bin/sh';

type Row = [at: string, access: FileAccess, path: string, executable: string, outcome: string];

const ROWS: Row[] = [
  ['web', 'execute', NGINX, SHELL, 'Allow by nginx'],
  ['web', 'execute', '/usr/lib/x86_64-linux-gnu/libc.so.6', NGINX, 'Allow by nginx'],
  ['web', 'execute', SHELL, NGINX, 'Deny'],
  ['web', 'execute', '/usr/sbin/nginx-debug', NGINX, 'Deny'],
  ['api', 'execute', SHELL, SHELL, 'Allow'],
  ['web', 'write', '/var/cache/nginx/x/y', NGINX, 'Allow'],
  ['web', 'create', '/var/cache/apt/x', NGINX, 'Deny by writes'],
  ['web', 'write', '/usr/sbin/nginx', NGINX, 'Deny by writes'],
  ['web', 'read', '/etc/nginx/keys/site.pem', NGINX, 'Allow by 0'],
  ['web', 'read', '/etc/nginx/keys/site.pem', SHELL, 'Deny by keys'],
  ['web', 'read', '/etc/nginx/keysmith', SHELL, 'Allow'],
  ['api', 'write', '/run/secrets/db/password', SHELL, 'Deny by secrets-are-read-only'],
  ['api', 'read', '/run/secrets/db/password', SHELL, 'Allow'],
];

describe('the example of hardening', () => {
  const located = read('examples/policies/hardening.yaml');

  it('is right, and selects somebody', () => {
    assert.equal(located.length, 3);
    const warnings = hardeningSetWarnings(located, { identities: [identity('web'), identity('api')] });
    assert.deepEqual(warnings.map(formatProblem), []);
  });

  for (const [at, access, path, executable, outcome] of ROWS) {
    it(`says ${outcome} to ${access} of ${path} in ${at}, asked by ${executable}`, () => {
      const policies = located
        .map(({ policy }) => spelled(policy))
        .filter(({ subject }) => selects(subject, identity(at)));
      const deed: Deed = { type: 'path', access, path };
      const { action, decidedBy } = evaluate(policies, READY_RULES, deed, [executable]).enforced;
      assert.equal(decidedBy === undefined ? action : `${action} by ${decidedBy.rule}`, outcome);
    });
  }
});

describe('the reference of hardening', () => {
  const page = readFileSync(new URL('../../docs/hardening-reference.md', import.meta.url), 'utf8');

  it('begins with an example that is right', () => {
    const [, yaml = ''] = /```yaml\n([^`]*)```/.exec(page) ?? [];
    assert.equal(read('docs/hardening-reference.md', yaml).length, 1);
  });

  it('names every operation', () => {
    for (const operation of OPERATIONS) assert.ok(page.includes(`\`${operation}\``), operation);
  });
});
