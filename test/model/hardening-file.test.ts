import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { CAPABILITIES } from '../../src/model/capabilities.ts';
import {
  FILE_ACCESSES,
  type HardeningPolicy,
  type HardeningRule,
  MOUNT_OPERATIONS,
  OPERATIONS,
  POSTURES,
  type Target,
} from '../../src/model/hardening.ts';
import { canonicalJson, policyHash, toManifest } from '../../src/model/manifest.ts';
import { MAX_FILE_BYTES, MAX_PROBLEMS, parsePolicyFile } from '../../src/model/policy-file.ts';
import { formatProblem } from '../../src/model/problem.ts';
import { SOCKET_FAMILIES, SOCKET_TYPES } from '../../src/model/sockets.ts';
import { CLUSTER, GOOD, parse, spoiled } from './documents.ts';
import { BAD_HARDENING, CLUSTER_HARDENING, HARDENING } from './hardening-documents.ts';

function only(text: string): HardeningPolicy {
  const { hardening, problems } = parse(text);
  assert.deepEqual(problems.map(formatProblem), []);
  return hardening[0]?.policy ?? assert.fail('no hardening policy');
}

/** The targets of the one rule of a policy with this rule. */
function targets(rule: string): readonly Target[] {
  return only(spoiled('operations: [kexec]', rule, HARDENING)).rules[2]?.targets ?? assert.fail();
}

describe('a file of hardening policies', () => {
  it('may have network policies between them, and each family comes out by itself', () => {
    const { policies, hardening, problems } = parse([GOOD, HARDENING, CLUSTER, CLUSTER_HARDENING].join('---\n'));
    assert.deepEqual(problems, []);
    assert.deepEqual(
      policies.map(({ policy }) => [policy.kind, policy.name]),
      [
        ['WorkloadNetworkPolicy', 'web-to-api'],
        ['ClusterWorkloadNetworkPolicy', 'everyone'],
      ],
    );
    assert.deepEqual(
      hardening.map(({ policy, origin }) => [policy.kind, policy.namespace, policy.name, policy.priority, origin.line]),
      [
        ['HardeningPolicy', 'shop', 'web', 500, 26],
        ['ClusterHardeningPolicy', '', 'everyone', 1000, 59],
      ],
    );
  });

  it('says where its policies and their ready rules are', () => {
    assert.deepEqual(parse(HARDENING).hardening[0]?.origin, {
      file: 'shop.yaml',
      line: 1,
      column: 1,
      ready: [
        [
          { line: 13, column: 15 },
          { line: 13, column: 31 },
        ],
        [],
        [],
      ],
    });
  });

  it('gives rules with everything filled in', () => {
    const policy = only(HARDENING);
    assert.deepEqual(policy.defaults, { files: 'Deny', execution: 'Alert' });
    const [usual, config, last] = policy.rules;
    assert.deepEqual(usual, { name: 'usual', action: 'Deny', ready: ['no-module-load', 'baseline'], targets: [] });
    assert.deepEqual(last, { action: 'Deny', ready: [], targets: [{ type: 'operations', operations: ['kexec'] }] });
    assert.deepEqual(config?.executables, ['/usr/sbin/nginx*']);
    const paths = (given: string[], except: string[], ...access: string[]) => ({
      type: 'paths',
      paths: given,
      except,
      access,
    });
    assert.deepEqual(
      config?.targets.filter(({ type }) => type !== 'network'),
      [
        paths(['/etc/**'], ['/etc/nginx/**'], 'read', 'write', 'create', 'delete', 'attributes'),
        paths(['/{,usr/}bin/*sh'], ['/bin/sh'], 'execute'),
        { type: 'capabilities', capabilities: [21, 39], within: 'container' },
        { type: 'socket', family: 38 },
        { type: 'socket', family: 2, kind: 3, protocol: 1 },
        { type: 'socket', family: 16, protocol: 12 },
        paths(['/run/docker.sock', '@x*'], ['@xy'], 'connect'),
        { type: 'mounts', operations: ['new', 'bind'], fileSystems: ['proc'], writable: true, devices: true },
        { type: 'operations', operations: ['ptrace', 'bpf'] },
      ],
    );
  });

  const meanings: [rule: string, means: string, targets: readonly unknown[]][] = [
    [
      'files: {paths: [/a]}',
      'all accesses, those of sockets too',
      [{ type: 'paths', paths: ['/a'], except: [], access: [...FILE_ACCESSES] }],
    ],
    [
      'unix: {names: ["@a"]}',
      'connecting and binding',
      [{ type: 'paths', paths: ['@a'], except: [], access: ['connect', 'bind'] }],
    ],
    [
      'capabilities: {names: ["*"]}',
      'every capability, also those without a name yet, anywhere',
      [{ type: 'capabilities', capabilities: Array.from({ length: 64 }, (_, i) => i), within: 'any' }],
    ],
    ['sockets: [{}]', 'any socket', [{ type: 'socket' }]],
    [
      'mounts: {}',
      'any mount',
      [{ type: 'mounts', operations: [...MOUNT_OPERATIONS], fileSystems: [], writable: false, devices: false }],
    ],
  ];
  for (const [rule, means, expected] of meanings) {
    it(`means ${means} by ${rule}`, () => assert.deepEqual(targets(rule), expected));
  }

  it('means any address of both families where no network is given', () => {
    const [target] = targets('network: {port: 53}');
    assert.ok(target?.type === 'network');
    assert.deepEqual(
      target.networks.map(({ family, prefix }) => [family, prefix]),
      [
        [4, 96],
        [6, 0],
      ],
    );
  });

  for (const [name, [text, [code, line, column, path, says]]] of Object.entries(BAD_HARDENING)) {
    it(`with ${name} gives one error that says so`, () => {
      const { hardening, problems } = parse(text);
      assert.deepEqual(hardening, []);
      assert.deepEqual(
        problems.map((problem) => [problem.code, problem.severity, problem.line, problem.column, problem.path]),
        [[code, 'error', line, column, path]],
        problems.map(formatProblem).join('\n'),
      );
      const [problem] = problems;
      assert.match(`${problem?.wanted} ${problem?.hint ?? ''}`, says);
    });
  }

  it('with faults in both families names each of them', () => {
    const text = `${GOOD.replace('8080', '0')}---\n${HARDENING.replace('/etc/**', 'etc')}---\n${CLUSTER_HARDENING}`;
    const { policies, hardening, problems } = parse(text);
    assert.deepEqual([policies.length, hardening.length], [0, 1]);
    assert.deepEqual(
      problems.map(({ path }) => path),
      ['spec.ingress[0].ports[0].port', 'spec.rules[1].files.paths[0]'],
    );
  });

  it('full of hostile lists is refused with few words', () => {
    const list = (entry: (i: number) => string, bytes: number): string => {
      const entries: string[] = [];
      for (let size = 0; size < bytes; size += (entries.at(-1)?.length ?? 0) + 2) entries.push(entry(entries.length));
      return `[${entries.join(', ')}]`;
    };
    const bytes = MAX_FILE_BYTES / 3;
    const rules: [what: string, rule: string, says: RegExp][] = [
      ['paths', `files: {paths: ${list((i) => `/p/${i}`, bytes)}}`, /at most 10000 paths/],
      ['braces', `files: {paths: ${list(() => `"/${'{a,b}'.repeat(40)}"`, bytes)}}`, /texts/],
      ['braces of paths', `files: {paths: ${list(() => `"${'/{a,b/c}'.repeat(5)}"`, 200_000)}}`, /says it already/],
      ['executables', `executables: ${list((i) => `/b/${i}`, bytes)}, operations: [bpf]`, /at most 64 paths/],
      ['ready rules', `ready: ${list((i) => `r-${i}`, bytes)}`, /at most 256/],
      ['networks', `network: {cidrs: ${list((i) => `10.${(i >> 8) & 255}.${i & 255}.0/24`, bytes)}}`, /at most 64/],
      ['sockets', `sockets: ${list(() => '{}', 200_000)}`, /at most 64 sockets/],
      ['operations', `operations: ${list(() => 'bpf', 200_000)}`, /at most 64 operations/],
      ['capabilities', `capabilities: {names: ${list(() => 'BPF', 200_000)}}`, /at most 128 capabilities/],
    ];
    for (const [what, rule, says] of rules) {
      const { hardening, problems } = parse(spoiled('- operations: [kexec]', `- {${rule}}`, HARDENING));
      assert.deepEqual(hardening, [], what);
      assert.ok(problems.length >= 1 && problems.length <= MAX_PROBLEMS, what);
      const text = problems.map(formatProblem).join('\n');
      assert.match(text, says);
      assert.ok(text.length < MAX_PROBLEMS * 1_000, what);
    }
  }).timeout(60_000);

  it('with as many rules about paths as it may have is read', () => {
    const rules = Array.from({ length: 10_000 }, (_, i) => `    - files: {paths: ["/srv/${i}/**"], access: [write]}`);
    const policy = only(`${HARDENING.slice(0, HARDENING.indexOf('    - name: usual'))}${rules.join('\n')}\n`);
    assert.equal(policy.rules.length, 10_000);
  }).timeout(60_000);
});

describe('a hardening policy', () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}[a-z0-9]$/).filter((text) => text !== 'default');
  const path = fc
    .array(fc.constantFrom('etc', '*', 'a?', '[a-c]x', '{x,yy}', 'b.d', 'é'), { minLength: 1, maxLength: 4 })
    .map((names) => `/${names.join('/')}`);
  const some = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
    fc.uniqueArray(arbitrary, { minLength: 1, maxLength: 3 });
  const none = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.uniqueArray(arbitrary, { maxLength: 2 });
  const ordered = <T extends string>(all: readonly T[]): fc.Arbitrary<T[]> => fc.subarray([...all], { minLength: 1 });
  const maybe = <T extends Target>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
    fc.array(arbitrary, { maxLength: 1 });
  const paths = (access: fc.Arbitrary<Extract<Target, { type: 'paths' }>['access']>, given = path) =>
    fc.record({ type: fc.constant('paths' as const), paths: some(given), except: none(given), access });
  const files = FILE_ACCESSES.filter((access) => access !== 'connect' && access !== 'bind');
  const network = fc.record(
    {
      type: fc.constant('network' as const),
      networks: fc.constantFrom('10.0.0.0/8', 'fd00::/8', '0.0.0.0/0', '192.0.2.1/32').map((cidr) => {
        const [target] = targets(`network: {cidrs: ["${cidr}"]}`);
        return target?.type === 'network' ? target.networks : [];
      }),
      protocol: fc.constantFrom(6, 17, 132),
      port: fc.integer({ min: 1, max: 65_535 }),
    },
    { requiredKeys: ['type', 'networks'] },
  );
  const socket = fc.record(
    {
      type: fc.constant('socket' as const),
      family: fc.constantFrom(...Object.values(SOCKET_FAMILIES), 200),
      kind: fc.constantFrom(...Object.values(SOCKET_TYPES)),
      protocol: fc.integer({ min: 0, max: 65_534 }),
    },
    { requiredKeys: ['type'] },
  );
  /** In the order of a document's fields, as `toHardening` gives them. */
  const ruleTargets: fc.Arbitrary<Target[]> = fc
    .tuple(
      maybe(paths(fc.oneof(ordered(files), fc.constant([...FILE_ACCESSES])))),
      maybe(paths(fc.constant(['execute' as const]))),
      maybe(
        fc.record({
          type: fc.constant('capabilities' as const),
          capabilities: fc.oneof(
            fc.subarray(
              CAPABILITIES.map((_, i) => i),
              { minLength: 1 },
            ),
            fc.constant(Array.from({ length: 64 }, (_, i) => i)),
          ),
          within: fc.constantFrom('container' as const, 'user-namespace' as const, 'any' as const),
        }),
      ),
      fc.array(socket, { maxLength: 3 }),
      maybe(paths(ordered(['connect', 'bind'] as const), fc.oneof(path, fc.constantFrom('@a', '@b/*')))),
      maybe(
        fc.record({
          type: fc.constant('mounts' as const),
          operations: ordered(MOUNT_OPERATIONS),
          fileSystems: none(fc.constantFrom('proc', 'ext4', '9p')),
          writable: fc.boolean(),
          devices: fc.boolean(),
        }),
      ),
      maybe(network),
      maybe(fc.record({ type: fc.constant('operations' as const), operations: ordered(OPERATIONS) })),
    )
    .map((lists) => lists.flat());
  const rule: fc.Arbitrary<HardeningRule> = fc
    .record(
      {
        name,
        action: fc.constantFrom('Allow' as const, 'Deny' as const, 'Alert' as const),
        executables: some(path),
        ready: none(fc.constantFrom('no-bpf', 'baseline', 'x', 'no-2-of-3')),
        targets: ruleTargets,
      },
      { requiredKeys: ['action', 'ready', 'targets'] },
    )
    .filter((one) => one.ready.length + one.targets.length > 0);
  const action = fc.constantFrom('Allow' as const, 'Deny' as const, 'Alert' as const);
  const policy: fc.Arbitrary<HardeningPolicy> = fc
    .record({
      namespace: fc.constantFrom('', 'shop'),
      name,
      explicitPriority: fc.boolean(),
      mode: fc.constantFrom('Enforce' as const, 'Stage' as const),
      defaults: fc.record(Object.fromEntries(POSTURES.map((one) => [one, action])), { requiredKeys: [] }),
      rules: fc.uniqueArray(rule, { maxLength: 4, selector: (one) => one.name ?? Symbol('unnamed') }),
    })
    .filter(({ rules, defaults }) => rules.length > 0 || Object.keys(defaults).length > 0)
    .map((made) => ({
      ...made,
      kind: made.namespace === '' ? 'ClusterHardeningPolicy' : 'HardeningPolicy',
      labels: {},
      annotations: {},
      subject: { workload: { namespace: 'shop', kind: 'Service', name: '*' }, container: 'app*', labels: { a: 'b' } },
      priority: made.explicitPriority ? 7 : 1000,
    }))
    // Records of the generator have no prototype.
    .map((made) => structuredClone(made) as HardeningPolicy);

  it('comes back from its YAML', () => {
    fc.assert(
      fc.property(fc.uniqueArray(policy, { minLength: 1, maxLength: 3, selector: (one) => one.name }), (policies) => {
        const text = policies.map((one) => stringify(toManifest(one))).join('---\n');
        const parsed = parse(text);
        assert.deepEqual(parsed.problems.map(formatProblem), []);
        assert.deepEqual(
          parsed.hardening.map((located) => located.policy),
          policies,
        );
      }),
      { numRuns: 200 },
    );
  }).timeout(60_000);

  it('has one hash however it is written, and another where it differs', () => {
    const written = only(HARDENING);
    const same = [
      HARDENING.replace('      action: Deny\n', ''),
      HARDENING.replace('[modify, read]', '[read, attributes, create, delete, write]'),
      HARDENING.replace('[SYS_ADMIN, CAP_BPF]', '[BPF, CAP_SYS_ADMIN]'),
      HARDENING.replace('family: 16', 'family: netlink'),
      HARDENING.replace('protocol: ICMP', 'protocol: 1'),
      HARDENING.replace('[bpf, ptrace]', '[ptrace, bpf]'),
      HARDENING.replace('[new, bind]', '[bind, new]'),
    ];
    for (const text of same) {
      assert.notEqual(text, HARDENING);
      assert.equal(policyHash(only(text)), policyHash(written), text);
    }
    assert.notEqual(policyHash(only(HARDENING.replace('endPort: 90', 'endPort: 91'))), policyHash(written));
    assert.equal(canonicalJson(written), canonicalJson(only(stringify(toManifest(written)))));
  });

  it('never makes the parser throw, however it is cut and joined', () => {
    const pieces = [
      '- ',
      ': ',
      '{',
      '}',
      '[',
      ']',
      ', ',
      '"',
      '\n',
      ' ',
      'ready',
      'files',
      '/**',
      '{a,b}',
      '@',
      '0',
      'null',
    ];
    const cut = fc
      .tuple(fc.nat(HARDENING.length), fc.nat(20), fc.constantFrom(...pieces))
      .map(([at, more, piece]) => Buffer.from(HARDENING.slice(0, at) + piece + HARDENING.slice(at + more)));
    fc.assert(
      fc.property(cut, (bytes) => {
        const { hardening, problems } = parsePolicyFile('x', bytes);
        for (const problem of problems) assert.ok(!problem.wanted.includes('Invalid input'), formatProblem(problem));
        for (const one of hardening) assert.equal(canonicalJson(one.policy).length > 0, true);
      }),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 1_000) },
    );
  }).timeout(60_000);
});

describe('numbers of the kernel', () => {
  /** The values of `#define` lines of a header. */
  function defined(header: string, pattern: RegExp): Map<string, number> {
    return new Map(
      [...readFileSync(header, 'utf8').matchAll(pattern)].map(([, key = '', value]) => [
        key.toLowerCase(),
        Number(value),
      ]),
    );
  }

  it('are those of capabilities', () => {
    const numbers = defined('/usr/include/linux/capability.h', /^#define CAP_([A-Z_]+)\s+(\d+)$/gm);
    assert.ok(numbers.size > 35);
    for (const [key, number] of numbers) assert.equal(CAPABILITIES[number]?.toLowerCase(), key);
  });

  it('are those of socket families', () => {
    const header = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/bits/socket.h`;
    const numbers = defined(header, /^#define PF_(\w+)\s+(\d+)/gm);
    const other: Readonly<Record<string, string>> = { unix: 'local', irda: 'irda' };
    for (const [family, number] of Object.entries(SOCKET_FAMILIES)) {
      assert.equal(numbers.get(other[family] ?? family), number, family);
    }
  });
});
