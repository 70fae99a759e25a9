import { portCovers, ruleCovers } from './coverage.ts';
import type { NamedPort } from './endpoint.ts';
import type { Identity } from './identity.ts';
import type { LocatedHardeningPolicy, LocatedPolicy } from './located-policy.ts';
import {
  type Direction,
  type DirectionPolicy,
  type Policy,
  type PortMatch,
  policyKey,
  policyName,
  ruleName,
} from './policy.ts';
import type { Place, PolicyProblem, ProblemCode } from './problem.ts';
import { PROTOCOLS, protocolName } from './protocol.ts';
import { formatSelector, selects } from './selector.ts';
import { SelectorIndex } from './selector-index.ts';
import { ACTION_ORDER, type RuleAction } from './verdict.ts';

/** Most problems of each kind that are reported of one set. */
export const MAX_SET_PROBLEMS = 100;

/** Above this many rules in a list shadowed ones are not looked for: every pair has to be compared. */
const MAX_SHADOW_RULES = 512;

const DIRECTIONS = ['ingress', 'egress'] as const satisfies readonly Direction[];

/** What a policy set is held against for warnings; without it only errors and self-contained warnings are found. */
export interface Surroundings {
  readonly identities: Iterable<Identity & { readonly ports?: readonly NamedPort[] }>;
}

/**
 * Checks what no single file shows: names given twice, priorities that leave open who is right, and policies that
 * probably do not do what was meant. Errors come first.
 */
export function checkPolicySet(policies: readonly LocatedPolicy[], surroundings?: Surroundings): PolicyProblem[] {
  return [...policySetErrors(policies), ...policySetWarnings(policies, surroundings)];
}

/**
 * Only what keeps policies from being enforced together: cheap enough for every change.
 * @param fresh those of the policies that are new, where the others are known to be good together: only what they
 * have a part in is looked for
 */
export function policySetErrors(
  policies: readonly LocatedPolicy[],
  fresh: ReadonlySet<LocatedPolicy> = new Set(policies),
): PolicyProblem[] {
  const enforced = policies.filter(({ policy }) => policy.mode === 'Enforce' && policy.explicitPriority);
  return [...firstProblems(duplicates(policies, fresh)), ...firstProblems(priorityConflicts(enforced, fresh))];
}

/** Only what is probably not meant; compares rules with each other, so not for every change. */
export function policySetWarnings(policies: readonly LocatedPolicy[], surroundings?: Surroundings): PolicyProblem[] {
  const enforced = policies.filter(({ policy }) => policy.mode === 'Enforce');
  return [
    ...firstProblems(shadowedRules(policies)),
    ...firstProblems(dnsLockouts(enforced)),
    ...firstProblems(unusedPortNames(policies)),
    ...(surroundings === undefined ? [] : firstProblems(selectingNothing(policies, [...surroundings.identities]))),
  ];
}

/** As many as are reported. */
export function* firstProblems(problems: Iterable<PolicyProblem>): Generator<PolicyProblem> {
  let left = MAX_SET_PROBLEMS;
  for (const problem of problems) {
    if (left-- === 0) return;
    yield problem;
  }
}

/** Policies of one family with the same kind, namespace and name. */
export function* duplicates<T extends LocatedPolicy | LocatedHardeningPolicy>(
  policies: readonly T[],
  fresh: ReadonlySet<T>,
): Generator<PolicyProblem> {
  const seen = new Map<string, T>();
  const names = new Set([...fresh].map(({ policy }) => policy.name));
  for (const located of policies) {
    if (!names.has(located.policy.name)) continue;
    const key = policyKey(located.policy);
    const other = seen.get(key);
    if (other === undefined) {
      seen.set(key, located);
      continue;
    }
    yield {
      ...problemAt('DUPLICATE_POLICY', 'error', located.origin, 'metadata.name'),
      found: `a second ${key}`,
      wanted: 'a name no other policy of its kind has in its namespace',
      related: [placeOf(other)],
    };
  }
}

/**
 * Two enforced policies with the same priority, given on purpose, on the same workload, where one denies and the
 * other does not: whoever wrote them meant an order and did not say it.
 */
function* priorityConflicts(
  policies: readonly LocatedPolicy[],
  fresh: ReadonlySet<LocatedPolicy>,
): Generator<PolicyProblem> {
  const priorities = new Set([...fresh].map(({ policy }) => policy.priority));
  const byPriority = Map.groupBy(
    policies.filter(({ policy }) => priorities.has(policy.priority)),
    ({ policy }) => policy.priority,
  );
  for (const [priority, group] of byPriority) {
    const reported = new Set<string>();
    for (const direction of DIRECTIONS) {
      for (const [permitting, denying] of contradictions(group, direction, fresh)) {
        const order = [permitting, denying].sort((a, b) => group.indexOf(a) - group.indexOf(b));
        const [earlier, later] = [order[0] ?? permitting, order[1] ?? denying];
        const pair = `${policyKey(earlier.policy)} ${policyKey(later.policy)}`;
        if (reported.has(pair)) continue;
        reported.add(pair);
        const [no, yes] = [policyName(denying.policy), policyName(permitting.policy)];
        yield {
          ...problemAt('PRIORITY_CONFLICT', 'error', { ...later.origin, ...later.origin.priority }, 'spec.priority'),
          found: `priority ${priority}, which ${policyKey(earlier.policy)} has too`,
          wanted: 'another priority, so that it is clear which of the two decides',
          hint: `${no} denies and ${yes} permits ${direction} of ${formatSelector(later.policy.subject)}`,
          related: [placeOf(earlier)],
        };
      }
    }
  }
}

/**
 * Pairs of which one permits and the other denies something in the direction, on subjects both can select, and of
 * which at least one is fresh.
 */
function* contradictions(
  group: readonly LocatedPolicy[],
  direction: Direction,
  fresh: ReadonlySet<LocatedPolicy>,
): Generator<[LocatedPolicy, LocatedPolicy]> {
  const [denying, freshDenying] = [new SelectorIndex<LocatedPolicy>(), new SelectorIndex<LocatedPolicy>()];
  for (const located of group) {
    const { policy } = located;
    if (!actionsOf(policy[direction]).deny) continue;
    denying.add(policy.subject, located);
    if (fresh.has(located)) freshDenying.add(policy.subject, located);
  }
  for (const located of group) {
    const { policy } = located;
    if (!actionsOf(policy[direction]).permit) continue;
    const others = fresh.has(located) ? denying : freshDenying;
    for (const other of others.intersecting(policy.subject)) if (other !== located) yield [located, other];
  }
}

interface Actions {
  readonly permit: boolean;
  readonly deny: boolean;
}

/** Looked for once in each version of a policy, which may have thousands of rules. */
const actions = new WeakMap<DirectionPolicy, Actions>();

function actionsOf(part: DirectionPolicy | undefined): Actions {
  if (part === undefined) return { permit: false, deny: false };
  const known = actions.get(part);
  if (known !== undefined) return known;
  const deny = part.rules.some((rule) => rule.action === 'Deny');
  const permit = part.rules.some((rule) => rule.action !== 'Deny');
  const found = { permit, deny };
  actions.set(part, found);
  return found;
}

/** Inside a policy deny comes before alert before allow, so a rule is dead under one of those that covers it. */
function* shadowedRules(policies: readonly LocatedPolicy[]): Generator<PolicyProblem> {
  for (const { policy, origin } of policies) {
    for (const direction of DIRECTIONS) {
      const rules = policy[direction]?.rules ?? [];
      if (rules.length > MAX_SHADOW_RULES) continue;
      for (const [i, rule] of rules.entries()) {
        const by = rules.findIndex(
          (other, j) => decidesBefore(other.action, j, rule.action, i) && ruleCovers(other, rule),
        );
        const cover = rules[by];
        if (cover === undefined) continue;
        yield {
          ...problemAt('RULE_SHADOWED', 'warning', { ...origin, ...origin[direction][i] }, `spec.${direction}[${i}]`),
          found: `rule ${ruleName(rule, i)} (${rule.action}), all of which rule ${ruleName(cover, by)} (${cover.action}) decides`,
          wanted: 'a rule that can decide something',
        };
      }
    }
  }
}

function decidesBefore(a: RuleAction, i: number, b: RuleAction, j: number): boolean {
  const order = ACTION_ORDER[a] - ACTION_ORDER[b];
  return order < 0 || (order === 0 && i < j);
}

const DNS = { protocol: PROTOCOLS.UDP, port: 53 };

/** Denying egress without a way to a name server is the most frequent way to break a workload by policy. */
function* dnsLockouts(policies: readonly LocatedPolicy[]): Generator<PolicyProblem> {
  const open = new SelectorIndex<Policy>();
  for (const { policy } of policies) if (letsDnsOut(policy)) open.add(policy.subject, policy);
  for (const { policy, origin } of policies) {
    if (policy.egress?.default !== 'Deny') continue;
    const [other] = open.intersecting(policy.subject);
    if (other !== undefined) continue;
    yield {
      ...problemAt('DNS_LOCKED_OUT', 'warning', origin, 'spec.egress'),
      found: `egress denied by default from ${formatSelector(policy.subject)}, and no rule for UDP port 53`,
      wanted: 'an egress rule that lets name lookups out, unless none are needed',
    };
  }
}

function letsDnsOut(policy: Policy): boolean {
  const rules = policy.egress?.rules ?? [];
  return rules.some(({ action, ports }) => action !== 'Deny' && (ports === undefined || ports.some(isDns)));
}

function isDns(match: PortMatch): boolean {
  const named = typeof match.port === 'string';
  return named
    ? match.protocol === DNS.protocol && (match.port === 'dns' || match.port === 'domain')
    : portCovers(match, DNS);
}

/** Port names of egress rules are those of the peer, and only a workload has any. */
function* unusedPortNames(policies: readonly LocatedPolicy[]): Generator<PolicyProblem> {
  for (const { policy, origin } of policies) {
    for (const [i, rule] of (policy.egress?.rules ?? []).entries()) {
      if (rule.peers === undefined || rule.peers.some((peer) => peer.type === 'workload')) continue;
      for (const [j, { protocol, port }] of (rule.ports ?? []).entries()) {
        if (typeof port !== 'string') continue;
        yield {
          ...problemAt(
            'PORT_NAME_UNUSED',
            'warning',
            { ...origin, ...origin.egress[i] },
            `spec.egress[${i}].ports[${j}].port`,
          ),
          found: `the port name ${port} (${protocolName(protocol)}) where every peer is a network or an entity`,
          wanted: 'a port number: only workloads name their ports',
        };
      }
    }
  }
}

export function* selectingNothing(
  policies: readonly (LocatedPolicy | LocatedHardeningPolicy)[],
  identities: readonly Identity[],
): Generator<PolicyProblem> {
  const present = new SelectorIndex<Identity>();
  for (const identity of identities) present.addIdentity(identity, identity);
  for (const { policy, origin } of policies) {
    let found = false;
    for (const identity of present.intersecting(policy.subject)) {
      found = selects(policy.subject, identity);
      if (found) break;
    }
    if (found) continue;
    yield {
      ...problemAt('SELECTS_NOTHING', 'warning', origin, 'spec.subject'),
      found: `the subject ${formatSelector(policy.subject)}, which is none of the ${identities.length} identities present`,
      wanted: 'a workload that runs here, unless it is to come',
    };
  }
}

export function problemAt(code: ProblemCode, severity: 'error' | 'warning', place: Place, path: string) {
  const { file, line, column } = place;
  return { code, severity, file, line, column, path };
}

function placeOf({ origin }: LocatedPolicy | LocatedHardeningPolicy): Place {
  return { file: origin.file, line: origin.line, column: origin.column };
}
