import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { compile } from '../../src/compile/compiler.ts';
import type { KnownIdentity } from '../../src/compile/input.ts';
import { lookup } from '../../src/compile/lookup.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import type { LocatedPolicy } from '../../src/model/located-policy.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';
import { checkPolicySet } from '../../src/model/policy-set.ts';
import { formatProblem } from '../../src/model/problem.ts';
import { Slot } from '../../src/model/slot.ts';
import { verdictName } from '../../src/model/verdict.ts';
import { address } from './worlds.ts';

const DIRECTORY = new URL('../../examples/policies/', import.meta.url);

const NAMES = ['web', 'api', 'db'];

const identities: ReadonlyMap<number, KnownIdentity> = new Map(
  NAMES.map((name, i) => {
    const workload = { namespace: 'shop', kind: 'Service', name };
    return [Slot.First + i, { ...deriveIdentity('example', { workload, container: name, labels: {} }), ports: [] }];
  }),
);

function load(): LocatedPolicy[] {
  return readdirSync(DIRECTORY).flatMap((file) => {
    const { policies, problems } = parsePolicyFile(file, readFileSync(new URL(file, DIRECTORY)));
    assert.deepEqual(problems.map(formatProblem), []);
    return policies;
  });
}

type Row = [at: string, direction: 'ingress' | 'egress', peer: string, protocol: number, port: number, outcome: string];

const ROWS: Row[] = [
  ['web', 'ingress', 'world 192.0.2.1', 6, 80, 'Allow, staged Deny'],
  ['web', 'ingress', 'world 198.51.100.7', 6, 80, 'Allow'],
  ['web', 'ingress', 'world 192.0.2.1', 6, 22, 'Deny'],
  ['web', 'egress', 'api 10.0.0.3', 6, 8080, 'Allow'],
  ['web', 'egress', 'db 10.0.0.4', 6, 5432, 'Deny'],
  ['web', 'egress', 'world 9.9.9.9', 17, 53, 'Allow'],
  ['api', 'ingress', 'web 10.0.0.2', 6, 8080, 'Allow'],
  ['api', 'ingress', 'db 10.0.0.4', 6, 8080, 'Deny'],
  ['api', 'egress', 'db 10.0.0.4', 6, 5432, 'Allow'],
  ['api', 'egress', 'world 203.0.113.5', 6, 443, 'Alert'],
  ['api', 'egress', 'world 203.0.113.200', 6, 443, 'Deny'],
  ['api', 'egress', 'world 169.254.169.254', 6, 80, 'Deny'],
  ['db', 'ingress', 'api 10.0.0.3', 6, 5432, 'Allow'],
  ['db', 'ingress', 'web 10.0.0.2', 6, 5432, 'Deny'],
  ['db', 'ingress', 'web 10.0.0.2', 1, 8, 'Alert'],
  ['db', 'egress', 'api 10.0.0.3', 6, 8080, 'Deny'],
];

describe('the example policies', () => {
  const located = load();

  it('are right, and leave nothing to warn of', () => {
    const problems = checkPolicySet(located, { identities: identities.values() });
    assert.deepEqual(problems.map(formatProblem), []);
  });

  const tables = compile({ policies: located.map(({ policy }) => policy), identities });
  const slotOf = (name: string): number => (name === 'world' ? Slot.World : Slot.First + NAMES.indexOf(name));
  for (const [at, direction, who, protocol, port, outcome] of ROWS) {
    it(`say ${outcome} to ${direction} at ${at}, peer ${who}, protocol ${protocol} port ${port}`, () => {
      const [peer = '', ip = ''] = who.split(' ');
      const question = {
        subject: slotOf(at),
        direction,
        peer: { slot: slotOf(peer), address: address(ip) },
        protocol,
        port,
      };
      const { verdict, stagedVerdict } = lookup(tables, question);
      const staged = stagedVerdict === verdict ? '' : `, staged ${verdictName(stagedVerdict)}`;
      assert.equal(`${verdictName(verdict)}${staged}`, outcome);
    });
  }
});
