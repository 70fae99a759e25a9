import assert from 'node:assert/strict';
import { deriveIdentity } from '../../src/model/identity.ts';
import { MAX_FILE_BYTES, parsePolicyFile } from '../../src/model/policy-file.ts';
import { checkPolicySet, MAX_SET_PROBLEMS } from '../../src/model/policy-set.ts';
import {
  formatProblem,
  type PolicyProblem,
  PROBLEM_CODES,
  type ProblemCode,
  unreadableFile,
} from '../../src/model/problem.ts';
import { GOOD, policiesOf, spoiled } from './documents.ts';

interface Sketch {
  readonly name: string;
  readonly subject?: string;
  readonly priority?: number;
  readonly mode?: 'Enforce' | 'Stage';
  readonly spec: string;
  readonly kind?: string;
}

function document({
  name,
  subject = '{workload: Service/api}',
  priority,
  mode = 'Enforce',
  spec,
  kind,
}: Sketch): string {
  const metadata = kind === undefined ? `{name: ${name}, namespace: shop}` : `{name: ${name}}`;
  return `apiVersion: sallyport.dev/v1alpha1
kind: ${kind ?? 'WorkloadNetworkPolicy'}
metadata: ${metadata}
spec:
  subject: ${subject}
  mode: ${mode}
${priority === undefined ? '' : `  priority: ${priority}\n`}${spec}
`;
}

const ALLOWS = '  ingress: [{action: Allow}]';
const ALERTS = '  ingress: [{action: Alert}]';
const DENIES = '  ingress: [{action: Deny}]';

/** Codes of the problems of some files, each with one or more documents. */
function codes(files: readonly string[]): ProblemCode[] {
  return checkPolicySet(policiesOf(...files)).map((problem) => problem.code);
}

describe('ten bad inputs', () => {
  const bomb = `a: &a [${'x, '.repeat(30)}]\nb: &b [${'*a, '.repeat(30)}]\nc: [${'*b, '.repeat(30)}]\n`;
  const inputs: Record<string, [bytes: Uint8Array | 'unreadable', ...more: Uint8Array[]]> = {
    'unknown field': [Buffer.from(spoiled('mode:', 'mod:'))],
    'wrong kind': [Buffer.from(spoiled('WorkloadNetworkPolicy', 'NetworkPolicy'))],
    'bad CIDR': [Buffer.from(spoiled('10.0.0.0/8', '10.0.0.0/99'))],
    'port 70000': [Buffer.from(spoiled('8080', '70000'))],
    'overlapping priority': [
      Buffer.from(document({ name: 'one', priority: 7, spec: ALLOWS })),
      Buffer.from(document({ name: 'two', priority: 7, spec: DENIES })),
    ],
    'huge file': [Buffer.alloc(MAX_FILE_BYTES + 1, '#')],
    'binary file': [Uint8Array.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0])],
    'duplicate name': [Buffer.from(GOOD), Buffer.from(GOOD)],
    'unreadable file': ['unreadable'],
    'YAML bomb': [Buffer.from(bomb)],
  };
  const expected: Record<string, ProblemCode> = {
    'unknown field': 'UNKNOWN_FIELD',
    'wrong kind': 'UNKNOWN_KIND',
    'bad CIDR': 'BAD_VALUE',
    'port 70000': 'BAD_VALUE',
    'overlapping priority': 'PRIORITY_CONFLICT',
    'huge file': 'FILE_TOO_LARGE',
    'binary file': 'FILE_NOT_TEXT',
    'duplicate name': 'DUPLICATE_POLICY',
    'unreadable file': 'FILE_UNREADABLE',
    'YAML bomb': 'ALIASES',
  };

  for (const [name, files] of Object.entries(inputs)) {
    it(`: ${name} gives exactly one error`, () => {
      const problems: PolicyProblem[] = [];
      const policies = files.flatMap((bytes, i) => {
        if (bytes === 'unreadable') {
          problems.push(unreadableFile(`${i}.yaml`, 'EACCES: permission denied'));
          return [];
        }
        const parsed = parsePolicyFile(`${i}.yaml`, bytes);
        problems.push(...parsed.problems);
        return parsed.policies;
      });
      problems.push(...checkPolicySet(policies));
      assert.deepEqual(
        problems.map((p) => [p.code, p.severity]),
        [[expected[name], 'error']],
      );
      assert.match(problems.map(formatProblem).join('\n'), /^[01]\.yaml:\d+:\d+: error: .*found .*, wanted .+/);
    });
  }
});

describe('a set of policies', () => {
  it('is refused where two have one name, with both places', () => {
    const [problem, ...more] = checkPolicySet(policiesOf(GOOD, GOOD));
    assert.deepEqual(more, []);
    assert.ok(problem);
    assert.equal(problem.code, 'DUPLICATE_POLICY');
    assert.equal(formatProblem(problem).includes('1.yaml:1:1: error: metadata.name: found a second'), true);
    assert.deepEqual(problem.related, [{ file: '0.yaml', line: 1, column: 1 }]);
  });

  it('may have one name in two namespaces and in two kinds', () => {
    const cluster = document({
      name: 'p',
      kind: 'ClusterWorkloadNetworkPolicy',
      subject: '{workload: a/b/c}',
      spec: ALLOWS,
    });
    const one = document({ name: 'p', spec: ALLOWS });
    assert.deepEqual(codes([cluster, one, spoiled('namespace: shop', 'namespace: other', one)]), []);
  });

  const conflicts: [what: string, one: Sketch, other: Sketch, conflict: boolean][] = [
    [
      'equal priorities, one allows and one denies',
      { name: 'a', priority: 5, spec: ALLOWS },
      { name: 'b', priority: 5, spec: DENIES },
      true,
    ],
    [
      'equal priorities, one alerts and one denies',
      { name: 'a', priority: 5, spec: ALERTS },
      { name: 'b', priority: 5, spec: DENIES },
      true,
    ],
    [
      'equal priorities, one allows and one alerts',
      { name: 'a', priority: 5, spec: ALLOWS },
      { name: 'b', priority: 5, spec: ALERTS },
      false,
    ],
    ['different priorities', { name: 'a', priority: 5, spec: ALLOWS }, { name: 'b', priority: 6, spec: DENIES }, false],
    ['priorities nobody gave', { name: 'a', spec: ALLOWS }, { name: 'b', spec: DENIES }, false],
    ['a priority only one gave', { name: 'a', priority: 1000, spec: ALLOWS }, { name: 'b', spec: DENIES }, false],
    [
      'a staged policy',
      { name: 'a', priority: 5, spec: ALLOWS },
      { name: 'b', priority: 5, mode: 'Stage', spec: DENIES },
      false,
    ],
    [
      'other directions',
      { name: 'a', priority: 5, spec: ALLOWS },
      { name: 'b', priority: 5, spec: '  egress: [{action: Deny}]\n  defaults: {egress: Allow}' },
      false,
    ],
    [
      'other subjects',
      { name: 'a', priority: 5, spec: ALLOWS },
      { name: 'b', priority: 5, subject: '{workload: Service/db}', spec: DENIES },
      false,
    ],
    [
      'globs that can mean one workload',
      { name: 'a', priority: 5, subject: '{workload: "Service/a*"}', spec: ALLOWS },
      { name: 'b', priority: 5, subject: '{workload: "*/*i"}', spec: DENIES },
      true,
    ],
    [
      'globs that cannot',
      { name: 'a', priority: 5, subject: '{workload: "Service/a*"}', spec: ALLOWS },
      { name: 'b', priority: 5, subject: '{workload: "Service/b*"}', spec: DENIES },
      false,
    ],
    [
      'labels that cannot both be',
      { name: 'a', priority: 5, subject: '{workload: Service/api, labels: {tier: a}}', spec: ALLOWS },
      { name: 'b', priority: 5, subject: '{workload: Service/api, labels: {tier: b}}', spec: DENIES },
      false,
    ],
    [
      'containers that cannot be one',
      { name: 'a', priority: 5, subject: '{workload: Service/api, container: app}', spec: ALLOWS },
      { name: 'b', priority: 5, subject: '{workload: Service/api, container: side}', spec: DENIES },
      false,
    ],
    [
      'a namespaced and a cluster-wide one',
      { name: 'a', priority: 5, spec: ALLOWS },
      { name: 'b', priority: 5, kind: 'ClusterWorkloadNetworkPolicy', subject: '{workload: "*/*/*"}', spec: DENIES },
      true,
    ],
  ];
  for (const [what, one, other, conflict] of conflicts) {
    it(`${conflict ? 'is refused' : 'is taken'} with ${what}`, () => {
      const wanted = conflict ? ['PRIORITY_CONFLICT'] : [];
      assert.deepEqual(codes([document(one), document(other)]), wanted);
      assert.deepEqual(codes([document(other), document(one)]), wanted);
    });
  }

  it('is taken where one policy itself has rules of both kinds', () => {
    assert.deepEqual(
      codes([
        document({
          name: 'a',
          priority: 5,
          spec: '  ingress: [{action: Deny, from: [{entity: world}]}, {action: Allow}]',
        }),
      ]),
      [],
    );
  });

  it('names the priority of the later of two that contradict each other', () => {
    const files = [
      document({ name: 'one', priority: 7, spec: DENIES }),
      document({ name: 'two', priority: 7, spec: ALLOWS }),
    ];
    const [problem] = checkPolicySet(policiesOf(...files));
    assert.ok(problem);
    assert.deepEqual([problem.file, problem.line, problem.column], ['1.yaml', 7, 13]);
    assert.deepEqual(
      problem.related?.map((place) => place.file),
      ['0.yaml'],
    );
    assert.match(problem.hint ?? '', /shop\/one denies and shop\/two permits ingress/);
  });

  it('reports no more than a readable number of problems of a kind', () => {
    const files = Array.from({ length: 300 }, (_, i) =>
      document({ name: `p${i}`, priority: 5, spec: i % 2 ? ALLOWS : DENIES }),
    );
    assert.equal(codes(files).length, MAX_SET_PROBLEMS);
  });
});

describe('warnings', () => {
  const shadows: [what: string, rules: string, shadowed: string[]][] = [
    ['a rule under a deny of everything', '[{action: Deny}, {from: [{workload: Service/web}]}]', ['spec.ingress[1]']],
    ['a rule written twice', '[{from: [{entity: world}]}, {from: [{entity: world}]}]', ['spec.ingress[1]']],
    [
      'an allow under a deny of the same, whichever is first',
      '[{from: [{entity: world}]}, {action: Deny, from: [{entity: world}]}]',
      ['spec.ingress[0]'],
    ],
    ['no deny under an allow of everything', '[{action: Allow}, {action: Deny, from: [{entity: world}]}]', []],
    [
      'a name under a glob',
      '[{action: Deny, from: [{workload: "Service/*"}]}, {from: [{workload: Service/web}]}]',
      ['spec.ingress[1]'],
    ],
    [
      'no glob under a name',
      '[{action: Deny, from: [{workload: Service/web}]}, {from: [{workload: "Service/*"}]}]',
      [],
    ],
    [
      'a network inside another',
      '[{action: Deny, from: [{cidr: 10.0.0.0/8}]}, {from: [{cidr: 10.1.0.0/16}]}]',
      ['spec.ingress[1]'],
    ],
    [
      'no network that is an exception',
      '[{action: Deny, from: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}, {from: [{cidr: 10.1.0.0/16}]}]',
      [],
    ],
    [
      'a network beside the exception',
      '[{action: Deny, from: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}, {from: [{cidr: 10.2.0.0/16}]}]',
      ['spec.ingress[1]'],
    ],
    [
      'a network with the same exception',
      '[{action: Deny, from: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}, {from: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}]',
      ['spec.ingress[1]'],
    ],
    [
      'no network around the exception',
      '[{action: Deny, from: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}, {from: [{cidr: 10.0.0.0/12}]}]',
      [],
    ],
    [
      'no workload under all addresses',
      '[{action: Deny, from: [{cidr: 0.0.0.0/0}]}, {from: [{workload: Service/web}]}]',
      [],
    ],
    [
      'a port in a range',
      '[{action: Deny, ports: [{protocol: TCP, port: 1, endPort: 99}]}, {ports: [{protocol: TCP, port: 80}]}]',
      ['spec.ingress[1]'],
    ],
    [
      'no port half in a range',
      '[{action: Deny, ports: [{protocol: TCP, port: 1, endPort: 99}]}, {ports: [{protocol: TCP, port: 90, endPort: 100}]}]',
      [],
    ],
    [
      'no port of another protocol',
      '[{action: Deny, ports: [{protocol: TCP}]}, {ports: [{protocol: UDP, port: 80}]}]',
      [],
    ],
  ];
  for (const [what, rules, shadowed] of shadows) {
    it(`tell of ${what}`, () => {
      const problems = checkPolicySet(policiesOf(document({ name: 'p', spec: `  ingress: ${rules}` })));
      assert.deepEqual(
        problems.map((p) => [p.code, p.severity, p.path]),
        shadowed.map((path) => ['RULE_SHADOWED', 'warning', path]),
      );
    });
  }

  it('tell of a subject that nobody is', () => {
    const attributes = { workload: { namespace: 'shop', kind: 'Service', name: 'web' }, container: '', labels: {} };
    const present = [deriveIdentity('test', attributes)];
    const of = (identities: typeof present): string[] =>
      checkPolicySet(policiesOf(document({ name: 'p', spec: ALLOWS })), { identities }).map((p) => p.code);
    assert.deepEqual(of(present), ['SELECTS_NOTHING']);
    assert.deepEqual(
      of([...present, deriveIdentity('test', { ...attributes, workload: { ...attributes.workload, name: 'api' } })]),
      [],
    );
  });

  const dns: [what: string, specs: string[], warned: boolean][] = [
    ['egress denied and nothing let out', ['  egress: []'], true],
    ['only TCP let out', ['  egress: [{ports: [{protocol: TCP, port: 53}]}]'], true],
    ['the port denied', ['  egress: [{action: Deny, ports: [{protocol: UDP, port: 53}]}]'], true],
    ['the port let out', ['  egress: [{ports: [{protocol: UDP, port: 53}]}]'], false],
    ['a range with the port let out', ['  egress: [{ports: [{protocol: UDP, port: 1, endPort: 100}]}]'], false],
    ['everything let out to somewhere', ['  egress: [{to: [{workload: Service/db}]}]'], false],
    ['another policy letting it out', ['  egress: []', '  egress: [{ports: [{protocol: UDP, port: dns}]}]'], false],
    ['egress allowed by default', ['  egress: []\n  defaults: {egress: Allow}'], false],
    ['egress not selected', ['  ingress: []'], false],
  ];
  for (const [what, specs, warned] of dns) {
    it(`${warned ? 'tell' : 'do not tell'} of DNS with ${what}`, () => {
      assert.deepEqual(
        codes(specs.map((spec, i) => document({ name: `p${i}`, spec }))),
        warned ? ['DNS_LOCKED_OUT'] : [],
      );
    });
  }

  it('tell of port names that nobody can have', () => {
    const spec = (peer: string): string => `  egress: [{to: [${peer}], ports: [{protocol: UDP, port: dns}]}]`;
    assert.deepEqual(codes([document({ name: 'p', spec: spec('{cidr: 10.0.0.0/8}') })]), ['PORT_NAME_UNUSED']);
    assert.deepEqual(codes([document({ name: 'p', spec: spec('{cidr: 10.0.0.0/8}, {workload: "*/*"}') })]), []);
  });
});

describe('problem codes', () => {
  it('are all written in the reference', async () => {
    const { referencePages } = await import('../../src/model/schema/reference.ts');
    const page = referencePages().get('policy-reference.md') ?? '';
    for (const code of Object.keys(PROBLEM_CODES)) assert.ok(page.includes(`\`${code}\``), code);
  });
});
