import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Compiler, compile } from '../../src/compile/compiler.ts';
import { type Conversation, explain, explainConversation } from '../../src/compile/explain.ts';
import { formatConversation } from '../../src/compile/format-explanation.ts';
import { CompileError } from '../../src/compile/input.ts';
import { lookup } from '../../src/compile/lookup.ts';
import { Slot } from '../../src/model/slot.ts';
import { Verdict, verdictName } from '../../src/model/verdict.ts';
import { policiesOf } from '../model/documents.ts';
import { loadCases } from './cases.ts';
import { address, worlds } from './worlds.ts';

const POLICIES = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  subject: {workload: Service/api}
  ingress:
    - {name: from-web, from: [{workload: Service/web}], ports: [{protocol: TCP, port: http}]}
---
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: lan, namespace: shop}
spec:
  subject: {workload: Service/api}
  priority: 2000
  ingress:
    - {name: lan, from: [{cidr: 10.0.0.0/8, except: [10.9.0.0/16]}], ports: [{protocol: TCP, port: 8000, endPort: 9000}]}
---
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  subject: {workload: Service/web}
  egress: [{name: watched, action: Alert, to: [{workload: 'Service/*'}]}]
---
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: trial, namespace: shop}
spec: {subject: {workload: Service/api}, mode: Stage, priority: 10, ingress: [{name: no, action: Deny}]}
`;

const [anyCase] = loadCases();
assert.ok(anyCase);
const { identities, slots } = anyCase;
const input = { identities, policies: policiesOf(POLICIES).map(({ policy }) => policy) };
const tables = compile(input);
const slot = (name: string): number => slots.get(name) ?? 0;

const CONVERSATION: Conversation = {
  source: { slot: slot('web'), address: address('10.0.0.2') },
  destination: { slot: slot('api'), address: address('10.0.0.3') },
  protocol: 6,
  port: 8080,
};

describe('an explanation', () => {
  it('has both ends, what decides at each, and what else matched', () => {
    const { egress, ingress, verdict, stagedVerdict } = explainConversation(input, tables, CONVERSATION);
    assert.deepEqual(
      egress?.matches.map(({ name, decides }) => [name, decides]),
      [
        ['watched', true],
        ['default', false],
      ],
    );
    assert.deepEqual(
      ingress?.matches.map(({ name, decides, decidesStaged }) => [name, decides, decidesStaged]),
      [
        ['no', false, true],
        ['from-web', true, false],
        ['lan', false, false],
        ['default', false, false],
        ['default', false, false],
        ['default', false, false],
      ],
    );
    assert.equal(verdictName(verdict), 'Alert');
    assert.equal(verdictName(stagedVerdict), 'Deny');
  });

  it('says in words who, why and what', () => {
    const text = formatConversation(input, CONVERSATION, explainConversation(input, tables, CONVERSATION));
    assert.match(
      text,
      /^shop\/Service\/web\[app\] \(10\.0\.0\.2\) -> shop\/Service\/api\[app\] \(10\.0\.0\.3\) TCP\/8080: Alert \(with the staged policies: Deny\)$/m,
    );
    assert.match(
      text,
      /^ {2}egress of shop\/Service\/web.*: Alert, by shop\/web egress rule watched \(priority 1000\)$/m,
    );
    assert.match(
      text,
      /^ {4}\* Alert shop\/web egress rule watched \(priority 1000\): workload shop\/Service\/\*, any port$/m,
    );
    assert.match(text, /^ {4}\+ Deny {2}shop\/trial ingress rule no \(priority 10, staged\): any peer, any port$/m);
    assert.match(
      text,
      /Allow shop\/lan ingress rule lan \(priority 2000\): network 10\.0\.0\.0\/8 except 10\.9\.0\.0\/16, TCP\/8000-9000$/m,
    );
    assert.match(text, /Deny {2}shop\/api ingress default: nothing else matched$/m);
  });

  it('has one end where the other is the world', () => {
    const world = { slot: Slot.World, address: address('8.8.8.8') };
    const into = explainConversation(input, tables, { ...CONVERSATION, source: world });
    assert.equal(into.egress, undefined);
    assert.equal(into.verdict, Verdict.Deny);
    const out = explainConversation(input, tables, {
      ...CONVERSATION,
      source: { slot: slot('db') },
      destination: world,
    });
    assert.equal(out.ingress, undefined);
    assert.equal(out.verdict, Verdict.Allow);
    assert.match(formatConversation(input, { ...CONVERSATION, destination: world }, out), /no policy selects it/);
  });

  it('says that rules for networks were left out where there is no address', () => {
    const conversation = { ...CONVERSATION, source: { slot: slot('web') } };
    const text = formatConversation(input, conversation, explainConversation(input, tables, conversation));
    assert.match(text, /no address was given/);
    assert.doesNotMatch(text, /rule lan/);
  });

  it('shows tables that are not those of the policies', () => {
    const question = {
      subject: slot('api'),
      direction: 'ingress',
      peer: CONVERSATION.source,
      protocol: 6,
      port: 8080,
    } as const;
    const others = compile({ ...input, policies: [] });
    assert.equal(explain(input, tables, question).disagreement, undefined);
    assert.match(
      explain(input, others, question).disagreement ?? '',
      /^the enforced tables say Allow by no rule, the policies Allow by shop\/api ingress from-web; the staged .* Deny by shop\/trial ingress no$/,
    );
  });

  it('says of who is judged on another node what is decided there', () => {
    fc.assert(
      fc.property(worlds, ({ input: any, questions }) => {
        const [there, here] = [compile(any), compile({ ...any, here: new Set() })];
        for (const question of questions) {
          const { decision, ...rest } = explain(any, here, question);
          const { decision: wanted, ...same } = explain(any, there, question);
          assert.deepEqual(rest, same);
          assert.equal(decision.verdict, wanted.verdict);
          assert.equal(decision.stagedVerdict, wanted.stagedVerdict);
        }
      }),
    );
  });

  it('agrees with the tables in every world, and marks the rule they name', () => {
    fc.assert(
      fc.property(worlds, ({ input: any, questions }) => {
        const made = compile(any);
        for (const question of questions) {
          const explained = explain(any, made, question);
          assert.equal(explained.disagreement, undefined);
          const found = lookup(made, question);
          assert.equal(explained.matches.find((match) => match.decides)?.rule ?? 0, found.rule);
          assert.equal(explained.matches.find((match) => match.decidesStaged)?.rule ?? 0, found.stagedRule);
          assert.equal(explained.matches[0]?.rule ?? 0, found.stagedRule);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('the compiler', () => {
  it('refuses two policies of one name, and goes on as if it had not been asked', () => {
    const compiler = new Compiler();
    const before = compiler.compile(input);
    const [first] = input.policies;
    assert.ok(first);
    const twice = { ...input, policies: [...input.policies, { ...first }] };
    assert.throws(
      () => compiler.compile(twice),
      (error) => error instanceof CompileError && error.code === 'DUPLICATE_POLICY',
    );
    assert.equal(compiler.compile(input), before);
  });

  it('refuses identities in reserved slots', () => {
    const [one] = identities.values();
    assert.ok(one);
    const reserved = { ...input, identities: new Map([[Slot.World, one]]) };
    assert.throws(
      () => compile(reserved),
      (error) => error instanceof CompileError && error.code === 'RESERVED_SLOT',
    );
  });

  it("keeps a set's name while its members come and go, and changes it with its rules", () => {
    const setOf = (made: typeof tables): bigint => made.subjects.get(slot('api'))?.ingress ?? 0n;
    const fewer = new Map([...identities].filter(([known]) => known !== slot('web')));
    assert.equal(setOf(compile({ ...input, identities: fewer })), setOf(tables));
    assert.notEqual(setOf(compile({ ...input, policies: input.policies.slice(1) })), setOf(tables));
  });
});
