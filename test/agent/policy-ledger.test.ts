import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Ledger, settle, type Version } from '../../src/agent/policy-ledger.ts';
import { policyName } from '../../src/model/policy.ts';
import { SourceError } from '../../src/sources/error.ts';
import type { PolicyFile } from '../../src/sources/policies.ts';

const DIRECTORY = '/policies';
const file = (name: string, text: string): PolicyFile => ({ name, content: { ok: true, bytes: Buffer.from(text) } });

interface Shape {
  readonly priority?: number;
  readonly action?: string;
  readonly port?: number;
}

function policy(name: string, { priority, action = 'Allow', port = 80 }: Shape = {}): string {
  return JSON.stringify({
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'WorkloadNetworkPolicy',
    metadata: { namespace: 'shop', name },
    spec: {
      subject: { workload: 'Service/web' },
      ...(priority === undefined ? {} : { priority }),
      ingress: [{ action, ports: [{ protocol: 'TCP', port }] }],
    },
  });
}

function hardening(name: string, ready = 'no-such'): string {
  return JSON.stringify({
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'HardeningPolicy',
    metadata: { namespace: 'shop', name },
    spec: { subject: { workload: 'Service/web' }, rules: [{ ready: [ready] }] },
  });
}

/** What a catalogue has in these tests. */
const READY = new Set(['no-bpf']);

const settled = (before: ReadonlyMap<string, Version>, ...files: PolicyFile[]): Ledger =>
  settle(before, files, DIRECTORY, new WeakMap(), READY);

const names = (ledger: Ledger): string[] => ledger.policies.map((located) => policyName(located.policy));
const none: ReadonlyMap<string, Version> = new Map();

describe('the ledger of policies', () => {
  it('has every policy of every good file in force', () => {
    const ledger = settle(
      none,
      [file('b.yaml', policy('b')), file('a.yaml', `${policy('a')}\n---\n${policy('c')}`)],
      DIRECTORY,
    );
    assert.deepEqual(names(ledger), ['shop/a', 'shop/c', 'shop/b']);
    assert.deepEqual(ledger.errors, []);
  });

  it('keeps the former version of a file that turned bad, and says so', () => {
    const first = settle(none, [file('a.yaml', policy('a'))], DIRECTORY);
    const second = settle(first.accepted, [file('a.yaml', policy('a', { port: 70_000 }))], DIRECTORY);
    assert.deepEqual(names(second), ['shop/a']);
    assert.equal(second.accepted.get('a.yaml'), first.accepted.get('a.yaml'));
    assert.equal(second.errors.length, 1);
    assert.equal(second.errors[0]?.inForce, 'the version before');
    assert.equal(second.errors[0]?.file, '/policies/a.yaml');
  });

  it('leaves a file out whole when one document of it is bad', () => {
    const ledger = settle(none, [file('a.yaml', `${policy('a')}\n---\n{kind: Nonsense}`)], DIRECTORY);
    assert.deepEqual(names(ledger), []);
    assert.equal(ledger.errors[0]?.inForce, 'nothing');
  });

  it('says of a file that cannot be read what the system said', () => {
    const unreadable: PolicyFile = {
      name: 'a.yaml',
      content: { ok: false, error: new SourceError('UNREADABLE', 'EACCES: permission denied') },
    };
    const ledger = settle(none, [unreadable], DIRECTORY);
    assert.equal(ledger.errors[0]?.code, 'FILE_UNREADABLE');
    assert.match(ledger.errors[0]?.found ?? '', /EACCES/);
  });

  it('ends a policy when its file is gone, also a bad one', () => {
    const first = settle(none, [file('a.yaml', policy('a'))], DIRECTORY);
    assert.deepEqual(names(settle(first.accepted, [], DIRECTORY)), []);
  });

  it('faults the file that came later with a name that was taken, whatever its place in the alphabet', () => {
    const first = settle(none, [file('z.yaml', policy('a'))], DIRECTORY);
    const second = settle(first.accepted, [file('a.yaml', policy('a')), file('z.yaml', policy('a'))], DIRECTORY);
    assert.deepEqual([...second.accepted.keys()], ['z.yaml']);
    assert.equal(second.errors[0]?.code, 'DUPLICATE_POLICY');
    assert.deepEqual(names(second), ['shop/a']);
  });

  it('takes the first by name when both came at once', () => {
    const ledger = settle(none, [file('b.yaml', policy('a')), file('a.yaml', policy('a'))], DIRECTORY);
    assert.deepEqual([...ledger.accepted.keys()], ['a.yaml']);
  });

  it('takes a changed file back when it contradicts another of equal priority', () => {
    const allow = policy('a', { priority: 5 });
    const first = settle(
      none,
      [file('a.yaml', allow), file('b.yaml', policy('b', { priority: 6, action: 'Deny' }))],
      DIRECTORY,
    );
    assert.deepEqual(first.errors, []);
    const clash = [file('a.yaml', allow), file('b.yaml', policy('b', { priority: 5, action: 'Deny' }))];
    const second = settle(first.accepted, clash, DIRECTORY);
    assert.deepEqual(
      second.errors.map((error) => [error.code, error.file, error.inForce]),
      [['PRIORITY_CONFLICT', '/policies/b.yaml', 'the version before']],
    );
    assert.equal(second.policies.find(({ policy }) => policy.name === 'b')?.policy.priority, 6);
  });

  it('mends itself when the other file of a contradiction goes', () => {
    const files = [file('a.yaml', policy('a')), file('b.yaml', policy('a'))];
    const first = settle(none, files, DIRECTORY);
    const second = settle(first.accepted, files.slice(1), DIRECTORY);
    assert.deepEqual([...second.accepted.keys()], ['b.yaml']);
    assert.deepEqual(second.errors, []);
  });

  it('has hardening policies by themselves, also of files with network policies', () => {
    const ledger = settled(
      none,
      file('b.yaml', hardening('b', 'no-bpf')),
      file('a.yaml', `${policy('x')}\n---\n${hardening('x', 'no-bpf')}`),
    );
    assert.deepEqual(ledger.errors, []);
    assert.deepEqual(names(ledger), ['shop/x']);
    assert.deepEqual(
      ledger.hardening.map(({ policy: { kind, name } }) => `${kind} ${name}`),
      ['HardeningPolicy x', 'HardeningPolicy b'],
    );
  });

  it('keeps the former version of a file that names a ready rule there is not, network policies and all', () => {
    const first = settled(none, file('a.yaml', `${policy('x')}\n---\n${hardening('h', 'no-bpf')}`));
    const second = settled(
      first.accepted,
      file('a.yaml', `${policy('x', { port: 81 })}\n---\n${hardening('h', 'no-bfp')}`),
    );
    assert.deepEqual(
      second.errors.map(({ code, file: at, line, inForce, hint }) => [code, at, line, inForce, hint]),
      [['UNKNOWN_READY_RULE', '/policies/a.yaml', 3, 'the version before', 'did you mean no-bpf']],
    );
    assert.deepEqual(second.policies, first.policies);
    assert.deepEqual(second.hardening, first.hardening);
  });

  it('faults the later of two hardening policies with one name', () => {
    const first = settled(none, file('z.yaml', hardening('h', 'no-bpf')));
    const second = settled(
      first.accepted,
      file('a.yaml', hardening('h', 'no-bpf')),
      file('z.yaml', hardening('h', 'no-bpf')),
    );
    assert.deepEqual([...second.accepted.keys()], ['z.yaml']);
    assert.equal(second.errors[0]?.code, 'DUPLICATE_POLICY');
  });

  it('does not take what an earlier run kept where the catalogue has lost its rules', () => {
    const [a] = [file('a.yaml', hardening('h', 'no-bpf'))];
    const kept = new Map(settled(none, a).accepted);
    const ledger = settle(kept, [a], DIRECTORY, new WeakMap(), new Set(['other']));
    assert.deepEqual(ledger.hardening, []);
    assert.equal(ledger.errors[0]?.code, 'UNKNOWN_READY_RULE');
    assert.equal(ledger.errors[0]?.inForce, 'nothing');
  });

  it('knows the ready rules of the catalogue, and its groups', () => {
    const ledger = settle(none, [file('a.yaml', hardening('a', 'recommended'))], DIRECTORY);
    assert.deepEqual(ledger.errors, []);
    assert.equal(settle(none, [file('a.yaml', hardening('a'))], DIRECTORY).errors[0]?.code, 'UNKNOWN_READY_RULE');
  });

  it('finds in what is new what it would find in all', () => {
    const one = fc.record({
      name: fc.constantFrom('p', 'q', 'r', 's'),
      priority: fc.constantFrom(undefined, 5, 5, 6),
      action: fc.constantFrom('Allow', 'Deny'),
      port: fc.constantFrom(80, 80, 80, 81, 70_000),
    });
    const version = fc
      .array(one, { maxLength: 3 })
      .map((policies) =>
        policies
          .map(({ priority, ...shape }) =>
            policy(shape.name, { ...shape, ...(priority === undefined ? {} : { priority }) }),
          )
          .join('\n---\n'),
      );
    const state = fc.record({ a: version, b: version, c: version, d: version }, { requiredKeys: [] });
    fc.assert(
      fc.property(fc.array(state, { minLength: 2, maxLength: 8 }), (states) => {
        let accepted = none;
        for (const files of states) {
          const given = Object.entries(files).map(([name, text]) => file(`${name}.yaml`, text));
          const ledger = settle(accepted, given, DIRECTORY);
          // Another map is not known to be good: all of it is looked at.
          assert.deepEqual(ledger, settle(new Map(accepted), given, DIRECTORY));
          accepted = ledger.accepted;
        }
      }),
      { numRuns: 150 },
    );
  });

  it('holds versions against each other that an earlier run kept, whatever it thought of them', () => {
    const [a, b] = [file('a.yaml', policy('x')), file('b.yaml', policy('x'))];
    const versions = [a, b].map((one) => settle(none, [one], DIRECTORY).accepted);
    const kept = new Map(versions.flatMap((accepted) => [...accepted]));
    const ledger = settle(kept, [a, b], DIRECTORY);
    assert.deepEqual([...ledger.accepted.keys()], ['a.yaml']);
    assert.equal(ledger.errors[0]?.code, 'DUPLICATE_POLICY');
  });
});
