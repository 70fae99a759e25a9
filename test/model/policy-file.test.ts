import assert from 'node:assert/strict';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { canonicalJson, policyHash, toManifest } from '../../src/model/manifest.ts';
import type { Policy } from '../../src/model/policy.ts';
import { MAX_FILE_BYTES, MAX_PROBLEMS, parsePolicyFile } from '../../src/model/policy-file.ts';
import { formatProblem } from '../../src/model/problem.ts';
import { policies as somePolicies } from '../compile/worlds.ts';
import { BAD_DOCUMENTS } from './bad-documents.ts';
import { CLUSTER, GOOD, parse, spoiled } from './documents.ts';

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

  for (const [name, [text, [code, line, column, path, says]]] of Object.entries(BAD_DOCUMENTS)) {
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
