/** What is asked while nobody knows yet who is at the other end: `Slot.Some`. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Compiler, compile } from '../../src/compile/compiler.ts';
import { type Evaluation, evaluate } from '../../src/compile/evaluate.ts';
import type { CompileInput, Question } from '../../src/compile/input.ts';
import { lookup } from '../../src/compile/lookup.ts';
import type { Decision } from '../../src/compile/tables.ts';
import { parseAddress } from '../../src/model/address.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import { type Policy, type Rule, ruleName } from '../../src/model/policy.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';
import { formatProblem } from '../../src/model/problem.ts';
import { selectsEverything } from '../../src/model/selector.ts';
import { Slot } from '../../src/model/slot.ts';
import { Verdict } from '../../src/model/verdict.ts';
import { worlds } from './worlds.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 1500);
const NOBODY_KNOWN = 60_000;
const EVERY_WORKLOAD = {
  type: 'workload',
  selector: { workload: { namespace: '*', kind: '*', name: '*' }, container: '*', labels: {} },
} as const;

/** Somebody, whoever it is, at the address of the question. */
function asked(question: Question): Question {
  return { ...question, direction: 'egress', peer: { ...question.peer, slot: Slot.Some } };
}

/** The policies as they are for whoever may do most: allowed by name is allowed to all, denied by name to none. */
function generous(policy: Policy): Policy {
  if (policy.egress === undefined) return policy;
  const rules = policy.egress.rules.flatMap((rule, i): Rule[] => {
    const named = { ...rule, name: ruleName(rule, i) };
    const { peers, ports, action } = rule;
    if (action === 'Deny') {
      const kept = peers?.filter((peer) => peer.type !== 'workload' || selectsEverything(peer.selector));
      if (kept === undefined) return [named];
      return kept.length === 0 ? [] : [{ ...named, peers: kept }];
    }
    if (peers?.every((peer) => peer.type !== 'workload')) return [named];
    const { peers: _, ports: __, ...head } = named;
    const any = ports?.map((port) => (typeof port.port === 'string' ? { protocol: port.protocol } : port));
    return [
      {
        ...head,
        ...(peers === undefined ? {} : { peers: [...peers, EVERY_WORKLOAD] }),
        ...(any === undefined ? {} : { ports: any }),
      },
    ];
  });
  return { ...policy, egress: { ...policy.egress, rules } };
}

function layers(decision: Decision): { enforced: boolean; staged: boolean } {
  return { enforced: decision.verdict !== Verdict.Deny, staged: decision.stagedVerdict !== Verdict.Deny };
}

function allowedIn({ enforced, staged }: Evaluation): { enforced: boolean; staged: boolean } {
  return { enforced: enforced.action !== 'Deny', staged: staged.action !== 'Deny' };
}

describe('what some peer may', function () {
  this.timeout(120_000);

  it('is at least what any one may', () => {
    fc.assert(
      fc.property(worlds, ({ input, questions }) => {
        const tables = compile(input);
        for (const question of questions) {
          if (question.peer.slot === Slot.Host || question.peer.slot === Slot.World) continue;
          const one = allowedIn(evaluate(input, { ...question, direction: 'egress' }));
          const some = layers(lookup(tables, asked(question)));
          assert.ok(some.enforced || !one.enforced, 'enforced');
          assert.ok(some.staged || !one.staged, 'staged');
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('is no more than its rules say, and what refuses is named', () => {
    fc.assert(
      fc.property(worlds, ({ input, questions }) => {
        const tables = compile(input);
        const most: CompileInput = { ...input, policies: input.policies.map(generous) };
        for (const question of questions) {
          const some = lookup(tables, asked(question));
          const { enforced, staged } = evaluate(most, {
            ...asked(question),
            peer: { ...question.peer, slot: NOBODY_KNOWN },
          });
          assert.deepEqual(layers(some), {
            enforced: enforced.action !== 'Deny',
            staged: staged.action !== 'Deny',
          });
          for (const [answer, rule] of [
            [enforced, some.rule],
            [staged, some.stagedRule],
          ] as const) {
            if (answer.action !== 'Deny') continue;
            const info = tables.rules.get(rule);
            assert.equal(info?.action, 'Deny');
            assert.equal(
              info.priority,
              answer.decidedBy?.peer === undefined ? info.priority : answer.decidedBy.priority,
            );
          }
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('depends on nobody who is there', () => {
    fc.assert(
      fc.property(worlds, ({ input }) => {
        const alone = compile({ ...input, identities: new Map([...input.identities].slice(0, 1)) });
        const all = compile(input);
        for (const [id, set] of alone.sets) {
          assert.equal(all.sets.get(id)?.peers.get(Slot.Some), set.peers.get(Slot.Some));
        }
      }),
      { numRuns: RUNS },
    );
  });

  const WEB = deriveIdentity('test', {
    workload: { namespace: 'shop', kind: 'Service', name: 'web' },
    container: 'web',
    labels: {},
  });

  function policies(spec: string, more = ''): readonly Policy[] {
    const head = 'apiVersion: sallyport.dev/v1alpha1\nkind: WorkloadNetworkPolicy\n';
    const text = `${head}metadata: {name: web, namespace: shop}\nspec:\n  subject: {workload: Service/web}\n  ${spec}\n${more}`;
    const parsed = parsePolicyFile('test.yaml', Buffer.from(text));
    assert.deepEqual(parsed.problems.map(formatProblem), []);
    return parsed.policies.map(({ policy }) => policy);
  }

  function answer(spec: string, port = 443, address = '10.2.0.7'): { verdict: number; rule: string | undefined } {
    const identities = new Map([[16, { ...WEB, ports: [] }]]);
    const tables = compile({ policies: policies(spec), identities });
    const peer = { slot: Slot.Some, address: parseAddress(address) ?? assert.fail(address) };
    const { verdict, rule } = lookup(tables, { subject: 16, direction: 'egress', peer, protocol: 6, port });
    return { verdict, rule: tables.rules.get(rule)?.name };
  }

  const ALLOWED = { verdict: Verdict.Allow, rule: undefined };
  const refusedBy = (rule: string) => ({ verdict: Verdict.Deny, rule });

  for (const [what, spec, wanted] of [
    ['is anything where no policy selects the sender', 'ingress: []', ALLOWED],
    ['is what one name may', 'egress: [{to: [{workload: Service/api}], ports: [{protocol: TCP, port: 443}]}]', ALLOWED],
    [
      'is nothing on other ports',
      'egress: [{to: [{workload: Service/api}], ports: [{protocol: TCP, port: 80}]}]',
      refusedBy('default'),
    ],
    [
      'is nothing for who may only reach the world',
      'egress: [{to: [{entity: world}, {entity: host}]}]',
      refusedBy('default'),
    ],
    ['is what an address may', 'egress: [{to: [{cidr: 10.0.0.0/8}]}]', { verdict: Verdict.Allow, rule: '0' }],
    ['is nothing where another address may', 'egress: [{to: [{cidr: 10.3.0.0/16}]}]', refusedBy('default')],
    [
      'is not less because one name is denied',
      'egress: [{action: Deny, to: [{workload: Service/db}]}, {to: [{workload: "*/*/*"}]}]',
      ALLOWED,
    ],
    [
      'is nothing where everybody is denied first',
      'egress: [{name: never, action: Deny}, {to: [{workload: Service/api}]}]',
      refusedBy('never'),
    ],
    [
      'is nothing where every workload is denied first',
      'egress: [{name: never, action: Deny, to: [{workload: "*/*/*"}]}, {to: [{workload: Service/api}]}]',
      refusedBy('never'),
    ],
    [
      'is nothing at an address that is denied',
      'egress: [{name: not-there, action: Deny, to: [{cidr: 10.2.0.0/16}]}, {to: [{workload: Service/api}]}]',
      refusedBy('not-there'),
    ],
    [
      'is any port where one is allowed by its name',
      'egress: [{to: [{workload: Service/api}], ports: [{protocol: TCP, port: https}]}]',
      ALLOWED,
    ],
    [
      'is not less because a port is denied by its name',
      'egress: [{action: Deny, ports: [{protocol: TCP, port: https}]}, {to: [{workload: Service/api}]}]',
      ALLOWED,
    ],
    [
      'is no alarm where it would be one for somebody',
      'egress: [{action: Alert, to: [{workload: Service/api}]}]',
      ALLOWED,
    ],
  ] as const) {
    it(what, () => assert.deepEqual(answer(spec), wanted));
  }

  it('is one class, with no more ports than rules, for ten thousand names on few ports', () => {
    const rules = Array.from(
      { length: 10_000 },
      (_, i) => `{to: [{workload: Service/s${i}}], ports: [{protocol: TCP, port: ${8000 + (i % 5) * 10}}]}`,
    );
    const compiler = new Compiler();
    const identities = new Map([[16, { ...WEB, ports: [] }]]);
    const one = compiler.compile({ policies: policies(`egress: [${rules.join(', ')}]`), identities });
    const other = compiler.compile({ policies: policies(`egress: [${rules.slice(1).join(', ')}]`), identities });
    const some = [one, other].map(({ sets }) => [...sets.values()][0]?.peers.get(Slot.Some) ?? assert.fail());
    assert.equal(one.classes.get(some[0] ?? 0n)?.ports.length, 5);
    assert.equal(some[1], some[0], 'one name more or less is the same to it');
    assert.equal(other.classes.get(some[0] ?? 0n), one.classes.get(some[0] ?? 0n));
  });
});
