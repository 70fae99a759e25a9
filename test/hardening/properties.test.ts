import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { HardeningRuleRef } from '../../src/hardening/clauses.ts';
import { HardeningError } from '../../src/hardening/error.ts';
import { type Answer, type Deed, evaluate } from '../../src/hardening/evaluate.ts';
import { ExecutableBits } from '../../src/hardening/executables.ts';
import { type Judgement, ProfileReader } from '../../src/hardening/judge.ts';
import { USES } from '../../src/hardening/moving.ts';
import { type CompiledProfile, compileProfile } from '../../src/hardening/profile.ts';
import { parseAddress } from '../../src/model/address.ts';
import {
  FILE_ACCESSES,
  type FileAccess,
  type HardeningPolicy,
  MOUNT_OPERATIONS,
  OPERATIONS,
} from '../../src/model/hardening.ts';
import { Verdict, verdictName } from '../../src/model/verdict.ts';
import { globsOf, near, otherPolicies, pathPolicies, READY, RUNNING, someBytes } from './worlds.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 800);

/** Patterns that multiply each other are refused, as they should: nothing can be said of them here. */
function compile(
  policies: readonly HardeningPolicy[],
  executables: readonly (readonly [string, number])[],
): CompiledProfile {
  try {
    return compileProfile(policies, { executables: new ExecutableBits(executables), ready: READY });
  } catch (error) {
    fc.pre(!(error instanceof HardeningError && error.code === 'PATTERNS'));
    throw error;
  }
}

function compiled(policies: readonly HardeningPolicy[]): { profile: CompiledProfile; reader: ProfileReader } {
  const profile = compile(policies, [['/other', 5]]);
  return { profile, reader: new ProfileReader(profile.pages) };
}

function judge(reader: ProfileReader, deed: Deed, running: readonly string[]): Judgement {
  const bits = running.reduce((sum, path) => sum | reader.executables(path), 0n);
  switch (deed.type) {
    case 'path':
      return reader.path(deed.access, deed.path, bits);
    case 'capability':
      return reader.capability(deed.number, deed.within === 'user-namespace', bits);
    case 'operation':
      return reader.operation(deed.operation, bits);
    case 'socket':
      return reader.socket(deed.family, deed.kind, deed.protocol, bits);
    case 'mount':
      return reader.mount(deed.operation, deed.fileSystem, deed, bits);
    case 'network':
      return reader.network(deed.address, deed.protocol, deed.port, bits);
  }
}

/** Of the rules that say the same at the same rank, the profile names the one with the lowest number. */
function expectedRule(profile: CompiledProfile, answer: Answer, matches: readonly HardeningRuleRef[]): number {
  const { decidedBy } = answer;
  if (decidedBy === undefined) return 0;
  const tied = matches.filter(
    ({ priority, action, mode }) =>
      priority === decidedBy.priority && action === decidedBy.action && mode === decidedBy.mode,
  );
  const ids = [...profile.rules].filter(([, ref]) =>
    tied.some((one) => one.policy === ref.policy && one.rule === ref.rule && one.ready === ref.ready),
  );
  assert.equal(ids.length, tied.length);
  return Math.min(...ids.map(([id]) => id));
}

function assertAgreement(
  policies: readonly HardeningPolicy[],
  deeds: readonly Deed[],
  running: readonly string[],
): void {
  const { profile, reader } = compiled(policies);
  for (const deed of deeds) {
    const { enforced, staged, matches } = evaluate(policies, READY, deed, running);
    const { verdict, rule, stagedVerdict, stagedRule } = judge(reader, deed, running);
    const enforcedMatches = matches.filter(({ mode }) => mode === 'Enforce');
    assert.deepEqual(
      { verdict: verdictName(verdict), rule, staged: verdictName(stagedVerdict), stagedRule },
      {
        verdict: enforced.action,
        rule: expectedRule(profile, enforced, enforcedMatches),
        staged: staged.action,
        stagedRule: expectedRule(profile, staged, matches),
      },
    );
    if (deed.type === 'path' && (verdict !== Verdict.Allow || stagedVerdict !== Verdict.Allow)) {
      assert.ok(reader.concerns(deed.access));
    }
  }
}

const running = fc.subarray(RUNNING);
const access = fc.constantFrom(...FILE_ACCESSES);

function pathsNear(policies: readonly HardeningPolicy[]): fc.Arbitrary<Buffer> {
  const patterns = globsOf(policies);
  return patterns.length === 0 ? someBytes : fc.oneof(someBytes, fc.constantFrom(...patterns).chain(near));
}

interface Move {
  readonly policies: readonly HardeningPolicy[];
  readonly source: Buffer;
  readonly destination: Buffer;
  readonly programs: readonly string[];
}

/** Between places of which the rules of some policies speak. */
const moves: fc.Arbitrary<Move> = pathPolicies.chain((policies) => {
  const path = pathsNear(policies).filter((one) => one.length > 1 && one[0] !== 0x40);
  return fc.record({ policies: fc.constant(policies), source: path, destination: path, programs: running });
});

/** What the profile says of a move, and what is denied at the source and not at the destination, or at `suffix` below. */
function judgeMove(
  { policies, source, destination, programs }: Move,
  directory: boolean,
  suffix = '',
): { verdict: number; escapes: readonly FileAccess[] } {
  const { reader } = compiled(policies);
  const executables = programs.reduce((sum, program) => sum | reader.executables(program), 0n);
  const denied = (path: Buffer, one: FileAccess): boolean =>
    reader.path(one, Buffer.concat([path, Buffer.from(suffix)]), executables).verdict === Verdict.Deny;
  return {
    verdict: reader.moving(source, destination, { directory, executables }).verdict,
    escapes: USES.filter((one) => denied(source, one) && !denied(destination, one)),
  };
}

const ADDRESSES = ['10.1.2.3', '10.1.9.9', '10.9.9.9', '8.8.8.8', 'fd00::1', 'fd00:1::1', '2001::1', '::1'].map(
  (text) => parseAddress(text) ?? assert.fail(text),
);

const otherDeeds: fc.Arbitrary<Deed> = fc.oneof(
  fc.record({
    type: fc.constant('capability' as const),
    number: fc.constantFrom(0, 12, 21, 40, 41, 63),
    within: fc.constantFrom('container', 'user-namespace'),
  }),
  fc.record({ type: fc.constant('operation' as const), operation: fc.constantFrom(...OPERATIONS.slice(0, 6)) }),
  fc.record({
    type: fc.constant('socket' as const),
    family: fc.constantFrom(1, 2, 17, 38),
    kind: fc.constantFrom(1, 2, 3),
    protocol: fc.constantFrom(0, 6, 58, 255),
  }),
  fc.record({
    type: fc.constant('mount' as const),
    operation: fc.constantFrom(...MOUNT_OPERATIONS),
    fileSystem: fc.constantFrom('proc', 'cgroup', 'cgroup2', 'ext4', ''),
    writable: fc.boolean(),
    device: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('network' as const),
    address: fc.constantFrom(...ADDRESSES),
    protocol: fc.constantFrom(6, 17, 1),
    port: fc.constantFrom(0, 53, 80, 150, 443, 65535),
  }),
);

describe('the compiler of hardening policies', function () {
  this.timeout(240_000);

  it('judges every path as the policies do, in both layers and for every executable', () => {
    fc.assert(
      fc.property(
        pathPolicies.chain((policies) =>
          fc.tuple(
            fc.constant(policies),
            fc.array(fc.record({ type: fc.constant('path' as const), access, path: pathsNear(policies) }), {
              maxLength: 12,
            }),
            running,
          ),
        ),
        ([policies, deeds, executables]) => assertAgreement(policies, deeds, executables),
      ),
      { numRuns: RUNS },
    );
  });

  it('judges everything that has no path as the policies do', () => {
    fc.assert(
      fc.property(otherPolicies, fc.array(otherDeeds, { maxLength: 12 }), running, (policies, deeds, executables) =>
        assertAgreement(policies, deeds, executables),
      ),
      { numRuns: RUNS },
    );
  });

  it('lets nobody move to where it is allowed what is denied to him where it lies, or below', () => {
    const suffixes = fc.constantFrom('', '/a', '/b', '/ab', '/a/b', '/é/a/b');
    fc.assert(
      fc.property(moves, suffixes, (move, suffix) => {
        const { verdict, escapes } = judgeMove(move, true, suffix);
        if (escapes.length > 0) assert.equal(verdict, Verdict.Deny, escapes.join());
      }),
      { numRuns: RUNS },
    );
  });

  it('lets everybody move a file to where he is denied no less', () => {
    fc.assert(
      fc.property(moves, (move) => {
        const { verdict, escapes } = judgeMove(move, false);
        assert.equal(verdict, escapes.length > 0 ? Verdict.Deny : Verdict.Allow, escapes.join());
      }),
      { numRuns: RUNS },
    );
  });

  it('makes the same profile whatever the order of the policies', () => {
    fc.assert(
      fc.property(pathPolicies, otherPolicies, (some, others) => {
        const policies = [...some, ...others.map((policy) => ({ ...policy, namespace: 'other' }))];
        const bits = [...EXECUTABLE_SEED];
        const ids = [policies, policies.toReversed()].map((list) => compile(list, bits).id);
        assert.equal(ids[0], ids[1]);
      }),
      { numRuns: RUNS / 5 },
    );
  });
});

const EXECUTABLE_SEED: readonly (readonly [string, number])[] = [
  '/bin/a',
  '/bin/b',
  '/bin/ab',
  '/usr/**',
  '/bin/*',
].map((selector, bit) => [selector, bit]);
