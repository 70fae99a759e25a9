import assert from 'node:assert/strict';
import { HardeningError } from '../../src/hardening/error.ts';
import { EXECUTABLE_BITS, ExecutableBits } from '../../src/hardening/executables.ts';
import { ProfileReader } from '../../src/hardening/judge.ts';
import { type CompiledProfile, compileProfile } from '../../src/hardening/profile.ts';
import { parseAddress, parseNetwork } from '../../src/model/address.ts';
import type { HardeningPolicy, Target } from '../../src/model/hardening.ts';
import { Verdict, verdictName } from '../../src/model/verdict.ts';
import { paths, policy, rule } from './policies.ts';

function compiled(...policies: readonly HardeningPolicy[]): CompiledProfile & { reader: ProfileReader } {
  const profile = compileProfile(policies, { executables: new ExecutableBits(), ready: new Map() });
  return { ...profile, reader: new ProfileReader(profile.pages) };
}

/** What is refused, and with which code. */
function refused(code: string, blamed: RegExp, ...policies: readonly HardeningPolicy[]): void {
  assert.throws(
    () => compiled(...policies),
    (error) => {
      assert.ok(error instanceof HardeningError);
      assert.equal(error.code, code);
      assert.match(error.message, blamed);
      return true;
    },
  );
}

const network = (text: string): Extract<Target, { type: 'network' }> => {
  const parsed = parseNetwork(text);
  assert.ok(!('reason' in parsed));
  return { type: 'network', networks: [parsed] };
};

describe('what a profile says', () => {
  it('of a path is what the first rule says: by priority, then Deny, Alert, Allow', () => {
    const { reader, rules } = compiled(
      policy({
        rules: [
          rule({ name: 'all', action: 'Deny', targets: [paths(['/etc/**'], ['read'], ['/etc/motd'])] }),
          rule({ name: 'some', action: 'Alert', targets: [paths(['/etc/ssl/**'])] }),
        ],
      }),
      policy({
        name: 'first',
        priority: 10,
        rules: [rule({ name: 'certs', action: 'Allow', targets: [paths(['/etc/ssl/certs/*'])] })],
      }),
    );
    const ruleOf = (path: string): string | undefined => rules.get(reader.path('read', path).rule)?.rule;
    assert.deepEqual(
      ['/etc', '/etc/passwd', '/etc/motd', '/etc/motd/x', '/etc/ssl', '/etc/ssl/certs/a', '/etcetera'].map(ruleOf),
      ['all', 'all', undefined, 'all', 'all', 'certs', undefined],
    );
    assert.equal(reader.path('write', '/etc/passwd').verdict, Verdict.Allow);
    assert.ok(reader.concerns('read') && !reader.concerns('write'));
  });

  it('to one executable is not what it says to others, or to two at once in both layers', () => {
    const { reader } = compiled(
      policy({ rules: [rule({ name: 'a', action: 'Deny', executables: ['/bin/a'], targets: [paths(['/x'])] })] }),
      policy({
        name: 'staged',
        mode: 'Stage',
        priority: 1,
        rules: [rule({ name: 'b', action: 'Alert', executables: ['/bin/b'], targets: [paths(['/x'])] })],
      }),
    );
    const both = (...programs: readonly string[]): string => {
      const bits = programs.reduce((sum, program) => sum | reader.executables(program), 0n);
      const { verdict, stagedVerdict } = reader.path('read', '/x', bits);
      return `${verdictName(verdict)} ${verdictName(stagedVerdict)}`;
    };
    assert.equal(both(), 'Allow Allow');
    assert.equal(both('/bin/a'), 'Deny Deny');
    assert.equal(both('/bin/b'), 'Allow Alert');
    assert.equal(both('/bin/a', '/bin/b'), 'Deny Alert');
    assert.equal(reader.lasting, reader.executables('/bin/a') | reader.executables('/bin/b'));
  });

  it('where no rule speaks is the strictest default, of staged policies in the staged layer only', () => {
    const { reader } = compiled(
      policy({ defaults: { files: 'Alert', execution: 'Deny' }, rules: [] }),
      policy({ name: 'staged', mode: 'Stage', defaults: { files: 'Deny', operations: 'Deny' }, rules: [] }),
    );
    const { verdict, stagedVerdict, rule: id } = reader.path('write', '/anything');
    assert.deepEqual([verdict, stagedVerdict, id], [Verdict.Alert, Verdict.Deny, 0]);
    assert.equal(reader.path('execute', '/').verdict, Verdict.Deny);
    assert.equal(reader.operation('bpf').verdict, Verdict.Allow);
    assert.equal(reader.operation('bpf').stagedVerdict, Verdict.Deny);
    assert.equal(reader.path('connect', '@x').verdict, Verdict.Allow);
  });

  it('of addresses does not take IPv6 networks for IPv4 ones, nor the other way', () => {
    const { reader } = compiled(policy({ rules: [rule({ action: 'Deny', targets: [network('::/0')] })] }));
    const verdict = (text: string): number => reader.network(parseAddress(text) ?? assert.fail(), 6, 80).verdict;
    assert.deepEqual([verdict('fd00::1'), verdict('10.0.0.1'), verdict('::')], [2, 1, 2]);
  });

  it('of what overlaps is what the strictest of equals says, in either order of lists', () => {
    const socket = (family?: number, kind?: number): Target => ({
      type: 'socket',
      ...(family === undefined ? {} : { family }),
      ...(kind === undefined ? {} : { kind }),
    });
    const { reader, rules } = compiled(
      policy({
        rules: [
          rule({ name: 'raw', action: 'Deny', targets: [socket(undefined, 3)] }),
          rule({ name: 'inet', action: 'Alert', executables: ['/bin/a'], targets: [socket(2)] }),
        ],
      }),
    );
    const bits = reader.executables('/bin/a');
    const ruleOf = (family: number, kind: number, running: bigint): string | undefined =>
      rules.get(reader.socket(family, kind, 0, running).rule)?.rule;
    assert.deepEqual(
      [ruleOf(2, 3, bits), ruleOf(2, 1, bits), ruleOf(2, 3, 0n), ruleOf(2, 1, 0n)],
      ['raw', 'inet', 'raw', undefined],
    );
  });
});

describe('who may move what', () => {
  const readOnly = policy({
    rules: [
      rule({ name: 'etc', action: 'Deny', targets: [paths(['/etc/**'], ['write'])] }),
      rule({ name: 'log', action: 'Alert', targets: [paths(['/var/log/**'], ['write'])] }),
      rule({ name: 'key', action: 'Deny', executables: ['/bin/nginx'], targets: [paths(['/srv/*/key'], ['read'])] }),
    ],
  });

  const FILE = { directory: false };
  const DIRECTORY = { directory: true };

  it('is refused what would be out of a rule that denies, by that rule', () => {
    const { reader, rules } = compiled(readOnly);
    const { verdict, rule: id } = reader.moving('/etc/passwd', '/tmp/passwd', FILE);
    assert.equal(verdict, Verdict.Deny);
    assert.equal(rules.get(id)?.rule, 'etc');
    assert.equal(reader.moving('/etc', '/tmp/etc', DIRECTORY).verdict, Verdict.Deny);
  });

  it('is free where the same is denied at both ends, or nothing is', () => {
    const { reader } = compiled(readOnly);
    for (const [from, to] of [
      ['/etc/passwd', '/etc/old/passwd'],
      ['/tmp/a', '/var/log/a'],
      ['/var/log/a', '/tmp/a'],
      ['/tmp/a', '/etc/a'],
      ['/etcetera', '/tmp/a'],
    ] as const) {
      for (const what of [FILE, DIRECTORY])
        assert.equal(reader.moving(from, to, what).verdict, Verdict.Allow, `${from} ${to}`);
    }
  });

  it('counts what is guarded below a directory, however it is reached, and only for whom', () => {
    const { reader } = compiled(readOnly);
    const executables = reader.executables('/bin/nginx');
    for (const source of ['/srv', '/srv/app', '/srv/app/key']) {
      assert.equal(reader.moving(source, '/tmp/x', { directory: true, executables }).verdict, Verdict.Deny, source);
      assert.equal(reader.moving(source, '/tmp/x', DIRECTORY).verdict, Verdict.Allow, source);
    }
    assert.equal(reader.moving('/srv/app/keys', '/tmp/x', { directory: true, executables }).verdict, Verdict.Allow);
    assert.equal(reader.moving('/srv/app', '/tmp/x', { directory: false, executables }).verdict, Verdict.Allow);
  });

  it('cannot link what is denied by default to where it is allowed, and may do what changes nothing', () => {
    const { reader } = compiled(
      policy({
        defaults: { files: 'Deny', execution: 'Deny' },
        rules: [
          rule({ action: 'Allow', targets: [paths(['/tmp/**'], ['read', 'write', 'create', 'delete', 'attributes'])] }),
          rule({ action: 'Allow', targets: [paths(['/usr/bin/*'], ['execute', 'create'])] }),
        ],
      }),
    );
    for (const what of [FILE, DIRECTORY]) {
      assert.equal(reader.moving('/secret', '/tmp/x', what).verdict, Verdict.Deny);
      assert.equal(reader.moving('/secret', '/other', what).verdict, Verdict.Allow);
      assert.equal(reader.moving('/tmp/a', '/tmp/b/c', what).verdict, Verdict.Allow);
      assert.equal(reader.moving('/tmp/a', '/usr/bin/a', what).verdict, Verdict.Deny);
    }
  });

  it('may rename files between names that are allowed one by one, and where only it is allowed', () => {
    const all = ['read', 'write', 'create', 'delete', 'attributes'] as const;
    const { reader } = compiled(
      policy({
        defaults: { files: 'Deny' },
        rules: [
          rule({ action: 'Allow', targets: [paths(['/etc/app.conf', '/etc/app.conf.new', '/run/*.pid'], all)] }),
          rule({ action: 'Allow', executables: ['/bin/nginx'], targets: [paths(['/var/cache/**'], all)] }),
          rule({ action: 'Allow', targets: [paths(['/etc/read-only'], ['read'])] }),
        ],
      }),
    );
    const executables = reader.executables('/bin/nginx');
    assert.equal(reader.moving('/etc/app.conf.new', '/etc/app.conf', FILE).verdict, Verdict.Allow);
    assert.equal(reader.moving('/run/a.pid', '/etc/app.conf', FILE).verdict, Verdict.Allow);
    assert.equal(reader.moving('/etc/read-only', '/etc/app.conf', FILE).verdict, Verdict.Deny);
    const cached = ['/var/cache/a', '/var/cache/b'] as const;
    assert.equal(reader.moving(...cached, { directory: false, executables }).verdict, Verdict.Allow);
    assert.equal(
      reader.moving('/var/cache/a', '/etc/app.conf', { directory: false, executables }).verdict,
      Verdict.Allow,
    );
    assert.equal(reader.moving('/var/cache/a', '/etc/app.conf', FILE).verdict, Verdict.Deny);
  });
});

describe('what does not fit a profile', () => {
  it('is refused by name: more executables than there are bits', () => {
    const rules = Array.from({ length: EXECUTABLE_BITS + 1 }, (_, i) =>
      rule({ action: 'Deny', executables: [`/bin/program-${i}`], targets: [paths(['/x'])] }),
    );
    refused('EXECUTABLES', /program-\d+/, policy({ rules }));
    compiled(policy({ rules: rules.slice(1) }));
  });

  it('is refused by name: more rules of networks than a list holds', () => {
    const rules = Array.from({ length: 65 }, (_, i) => rule({ action: 'Deny', targets: [network(`10.${i}.0.0/16`)] }));
    refused('LIST', /harden/, policy({ rules }));
    compiled(policy({ rules: rules.slice(1) }));
  });

  it('is refused by name: a ready rule that is not in the catalogue', () => {
    refused('READY', /no-such-thing/, policy({ rules: [rule({ action: 'Deny', ready: ['no-such-thing'] })] }));
  });
});

describe('the bits of executables', () => {
  it('keep their meaning from profile to profile, whatever comes and goes', () => {
    const bits = new ExecutableBits([['/bin/old', 3]]);
    const of = (...selectors: readonly string[]): CompiledProfile =>
      compileProfile(
        [
          policy({
            rules: selectors.map((one) => rule({ action: 'Deny', executables: [one], targets: [paths(['/x'])] })),
          }),
        ],
        { executables: bits, ready: new Map() },
      );
    const [first, second] = [of('/bin/a', '/bin/b'), of('/bin/c', '/bin/b', '/bin/old')];
    const bitOf = (profile: CompiledProfile, path: string): bigint =>
      new ProfileReader(profile.pages).executables(path);
    assert.equal(bitOf(first, '/bin/b'), bitOf(second, '/bin/b'));
    assert.equal(bitOf(second, '/bin/old'), 8n);
    assert.equal(bitOf(second, '/bin/a'), 0n);
    assert.notEqual(bitOf(second, '/bin/c'), bitOf(first, '/bin/a'));
    assert.deepEqual([...new ExecutableBits(bits.entries()).entries()], [...bits.entries()]);
  });

  it('are given anew where all had a meaning, first those that were without a rule for longest', () => {
    const bits = new ExecutableBits();
    const names = Array.from({ length: EXECUTABLE_BITS }, (_, i) => `/bin/${i}`);
    bits.allocate(names);
    bits.allocate(['/bin/0']);
    assert.throws(() => bits.allocate([...names, '/bin/new']), HardeningError);
    assert.equal(bits.allocate(names).size, EXECUTABLE_BITS);
    bits.allocate(['/bin/0', '/bin/1']);
    const given = bits.allocate(['/bin/new', '/bin/0', '/bin/2']);
    assert.deepEqual([given.get('/bin/0'), given.get('/bin/2'), given.get('/bin/new')], [0, 2, 3]);
  });

  it('cannot be seeded with two meanings of one bit', () => {
    assert.throws(
      () =>
        new ExecutableBits([
          ['/a', 1],
          ['/b', 1],
        ]),
      RangeError,
    );
  });
});
