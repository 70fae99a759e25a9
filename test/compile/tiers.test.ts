/** Policies of all kinds together: the tables against the evaluator. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Compiler, compile } from '../../src/compile/compiler.ts';
import { byPrecedence, type Evaluation, evaluate, type Match } from '../../src/compile/evaluate.ts';
import { explain } from '../../src/compile/explain.ts';
import type { CompileInput, Question } from '../../src/compile/input.ts';
import { lookup } from '../../src/compile/lookup.ts';
import { MAX_ORDERED_RULES, RANK_DEFAULT, rankOfRule } from '../../src/compile/rank.ts';
import type { PolicyTables } from '../../src/compile/tables.ts';
import { CLOSES_CUT, LABELS_CUT, LABELS_LABEL } from '../../src/model/cut-labels.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import type { LabelExpression } from '../../src/model/label-expression.ts';
import { sortedExpressions } from '../../src/model/label-expression.ts';
import { NameSet } from '../../src/model/name-set.ts';
import type { DirectionPolicy, Peer, Policy, PolicyKind, Rule } from '../../src/model/policy.ts';
import type { WorkloadSelector } from '../../src/model/selector.ts';
import { Slot } from '../../src/model/slot.ts';
import { Verdict, verdictName } from '../../src/model/verdict.ts';
import { problemsOfOrder } from '../../src/sources/kubernetes/network-policies-order.ts';
import { plain } from './plain.ts';
import { address, identities, moved, network, policies, questionsAbout, UNLISTED } from './worlds.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 1500);

const expression: fc.Arbitrary<LabelExpression> = fc
  .record({
    operator: fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist'),
    values: fc.uniqueArray(fc.constantFrom('x', 'y', 'z'), { minLength: 1 }),
  })
  .map(({ operator, values }) => {
    const listing = operator === 'In' || operator === 'NotIn';
    return { key: 'tier', operator, values: listing ? values.sort() : [] };
  });

/** What a selector is narrowed by, where it is. */
interface Narrowing {
  readonly expressions: readonly LabelExpression[];
  readonly namespaces: readonly string[] | undefined;
}

const narrowing: fc.Arbitrary<Narrowing> = fc.record({
  expressions: fc.array(expression, { maxLength: 2 }),
  namespaces: fc.option(fc.subarray(['a', 'b', 'c']), { nil: undefined, freq: 2 }),
});

function narrowed(selector: WorkloadSelector, { expressions, namespaces }: Narrowing): WorkloadSelector {
  return {
    ...selector,
    ...(expressions.length === 0 ? {} : { expressions: sortedExpressions(expressions) }),
    ...(namespaces === undefined ? {} : { namespaces: new NameSet(namespaces) }),
  };
}

const KINDS: readonly PolicyKind[] = [
  'WorkloadNetworkPolicy',
  'NetworkPolicy',
  'AdminNetworkPolicy',
  'AdminNetworkPolicy',
  'BaselineAdminNetworkPolicy',
];

/** The policy as one of the kind could be. */
function asKind(policy: Policy, kind: PolicyKind, narrowings: readonly Narrowing[]): Policy {
  let next = 0;
  const narrow = (selector: WorkloadSelector) => {
    const by = narrowings[next++ % narrowings.length];
    return by === undefined ? selector : narrowed(selector, by);
  };
  const peerOf = (peer: Peer): Peer => (peer.type === 'workload' ? { ...peer, selector: narrow(peer.selector) } : peer);
  const direction = ({ rules, default: otherwise }: DirectionPolicy): DirectionPolicy => ({
    default: kind === 'NetworkPolicy' ? 'Deny' : kind === 'WorkloadNetworkPolicy' ? otherwise : 'Pass',
    rules: rules.map(({ action, peers, ...rule }) => ({
      ...rule,
      action: actionOf(kind, action),
      ...(peers === undefined ? {} : { peers: peers.map(peerOf) }),
    })),
  });
  const { ingress, egress, ...head } = policy;
  const own = kind === 'WorkloadNetworkPolicy';
  return {
    ...head,
    ...(own
      ? {}
      : { kind, mode: 'Enforce', priority: kind === 'AdminNetworkPolicy' ? Math.min(policy.priority, 1000) : 0 }),
    subject: narrow(policy.subject),
    ...(ingress === undefined ? {} : { ingress: direction(ingress) }),
    ...(egress === undefined ? {} : { egress: direction(egress) }),
  };
}

function actionOf(kind: PolicyKind, action: Policy['priority'] extends number ? DirectionPolicy['default'] : never) {
  if (kind === 'NetworkPolicy') return 'Allow';
  if (action !== 'Alert') return action;
  return kind === 'AdminNetworkPolicy' ? 'Pass' : kind === 'BaselineAdminNetworkPolicy' ? 'Deny' : action;
}

const kinds = fc.array(fc.constantFrom(...KINDS), { minLength: 6, maxLength: 6 });
const narrowings = fc.array(narrowing, { minLength: 1, maxLength: 7 });

const inputs: fc.Arbitrary<CompileInput> = fc
  .tuple(policies, kinds, narrowings, identities)
  .map(([plainly, as, by, known]) => ({
    policies: plainly.map((policy, i) => asKind(policy, as[i] ?? 'WorkloadNetworkPolicy', by)),
    identities: known,
  }));

/** Few peers, ports and addresses, so that rules of different tiers are about the same. */
const closePeer = fc.constantFrom<Peer>(
  ...['*', 'web', 'api'].map((name): Peer => {
    const selector = { workload: { namespace: '*', kind: '*', name }, container: '*', labels: {} };
    return { type: 'workload', selector };
  }),
  ...['10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0'].map(
    (text): Peer => ({ type: 'network', network: network(text), except: [] }),
  ),
);

const closeRule = fc
  .record({
    action: fc.constantFrom('Allow', 'Deny', 'Alert'),
    peers: fc.uniqueArray(closePeer, { minLength: 1, maxLength: 2 }),
    port: fc.option(fc.constantFrom(80, 81), { nil: undefined }),
  })
  .map(({ port, ...rule }): Rule => (port === undefined ? rule : { ...rule, ports: [{ protocol: 6, port }] }));

const closePolicies = fc
  .array(
    fc.record({
      rules: fc.array(closeRule, { minLength: 1, maxLength: 3 }),
      default: fc.constantFrom('Allow', 'Deny', 'Alert'),
      priority: fc.nat(3),
      mode: fc.constantFrom('Enforce', 'Enforce', 'Stage'),
      kind: fc.constantFrom(...KINDS),
    }),
    { minLength: 1, maxLength: 4 },
  )
  .map((bodies) =>
    bodies.map(({ rules, default: otherwise, priority, mode, kind }, i): Policy => {
      const subject = { workload: { namespace: '*', kind: '*', name: '*' }, container: '*', labels: {} };
      const [labels, part] = [{}, { rules, default: otherwise }];
      const head = { kind, namespace: '', name: `p${i}`, labels, annotations: {}, subject, priority, mode };
      return asKind({ ...head, explicitPriority: false, egress: part }, kind, []);
    }),
  );

const closeInputs: fc.Arbitrary<CompileInput> = closePolicies.map((made) => ({
  policies: made,
  identities: new Map(
    ['web', 'api', 'db'].map((name, i) => {
      const workload = { namespace: 'a', kind: 'Unit', name };
      return [Slot.First + i, { ...deriveIdentity('test', { workload, container: '', labels: {} }), ports: [] }];
    }),
  ),
}));

/** Everything there is to ask. */
const closeQuestions: readonly Question[] = [Slot.First, Slot.First + 1, Slot.First + 2, Slot.World, UNLISTED].flatMap(
  (slot) =>
    ['10.1.2.3', '10.2.0.1', '192.168.0.1'].flatMap((text) =>
      [80, 81, 82].map(
        (port): Question => ({
          subject: Slot.First,
          direction: 'egress',
          peer: { slot, address: address(text) },
          protocol: 6,
          port,
        }),
      ),
    ),
);

const wideWorlds = inputs.chain((input) =>
  fc.record({
    input: fc.constant(input),
    questions: fc.array(questionsAbout([...input.identities.keys()]), { minLength: 20, maxLength: 20 }),
  }),
);

const worlds = fc.oneof(
  wideWorlds,
  closeInputs.map((input) => ({ input, questions: closeQuestions })),
);

/** Whether the tables may deny what the policies allow. */
function isStricter({ policies: all }: CompileInput, { direction }: Question): boolean {
  if (direction === 'ingress') return all.some((policy) => policy.ingress?.rules.some(hasNetwork) && isAdmin(policy));
  const admin = all.filter(isAdmin);
  return problemsOfOrder(admin).some(({ code }) => code === 'PASS_BEFORE');
}

const isAdmin = ({ kind }: Policy): boolean => kind === 'AdminNetworkPolicy';
const hasNetwork = ({ peers }: { peers?: readonly Peer[] }): boolean =>
  peers?.some(({ type }) => type === 'network') ?? false;

/** Of the matches equal to the deciding one the rule with the lowest number. */
function ruleOf(tables: PolicyTables, decidedBy: Match | undefined, matches: readonly Match[]): number {
  if (decidedBy === undefined) return 0;
  const tied = matches.filter((match) => byPrecedence(match, decidedBy) === 0);
  const ids = [...tables.rules.values()].filter((info) =>
    tied.some(
      ({ policy, direction, name }) =>
        [policy, direction, name].join() === [info.policy, info.direction, info.name].join(),
    ),
  );
  return Math.min(...ids.map(({ id }) => id));
}

function expected(tables: PolicyTables, { enforced, staged, matches }: Evaluation) {
  const enforcing = matches.filter(({ mode }) => mode === 'Enforce');
  return {
    verdict: enforced.action,
    rule: ruleOf(tables, enforced.decidedBy, enforcing),
    staged: staged.action,
    stagedRule: ruleOf(tables, staged.decidedBy, matches),
  };
}

describe('policies of all tiers', function () {
  this.timeout(180_000);

  it('are compiled into tables that answer every question as they do', () => {
    let [exact, stricter] = [0, 0];
    fc.assert(
      fc.property(worlds, ({ input, questions }) => {
        const tables = compile(input);
        for (const question of questions) {
          const found = lookup(tables, question);
          const meant = expected(tables, evaluate(input, question));
          const said = {
            verdict: verdictName(found.verdict),
            rule: found.rule,
            staged: verdictName(found.stagedVerdict),
            stagedRule: found.stagedRule,
          };
          if (isStricter(input, question)) {
            stricter++;
            const permits = (verdict: string) => verdict !== 'Deny';
            assert.ok(permits(meant.verdict) || !permits(said.verdict), 'allows what should be denied');
            assert.ok(permits(meant.staged) || !permits(said.staged), 'allows what should be denied, if staged');
          } else {
            exact++;
            assert.deepEqual(said, meant);
            assert.equal(explain(input, tables, question).disagreement, undefined);
          }
        }
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
    assert.ok(exact > stricter && stricter > 0, `${exact} exact, ${stricter} stricter`);
  });

  it('leave nothing open to whose labels were cut, whatever they say', () => {
    fc.assert(
      fc.property(worlds, ({ input, questions }) => {
        const cut = (slot: number) => ({ ...input.identities.get(slot)!, labels: { [LABELS_LABEL]: LABELS_CUT } });
        const identities = new Map([...input.identities.keys()].map((slot) => [slot, { ...cut(slot), aliases: [] }]));
        const closed = { policies: [...input.policies, CLOSES_CUT], identities };
        const tables = compile(closed);
        for (const question of questions) {
          if (!identities.has(question.subject)) continue;
          const { verdict, rule } = lookup(tables, question);
          assert.equal(verdict, Verdict.Deny);
          assert.match(tables.rules.get(rule)?.policy ?? '', /^AdminNetworkPolicy /);
          assert.equal(explain(closed, tables, question).disagreement, undefined);
        }
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
  });

  it('let some peer what they let any one', () => {
    fc.assert(
      fc.property(worlds, ({ input, questions }) => {
        const tables = compile(input);
        for (const question of questions) {
          if (question.peer.slot === Slot.Host || question.peer.slot === Slot.World) continue;
          const one = lookup(tables, { ...question, direction: 'egress' });
          const some = lookup(tables, {
            ...question,
            direction: 'egress',
            peer: { ...question.peer, slot: Slot.Some },
          });
          assert.ok(some.verdict !== Verdict.Deny || one.verdict === Verdict.Deny, 'enforced');
          assert.ok(some.stagedVerdict !== Verdict.Deny || one.stagedVerdict === Verdict.Deny, 'staged');
          assert.ok(some.verdict !== Verdict.None && some.stagedVerdict !== Verdict.None);
        }
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
  });

  it('make the same tables from what is remembered as from nothing, in any order', () => {
    const visits = fc.array(fc.record({ policies: fc.nat(1), identities: fc.nat(2) }), { minLength: 2, maxLength: 4 });
    fc.assert(
      fc.property(fc.oneof(inputs, closeInputs), fc.oneof(inputs, closeInputs), visits, (one, other, path) => {
        const sets = [one.policies, other.policies];
        const known = [one.identities, other.identities, moved(one.identities)];
        const compiler = new Compiler();
        for (const visit of path) {
          const wanted = sets[visit.policies] ?? [];
          const input = { policies: wanted, identities: known[visit.identities] ?? new Map() };
          const fresh = compile({ ...input, policies: wanted.toReversed() });
          assert.deepEqual(plain(compiler.compile(input)), plain(fresh));
        }
      }),
      { numRuns: Math.ceil(RUNS / 3), endOnFailure: true },
    );
  });

  it('rank every place of every priority apart, before what is theirs', () => {
    const rank = (priority: number, place: number, kind: PolicyKind = 'AdminNetworkPolicy') =>
      rankOfRule({ kind, priority, mode: 'Enforce' }, 'Pass', place);
    const ranks = [0, 1, 511, 512, 513, 999, 1000].flatMap((priority) =>
      [0, 1, 63, MAX_ORDERED_RULES - 1].map((place) => rank(priority, place)),
    );
    assert.deepEqual(
      ranks,
      ranks.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(ranks).size, ranks.length);
    assert.ok(rank(1000, 127) < rank(0, 0, 'WorkloadNetworkPolicy'));
    assert.ok(rank(65_535, 0, 'WorkloadNetworkPolicy') < rank(0, 0, 'NetworkPolicy'));
    assert.ok(rank(0, 0, 'NetworkPolicy') < rank(0, 0, 'BaselineAdminNetworkPolicy'));
    assert.ok(rank(0, 127, 'BaselineAdminNetworkPolicy') < RANK_DEFAULT);
  });
});
