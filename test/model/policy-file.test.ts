import assert from 'node:assert/strict';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { canonicalJson, policyHash, toManifest } from '../../src/model/manifest.ts';
import type { Policy } from '../../src/model/policy.ts';
import { MAX_FILE_BYTES, MAX_PROBLEMS, parsePolicyFile } from '../../src/model/policy-file.ts';
import { formatProblem, type ProblemCode } from '../../src/model/problem.ts';
import { policies as somePolicies } from '../compile/worlds.ts';
import { CLUSTER, GOOD, parse, spoiled } from './documents.ts';

/** What is wrong, where, and a word the message must have in what it wants or hints. */
type Expected = [code: ProblemCode, line: number, column: number, path: string, says: RegExp];

const LONG = 'x'.repeat(300);

const BAD: Record<string, [text: string, expected: Expected]> = {
  'an unknown field': [
    spoiled('mode: Enforce', 'mood: Enforce'),
    ['UNKNOWN_FIELD', 9, 3, 'spec.mood', /did you mean mode/],
  ],
  'an unknown field in a rule': [
    spoiled('from:', 'form:'),
    ['UNKNOWN_FIELD', 14, 7, 'spec.ingress[0].form', /did you mean from/],
  ],
  'a field of the other direction': [
    spoiled('from:', 'to:'),
    ['UNKNOWN_FIELD', 14, 7, 'spec.ingress[0].to', /one of the fields name, action, from, ports/],
  ],
  'a field named __proto__': [
    spoiled('spec:', '__proto__: {a: 1}\nspec:'),
    ['UNKNOWN_FIELD', 6, 1, '__proto__', /metadata/],
  ],
  'a wrong kind': [
    spoiled('kind: Work', 'kind: Walk'),
    ['UNKNOWN_KIND', 2, 7, 'kind', /did you mean WorkloadNetworkPolicy/],
  ],
  'a wrong version': [spoiled('v1alpha1', 'v1'), ['UNKNOWN_KIND', 1, 13, 'apiVersion', /sallyport.dev\/v1alpha1/]],
  'no kind': [
    spoiled('kind: WorkloadNetworkPolicy\n', ''),
    ['MISSING_FIELD', 1, 1, 'kind', /ClusterWorkloadNetworkPolicy/],
  ],
  'a list for a policy': ['- a\n', ['BAD_VALUE', 1, 1, '', /a mapping with apiVersion/]],
  'a missing name': [spoiled('  name: web-to-api\n', ''), ['MISSING_FIELD', 3, 1, 'metadata.name', /lower-case/]],
  'a name in capitals': [spoiled('web-to-api', 'Web'), ['BAD_VALUE', 4, 9, 'metadata.name', /lower-case/]],
  'a name too long': [spoiled('web-to-api', LONG), ['BAD_VALUE', 4, 9, 'metadata.name', /at most 253/]],
  'a namespace on a cluster-wide policy': [
    spoiled('everyone', 'everyone, namespace: shop', CLUSTER),
    ['UNKNOWN_FIELD', 3, 28, 'metadata.namespace', /name, labels/],
  ],
  'a label value that is a number': [
    spoiled('tier: front', 'tier: 1'),
    ['BAD_VALUE', 15, 66, 'spec.ingress[0].from[0].labels.tier', /in quotes/],
  ],
  'a bad label key': [
    spoiled('tier: front', '"ti er": front'),
    ['BAD_VALUE', 15, 60, 'spec.ingress[0].from[0].labels["ti er"]', /label key/],
  ],
  'a bad CIDR': [
    spoiled('10.0.0.0/8', '10.0.0/8'),
    ['BAD_VALUE', 16, 18, 'spec.ingress[0].from[1].cidr', /not an IPv4/],
  ],
  'a CIDR with host bits': [
    spoiled('10.0.0.0/8', '10.0.0.1/8'),
    ['BAD_VALUE', 16, 18, 'spec.ingress[0].from[1].cidr', /did you mean 10.0.0.0\/8/],
  ],
  'an exception outside': [
    spoiled('10.1.0.0/16', '11.0.0.0/16'),
    ['BAD_VALUE', 16, 39, 'spec.ingress[0].from[1].except[0]', /inside 10.0.0.0\/8/],
  ],
  'an exception of everything': [
    spoiled('10.1.0.0/16', '10.0.0.0/8'),
    ['BAD_VALUE', 16, 39, 'spec.ingress[0].from[1].except[0]', /not all of it/],
  ],
  'an exception without a network': [
    spoiled('{entity: host}', '{entity: host, except: [10.1.0.0/16]}'),
    ['BAD_VALUE', 17, 34, 'spec.ingress[0].from[2].except', /without cidr/],
  ],
  'a peer of two kinds': [
    spoiled('{entity: host}', '{entity: host, cidr: 10.0.0.0/8}'),
    ['BAD_VALUE', 17, 11, 'spec.ingress[0].from[2]', /both given: cidr, entity/],
  ],
  'an empty peer': [
    spoiled('{entity: host}', '{}'),
    ['BAD_VALUE', 17, 11, 'spec.ingress[0].from[2]', /leave the list out/],
  ],
  'an empty list of peers': [
    spoiled('[{entity: world}]', '[]'),
    ['BAD_VALUE', 24, 11, 'spec.egress[0].to', /or no such field to mean any peer/],
  ],
  'labels on a network': [
    spoiled('{cidr: 10.0.0.0/8', '{labels: {a: b}, cidr: 10.0.0.0/8'),
    ['BAD_VALUE', 16, 20, 'spec.ingress[0].from[1].labels', /beside cidr/],
  ],
  'an unknown entity': [
    spoiled('entity: host', 'entity: hosts'),
    ['BAD_VALUE', 17, 20, 'spec.ingress[0].from[2].entity', /did you mean host/],
  ],
  'port 70000': [
    spoiled('port: 8080', 'port: 70000'),
    ['BAD_VALUE', 19, 33, 'spec.ingress[0].ports[0].port', /1 to 65535/],
  ],
  'port 0': [spoiled('port: 8080', 'port: 0'), ['BAD_VALUE', 19, 33, 'spec.ingress[0].ports[0].port', /1 to 65535/]],
  'a port that is no number': [
    spoiled('port: 8080', 'port: 80.5'),
    ['BAD_VALUE', 19, 33, 'spec.ingress[0].ports[0].port', /1 to 65535/],
  ],
  'a port number in quotes': [
    spoiled('port: 8080', 'port: "80"'),
    ['BAD_VALUE', 19, 33, 'spec.ingress[0].ports[0].port', /port name/],
  ],
  'a range backwards': [
    spoiled('endPort: 8090', 'endPort: 80'),
    ['BAD_VALUE', 19, 48, 'spec.ingress[0].ports[0].endPort', /8080 or more/],
  ],
  'a range from a name': [
    spoiled('port: 8080', 'port: http'),
    ['BAD_VALUE', 19, 48, 'spec.ingress[0].ports[0].endPort', /port number in port/],
  ],
  'a port of a protocol without ports': [
    spoiled('{protocol: 47}', '{protocol: 47, port: 1}'),
    ['BAD_VALUE', 22, 32, 'spec.ingress[0].ports[3].port', /protocol 47/],
  ],
  'a type of a protocol without types': [
    spoiled('{protocol: 47}', '{protocol: TCP, type: 8}'),
    ['BAD_VALUE', 22, 33, 'spec.ingress[0].ports[3].type', /protocol TCP/],
  ],
  'a protocol in small letters': [
    spoiled('protocol: UDP', 'protocol: udp'),
    ['BAD_VALUE', 20, 22, 'spec.ingress[0].ports[1].protocol', /did you mean UDP/],
  ],
  'protocol 256': [
    spoiled('protocol: 47', 'protocol: 256'),
    ['BAD_VALUE', 22, 22, 'spec.ingress[0].ports[3].protocol', /0 to 255/],
  ],
  'a port without a protocol': [
    spoiled('{protocol: 47}', '{port: 80}'),
    ['MISSING_FIELD', 22, 11, 'spec.ingress[0].ports[3].protocol', /TCP/],
  ],
  'a priority too high': [spoiled('500', '65536'), ['BAD_VALUE', 8, 13, 'spec.priority', /0 to 65535/]],
  'an unknown action': [
    spoiled('action: Allow', 'action: Permit'),
    ['BAD_VALUE', 13, 15, 'spec.ingress[0].action', /Allow, Deny or Alert/],
  ],
  'a rule named default': [
    spoiled('from-web', 'default'),
    ['BAD_VALUE', 12, 13, 'spec.ingress[0].name', /other than "default"/],
  ],
  'a rule named by a number': [
    spoiled('from-web', '"0"'),
    ['BAD_VALUE', 12, 13, 'spec.ingress[0].name', /starting with a letter/],
  ],
  'two rules of one name': [
    spoiled('  egress:', '    - {name: from-web}\n  egress:'),
    ['BAD_VALUE', 23, 14, 'spec.ingress[1].name', /rule 0 has it/],
  ],
  'a subject of another namespace': [
    spoiled('Service/api', 'other/Service/api'),
    ['BAD_VALUE', 7, 23, 'spec.subject.workload', /ClusterWorkloadNetworkPolicy/],
  ],
  'a subject of all namespaces': [
    spoiled('Service/api', '"*/Service/api"'),
    ['BAD_VALUE', 7, 23, 'spec.subject.workload', /several namespaces/],
  ],
  'a cluster-wide subject without a namespace': [
    spoiled("'*/*/*'", 'Service/api', CLUSTER),
    ['BAD_VALUE', 5, 23, 'spec.subject.workload', /namespace\/kind\/name/],
  ],
  'no direction at all': [
    spoiled('  defaults: {egress: Allow}\n', '', CLUSTER),
    ['BAD_VALUE', 5, 3, 'spec', /would do nothing/],
  ],
  'nothing where a list belongs': [
    spoiled('  defaults: {egress: Allow}', '  ingress:', CLUSTER),
    ['BAD_VALUE', 6, 3, 'spec.ingress', /written \[\]/],
  ],
  'a key given twice': [
    spoiled('  mode: Enforce', '  mode: Enforce\n  mode: Stage'),
    ['DUPLICATE_KEY', 10, 3, 'spec.mode', /once/],
  ],
  'a key that is no text': [spoiled('spec:', '1: 2\nspec:'), ['SYNTAX', 6, 1, '', /a text/]],
  'broken YAML': [spoiled('{entity: host}', '{entity: host'), ['SYNTAX', 18, 7, '', /valid YAML/]],
  'a tag': [spoiled('mode: Enforce', 'mode: !secret Enforce'), ['SYNTAX', 9, 9, '', /valid YAML/]],
  'a directive': [`%YAML 1.1\n---\n${GOOD}`, ['SYNTAX', 1, 1, '', /none/]],
  'an alias of nothing': [
    spoiled('{entity: host}', '*host'),
    ['SYNTAX', 17, 11, 'spec.ingress[0].from[2]', /anchor before it/],
  ],
  'a value inside itself': ['a: &a [*a]\n', ['ALIASES', 1, 8, 'a[0]', /circle/]],
  'a YAML bomb': [bomb(), ['ALIASES', 4, 36, 'd[7]', /fewer/]],
  'brackets without end': ['['.repeat(MAX_FILE_BYTES), ['TOO_DEEP', 1, 33, '', /32 levels/]],
  'lists without end': ['- '.repeat(1_000), ['TOO_DEEP', 1, 67, '[0]'.repeat(33), /32 levels/]],
  'tokens without end': [`[${'0,'.repeat(MAX_FILE_BYTES / 2 - 1)}`, ['FILE_TOO_LARGE', 1, 400000, '', /fewer/]],
  'documents without end': ['---\n'.repeat(20_000), ['TOO_MANY_DOCUMENTS', 10_001, 1, '', /fewer/]],
  'a control character': [`${GOOD}# \x07`, ['FILE_NOT_TEXT', 25, 3, '', /UTF-8/]],
};

function bomb(): string {
  const lines = ['a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]'];
  for (const [name, inner] of ['ba', 'cb', 'dc', 'ed', 'fe']) {
    lines.push(`${name}: &${name} [${Array.from({ length: 10 }, () => `*${inner}`).join(', ')}]`);
  }
  return `${lines.join('\n')}\n`;
}

describe('a policy file', () => {
  it('with good documents gives their policies and no problems', () => {
    const { policies, problems } = parse(`# two\n${GOOD}---\n${CLUSTER}`);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      policies.map(({ policy }) => [policy.kind, policy.namespace, policy.name, policy.priority]),
      [
        ['WorkloadNetworkPolicy', 'shop', 'web-to-api', 500],
        ['ClusterWorkloadNetworkPolicy', '', 'everyone', 1000],
      ],
    );
  });

  it('may be JSON', () => {
    const [located] = parse(GOOD).policies;
    assert.ok(located);
    const again = parse(JSON.stringify(toManifest(located.policy)));
    assert.deepEqual(again.policies[0]?.policy, located.policy);
  });

  it('may have a byte-order mark, comments, and documents with nothing in them', () => {
    assert.deepEqual(parse('').problems, []);
    assert.deepEqual(parse('# nothing\n---\n---\n').problems, []);
    assert.equal(parse(`\uFEFF${GOOD}`).policies.length, 1);
  });

  it('may use anchors within reason', () => {
    const { policies, problems } = parse(spoiled('[{entity: world}]', '*peers').replace('from:', 'from: &peers'));
    assert.deepEqual(problems, []);
    assert.deepEqual(policies[0]?.policy.egress?.rules[0]?.peers, policies[0]?.policy.ingress?.rules[0]?.peers);
  });

  it('says where its policies and their rules are', () => {
    const [first, second] = parse(`${GOOD}---\n${CLUSTER}`).policies;
    assert.deepEqual(first?.origin, {
      file: 'shop.yaml',
      line: 1,
      column: 1,
      priority: { line: 8, column: 13 },
      ingress: [{ line: 12, column: 7 }],
      egress: [{ line: 24, column: 7 }],
    });
    assert.equal(second?.origin.line, 26);
  });

  for (const [name, [text, [code, line, column, path, says]]] of Object.entries(BAD)) {
    it(`with ${name} gives one error that says so`, () => {
      const { policies, problems } = parse(text);
      assert.deepEqual(policies, []);
      assert.deepEqual(
        problems.map((problem) => [problem.code, problem.severity, problem.file, problem.line, problem.path]),
        [[code, 'error', 'shop.yaml', line, path]],
        problems.map(formatProblem).join('\n'),
      );
      const [problem] = problems;
      assert.ok(problem);
      if (code !== 'FILE_TOO_LARGE') assert.equal(problem.column, column);
      assert.match(`${problem.wanted} ${problem.hint ?? ''}`, says);
      assert.ok(formatProblem(problem).length < 1_000);
    });
  }

  it('over 1 MiB is not even looked at', () => {
    const { problems } = parse('#'.repeat(MAX_FILE_BYTES + 1));
    assert.deepEqual(
      problems.map((problem) => [problem.code, problem.found]),
      [['FILE_TOO_LARGE', '1048577 bytes']],
    );
  });

  it('that is binary is refused where the first such byte is', () => {
    for (const bytes of [
      [0x61, 0x0a, 0x62, 0xff],
      [0x61, 0x0a, 0x62, 0x00],
      [0x61, 0x0a, 0x62, 0xc3],
    ]) {
      const { problems } = parsePolicyFile('a.bin', Uint8Array.from(bytes));
      assert.deepEqual(
        problems.map((p) => [p.code, p.line, p.column]),
        [['FILE_NOT_TEXT', 2, 2]],
      );
    }
  });

  it('with several faults names each of them, up to a bound', () => {
    const two = spoiled('mode: Enforce', 'mood: Enforce').replace('8080', '70000').replace('8090', '70000');
    assert.deepEqual(
      parse(two)
        .problems.map((problem) => problem.path)
        .sort(),
      ['spec.ingress[0].ports[0].endPort', 'spec.ingress[0].ports[0].port', 'spec.mood'],
    );
    const many = spoiled('  egress:', `${'    - {nme: x}\n'.repeat(2_000)}  egress:`);
    const { problems } = parse(many);
    assert.equal(problems.length, MAX_PROBLEMS);
    assert.match(problems.at(-1)?.hint ?? '', /more problems/);
  });

  it('with one bad document keeps telling of the others', () => {
    const { policies, problems } = parse(`${spoiled('500', 'high')}---\n${CLUSTER}---\n${spoiled('shop', 'Shop')}`);
    assert.equal(policies.length, 1);
    assert.deepEqual(
      problems.map((problem) => [problem.path, problem.line]),
      [
        ['spec.priority', 8],
        ['metadata.namespace', 37],
      ],
    );
  });

  it('never makes the parser throw, whatever is in it', () => {
    const pieces = [
      '- ',
      ': ',
      '{',
      '}',
      '[',
      ']',
      ',',
      '&a ',
      '*a',
      '!x ',
      '"',
      "'",
      '|\n',
      '>',
      '\n',
      ' ',
      '  ',
      '#',
      '%',
      '---\n',
      '?',
      'spec',
      'a',
      '0',
      '\t',
      '\r',
      '<<',
    ];
    const noise = fc
      .array(fc.constantFrom(...pieces, GOOD.slice(0, 120), CLUSTER), { maxLength: 40 })
      .map((p) => Buffer.from(p.join('')));
    const cut = fc
      .tuple(fc.nat(GOOD.length), fc.nat(GOOD.length), fc.constantFrom(...pieces))
      .map(([at, more, piece]) => {
        return Buffer.from(GOOD.slice(0, at) + piece + GOOD.slice(at + (more % 20)));
      });
    fc.assert(
      fc.property(fc.oneof(noise, cut, fc.uint8Array({ maxLength: 60 })), (bytes) => {
        const { policies, problems } = parsePolicyFile('x', bytes);
        for (const problem of problems) {
          assert.ok(problem.line >= 1 && problem.column >= 1, formatProblem(problem));
          assert.ok(!problem.wanted.includes('Invalid input'), formatProblem(problem));
        }
        for (const { policy } of policies) assert.ok(policy.ingress ?? policy.egress);
      }),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 3_000) },
    );
  });
});

describe('a policy', () => {
  /** As a file could have it: subjects of its own namespace, no empty patterns, exceptions that leave something. */
  function writable(policy: Policy): Policy {
    const container = (text: string): string => (text === '' ? '*' : text);
    const own = policy.namespace === '' ? policy.subject.workload.namespace : policy.namespace;
    const subject = {
      ...policy.subject,
      workload: { ...policy.subject.workload, namespace: own },
      container: container(policy.subject.container),
    };
    const direction = (part: Policy['ingress']): Policy['ingress'] =>
      part && {
        ...part,
        rules: part.rules.map((rule) => ({
          ...rule,
          ...(rule.ports && {
            ports: rule.ports.filter((port) => port.port !== 0 || port.protocol === 1 || port.protocol === 58),
          }),
          ...(rule.peers && {
            peers: rule.peers.map((peer) =>
              peer.type === 'workload'
                ? { ...peer, selector: { ...peer.selector, container: container(peer.selector.container) } }
                : peer,
            ),
          }),
        })),
      };
    const filled = (part: Policy['ingress']): Policy['ingress'] => {
      const made = direction(part);
      return made && { ...made, rules: made.rules.filter((rule) => rule.ports?.length !== 0) };
    };
    const [ingress, egress] = [filled(policy.ingress), filled(policy.egress)];
    return { ...policy, subject, ...(ingress && { ingress }), ...(egress && { egress }) };
  }

  const writables = somePolicies
    .map((list) => list.map(writable).filter((policy) => policy.ingress ?? policy.egress))
    .map((list) =>
      list.map((policy, i) => ({
        ...policy,
        explicitPriority: i % 2 === 0,
        priority: i % 2 === 0 ? policy.priority : 1000,
      })),
    );

  it('comes back from its YAML', () => {
    fc.assert(
      fc.property(writables, (policies) => {
        const text = policies.map((policy) => stringify(toManifest(policy))).join('---\n');
        const parsed = parse(text);
        assert.deepEqual(parsed.problems.map(formatProblem), []);
        assert.deepEqual(
          parsed.policies.map(({ policy }) => policy),
          policies,
        );
      }),
      { numRuns: 1_000 },
    );
  });

  it('has one hash however it is written, and another where it differs', () => {
    const [written] = parse(GOOD).policies;
    const [spelled] = parse(GOOD.replace('      action: Allow\n', '').replace('  mode: Enforce\n', '')).policies;
    const [other] = parse(GOOD.replace('8090', '8091')).policies;
    assert.ok(written && spelled && other);
    assert.equal(policyHash(spelled.policy), policyHash(written.policy));
    assert.notEqual(policyHash(other.policy), policyHash(written.policy));
    assert.deepEqual(Object.keys(JSON.parse(canonicalJson(written.policy)).spec), [
      'defaults',
      'egress',
      'ingress',
      'mode',
      'priority',
      'subject',
    ]);
  });
});
