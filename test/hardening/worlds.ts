/** Random hardening policies, and questions about them that come near what they mean. */
import fc from 'fast-check';
import { parseNetwork } from '../../src/model/address.ts';
import {
  FILE_ACCESSES,
  type HardeningPolicy,
  type HardeningRule,
  MOUNT_OPERATIONS,
  OPERATIONS,
  POSTURES,
  type ReadyRule,
  type Target,
} from '../../src/model/hardening.ts';
import { parsePathGlob } from '../../src/model/path-glob.ts';
import type { Action } from '../../src/model/verdict.ts';

const LONG = 'n'.repeat(255);

/** Few, so that patterns and paths meet; among them what patterns have a meaning for. */
const NAMES = ['a', 'b', 'ab', 'ba', 'aab', 'é', '日本', '*', '[a]', '{a,b}', 'a b', '.', 'etc', LONG, '@'] as const;
const PARTS = [
  'a',
  'b',
  'ab',
  '*',
  '*',
  '?',
  '[ab]',
  '[!a]',
  '[é日]',
  '{a,b}',
  '{ab,,b*}',
  '{a,{b,é}}',
  '[*]',
  'é',
  '日',
];

const globName = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('a', 'b', 'ab', 'etc', 'é') },
  { weight: 3, arbitrary: fc.array(fc.constantFrom(...PARTS), { minLength: 1, maxLength: 3 }).map((p) => p.join('')) },
  { weight: 2, arbitrary: fc.constant('**') },
  { weight: 1, arbitrary: fc.constantFrom('{a/b,b}', '{a,**}', '*', LONG, `${LONG.slice(1)}?`) },
);

const abstractGlob = fc
  .array(fc.constantFrom(...PARTS, '/', '[!/]'), { minLength: 1, maxLength: 4 })
  .map((parts) => `@${parts.join('')}`);

/** Patterns that can be read. */
export const globs = fc
  .oneof(
    { weight: 8, arbitrary: fc.array(globName, { minLength: 0, maxLength: 5 }).map((names) => `/${names.join('/')}`) },
    { weight: 1, arbitrary: abstractGlob },
  )
  .filter((text) => parsePathGlob(text).ok);

const nameBytes = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...NAMES.filter((name) => name !== '.')).map((name) => Buffer.from(name)) },
  {
    weight: 2,
    arbitrary: fc
      .array(fc.constantFrom(...'abé*日?'), { minLength: 1, maxLength: 4 })
      .map((s) => Buffer.from(s.join(''))),
  },
  {
    weight: 2,
    arbitrary: fc
      .array(fc.constantFrom(0x01, 0x61, 0x62, 0x80, 0xa9, 0xc3, 0xe6, 0x97, 0xa5, 0xf0, 0xff), {
        minLength: 1,
        maxLength: 5,
      })
      .map((bytes) => Buffer.from(bytes)),
  },
);

/** Canonical paths as bytes: also what is not UTF-8, and deep ones. */
export const someBytes = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .oneof(
        { weight: 9, arbitrary: fc.array(nameBytes, { maxLength: 6 }) },
        { weight: 1, arbitrary: fc.array(nameBytes, { minLength: 30, maxLength: 60 }) },
      )
      .map((names) =>
        Buffer.concat([Buffer.from('/'), ...names.flatMap((n, i) => (i === 0 ? [n] : [Buffer.from('/'), n]))]),
      ),
  },
  {
    weight: 1,
    arbitrary: fc
      .array(fc.constantFrom(0x00, 0x2f, 0x61, 0x62, 0xc3, 0xa9, 0xff, 0x2a), { minLength: 1, maxLength: 6 })
      .map((bytes) => Buffer.from([0x40, ...bytes])),
  },
);

/** A path made of a pattern: wildcards filled with something, which may also be wrong. */
export function near(glob: string): fc.Arbitrary<Buffer> {
  const fillings = ['', 'a', 'b', 'ab', 'é', '日', 'a/b', 'x'];
  return fc
    .tuple(fc.array(fc.constantFrom(...fillings), { minLength: 12, maxLength: 12 }), fc.nat(30), fc.nat(6))
    .map(([fill, at, change]) => {
      let next = 0;
      const filled = glob
        .replaceAll(/\*\*?|\?|\[[^\]]*\]|\{[^{}]*\}/g, () => fill[next++ % fill.length] ?? '')
        .replaceAll(/[{},]/g, '');
      const changed = change > 1 ? filled : `${filled.slice(0, at)}${change === 0 ? 'a' : ''}${filled.slice(at + 1)}`;
      if (changed.startsWith('@')) return Buffer.from(changed);
      const names = changed.split('/').filter((name) => name !== '');
      return Buffer.from(`/${names.join('/')}`);
    });
}

const EXECUTABLES = ['/bin/a', '/bin/b', '/bin/ab', '/usr/**', '/bin/*'];
export const RUNNING = ['/bin/a', '/bin/b', '/bin/ab', '/usr/bin/c', '/x'];

const some = <T>(values: readonly T[]): fc.Arbitrary<T[]> => fc.subarray([...values], { minLength: 1 });

const pathTarget: fc.Arbitrary<Target> = fc.record({
  type: fc.constant('paths' as const),
  paths: fc.array(globs, { minLength: 1, maxLength: 2 }),
  except: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.array(globs, { maxLength: 1 })),
  access: some(FILE_ACCESSES),
});

const NETWORKS = [
  '10.0.0.0/8',
  '10.1.0.0/16',
  '10.1.2.3/32',
  '0.0.0.0/0',
  '::/0',
  'fd00::/8',
  'fd00:1::/32',
  '2000::/3',
].map((text) => {
  const network = parseNetwork(text);
  if ('reason' in network) throw new TypeError(text);
  return network;
});

const number = (values: readonly number[]): fc.Arbitrary<number | undefined> => fc.constantFrom(undefined, ...values);

function without<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T;
}

const otherTarget: fc.Arbitrary<Target> = fc.oneof(
  fc.record({
    type: fc.constant('capabilities' as const),
    capabilities: some([0, 12, 21, 40]),
    within: fc.constantFrom('container', 'user-namespace', 'any'),
  }),
  fc
    .record({
      type: fc.constant('socket' as const),
      family: number([1, 2, 17]),
      kind: number([1, 2, 3]),
      protocol: number([0, 6, 58]),
    })
    .map((target) => without(target) as Target),
  fc.record({
    type: fc.constant('mounts' as const),
    operations: some(MOUNT_OPERATIONS),
    fileSystems: fc.subarray(['proc', 'cgroup', 'ext4']),
    writable: fc.boolean(),
    devices: fc.boolean(),
  }),
  fc
    .record({
      type: fc.constant('network' as const),
      networks: fc.subarray(NETWORKS, { maxLength: 3 }),
      protocol: number([6, 17]),
      ports: fc.constantFrom([undefined, undefined], [53, undefined], [80, 443], [100, 200]),
    })
    .map(({ ports: [port, endPort], ...target }) => without({ ...target, port, endPort }) as Target),
  fc.record({ type: fc.constant('operations' as const), operations: some(OPERATIONS.slice(0, 4)) }),
);

const action = fc.constantFrom<Action>('Deny', 'Alert', 'Allow');

export const READY: ReadonlyMap<string, ReadyRule> = new Map(
  (['no-a', 'no-operations'] as const).map((name) => [
    name,
    {
      name,
      title: name,
      group: 'baseline',
      severity: 'low',
      stops: '',
      breaks: '',
      links: [],
      targets: [
        name === 'no-a'
          ? { type: 'paths', paths: ['/a/**', '/**/ab'], except: ['/a/b/**'], access: ['read', 'write', 'execute'] }
          : { type: 'operations', operations: ['ptrace', 'bpf'] },
      ],
    },
  ]),
);

const rules = (targets: fc.Arbitrary<Target>): fc.Arbitrary<HardeningRule> =>
  fc
    .record({
      action,
      executables: fc.option(some(EXECUTABLES), { nil: undefined, freq: 2 }),
      ready: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, some([...READY.keys()])),
      targets: fc.array(targets, { minLength: 1, maxLength: 2 }),
    })
    .map((rule) => without(rule) as HardeningRule);

export const policies = (targets: fc.Arbitrary<Target>): fc.Arbitrary<HardeningPolicy[]> =>
  fc
    .array(
      fc.record({
        priority: fc.constantFrom(1, 2, 1000),
        mode: fc.constantFrom('Enforce' as const, 'Enforce' as const, 'Stage' as const),
        defaults: fc.dictionary(fc.constantFrom(...POSTURES), action, { maxKeys: 3 }),
        rules: fc.array(rules(targets), { maxLength: 3 }),
      }),
      { maxLength: 3 },
    )
    .map((parts) =>
      parts.map((part, i) => ({
        kind: 'HardeningPolicy' as const,
        namespace: 'shop',
        name: `p${i}`,
        labels: {},
        annotations: {},
        subject: { workload: { namespace: 'shop', kind: '*', name: '*' }, container: '*', labels: {} },
        explicitPriority: true,
        ...part,
      })),
    );

export const pathPolicies = policies(pathTarget);
export const otherPolicies = policies(otherTarget);

/** Every pattern of paths in the policies. */
export function globsOf(all: readonly HardeningPolicy[]): string[] {
  const found = all.flatMap(({ rules: list }) => list.flatMap(({ targets }) => targets));
  return found.flatMap((target) => (target.type === 'paths' ? [...target.paths, ...target.except] : []));
}
