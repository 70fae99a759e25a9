/**
 * The meaning of policies, said as plainly as possible and as slowly as it takes: for every question, look at every
 * rule. The compiler is held against this; the two share the matching of single names, addresses and nothing else.
 */
import { networkContains } from '../model/address.ts';
import {
  type Direction,
  type Peer,
  type PolicyMode,
  type PortMatch,
  policyTitle,
  type Rule,
  ruleName,
} from '../model/policy.ts';
import { protocolName } from '../model/protocol.ts';
import { selects } from '../model/selector.ts';
import { Slot } from '../model/slot.ts';
import { Tier, tierOf } from '../model/tier.ts';
import type { Action, RuleAction } from '../model/verdict.ts';
import type { CompileInput, KnownIdentity, Question } from './input.ts';

/** A rule or default, as `RuleInfo` names it. */
export interface RuleRef {
  readonly policy: string;
  readonly direction: Direction;
  readonly name: string;
}

/** Why a rule's peers match: the first of these that holds. */
export type PeerReason =
  | { readonly by: 'any' }
  | { readonly by: 'workload' | 'network' | 'entity'; readonly peer: Peer };

/** Why a rule's ports match. */
export type PortReason = { readonly by: 'any' } | { readonly by: 'port'; readonly port: PortMatch };

/** A rule that matches a question, or the default of a policy that selects the subject. */
export interface Match extends RuleRef {
  /** Of the rule, or `Tier.Default`. */
  readonly tier: number;
  readonly priority: number;
  /** In its policy's list, where the kind's rules are in order; else 0. */
  readonly place: number;
  readonly mode: PolicyMode;
  readonly action: RuleAction;
  /** Absent for defaults. */
  readonly peer?: PeerReason;
  readonly ports?: PortReason;
}

export interface Answer {
  /** Absent: no policy that counts selects the subject in this direction, so everything is allowed. */
  readonly decidedBy?: Match;
  readonly action: Action;
}

export interface Evaluation {
  readonly enforced: Answer;
  /** As if the staged policies were enforced too. */
  readonly staged: Answer;
  /**
   * All that match, in the order in which they would decide; among equals by policy and rule name. The deciding one is
   * the first, unless an administrator's rule passes.
   */
  readonly matches: readonly Match[];
}

/** @throws TypeError where nobody has the subject's slot */
export function evaluate(input: CompileInput, question: Question): Evaluation {
  const subject = input.identities.get(question.subject);
  if (subject === undefined) throw new TypeError(`nobody has slot ${question.subject}`);
  const matches: Match[] = [];
  for (const policy of input.policies) {
    const part = policy[question.direction];
    if (part === undefined || !selects(policy.subject, subject)) continue;
    const { priority, mode } = policy;
    const tier = tierOf(policy.kind);
    const from = { policy: policyTitle(policy), direction: question.direction, priority, mode };
    if (part.default !== 'Pass') {
      matches.push({ ...from, tier: Tier.Default, place: 0, name: 'default', action: part.default });
    }
    for (const [i, rule] of part.rules.entries()) {
      const peer = matchPeers(input, question, rule);
      const ports = matchPorts(input, question, rule);
      if (peer === undefined || ports === undefined) continue;
      const place = tier === Tier.Admin || tier === Tier.Baseline ? i : 0;
      matches.push({ ...from, tier, place, name: ruleName(rule, i), action: rule.action, peer, ports });
    }
  }
  matches.sort((a, b) => byPrecedence(a, b) || byName(a, b));
  return {
    enforced: answer(matches.filter((match) => match.mode === 'Enforce')),
    staged: answer(matches),
    matches,
  };
}

/** Which of two matches decides before the other; 0 where only a name can tell. */
export function byPrecedence(a: Match, b: Match): number {
  if (a.tier !== b.tier) return a.tier - b.tier;
  // A default is one whatever its policy's priority.
  if (a.tier === Tier.Default) return byAction(a, b) || byMode(a, b);
  return a.priority - b.priority || a.place - b.place || byAction(a, b) || byMode(a, b);
}

function answer(matches: readonly Match[]): Answer {
  const decidedBy = deciding(matches);
  // `deciding` returns none that passes.
  return decidedBy === undefined ? { action: 'Allow' } : { action: decidedBy.action as Action, decidedBy };
}

/** @param matches in their order, of those that count */
export function deciding<T extends Match>(matches: readonly T[]): T | undefined {
  const [first] = matches;
  if (first?.action !== 'Pass') return first;
  // Whom an administrator passes no other administrator judges.
  return matches.find((match) => match.tier !== Tier.Admin);
}

function byAction(a: Match, b: Match): number {
  const order: RuleAction[] = ['Deny', 'Alert', 'Allow', 'Pass'];
  return order.indexOf(a.action) - order.indexOf(b.action);
}

/** Among equals a staged rule is named last. */
function byMode(a: Match, b: Match): number {
  return (a.mode === 'Stage' ? 1 : 0) - (b.mode === 'Stage' ? 1 : 0);
}

function byName(a: Match, b: Match): number {
  const [x, y] = [`${a.policy} ${a.name}`, `${b.policy} ${b.name}`];
  return x < y ? -1 : x > y ? 1 : 0;
}

function matchPeers(input: CompileInput, question: Question, rule: Rule): PeerReason | undefined {
  if (rule.peers === undefined) return { by: 'any' };
  for (const peer of rule.peers) {
    if (matchesPeer(input, question, peer)) return { by: peer.type, peer };
  }
  return undefined;
}

function matchesPeer(input: CompileInput, { peer }: Question, wanted: Peer): boolean {
  if (wanted.type === 'entity') return peer.slot === (wanted.entity === 'host' ? Slot.Host : Slot.World);
  if (wanted.type === 'network') {
    const { address } = peer;
    if (address === undefined || !networkContains(wanted.network, address)) return false;
    return !wanted.except.some((network) => networkContains(network, address));
  }
  const identity = input.identities.get(peer.slot);
  if (identity !== undefined) return selects(wanted.selector, identity);
  // Somebody of whom only that he is a workload is known is meant by nothing but "every workload".
  return peer.slot !== Slot.Host && peer.slot !== Slot.World && meansAll(wanted.selector);
}

function meansAll(selector: Extract<Peer, { type: 'workload' }>['selector']): boolean {
  const { workload, container, labels, namespaces, expressions } = selector;
  const parts = [workload.namespace, workload.kind, workload.name, container];
  const narrowed = namespaces !== undefined || expressions !== undefined || Object.keys(labels).length > 0;
  return parts.every((part) => /^[*]+$/.test(part)) && !narrowed;
}

function matchPorts(input: CompileInput, question: Question, rule: Rule): PortReason | undefined {
  if (rule.ports === undefined) return { by: 'any' };
  const receiver = question.direction === 'ingress' ? question.subject : question.peer.slot;
  // A peer that matches by address only has no names for its ports as far as this rule knows.
  const names = question.direction === 'ingress' || matchesByIdentity(input, question, rule);
  const port = rule.ports.find((match) =>
    matchesPort(question, match, names ? input.identities.get(receiver) : undefined),
  );
  return port === undefined ? undefined : { by: 'port', port };
}

function matchesByIdentity(input: CompileInput, question: Question, rule: Rule): boolean {
  return rule.peers?.some((peer) => peer.type !== 'network' && matchesPeer(input, question, peer)) ?? true;
}

function matchesPort(question: Question, match: PortMatch, receiver: KnownIdentity | undefined): boolean {
  if (match.protocol !== question.protocol) return false;
  if (match.port === undefined) return true;
  if (typeof match.port === 'number') {
    return match.port <= question.port && question.port <= (match.endPort ?? match.port);
  }
  const protocol = protocolName(match.protocol);
  return (
    receiver?.ports.some(
      (port) => port.name === match.port && port.protocol === protocol && port.port === question.port,
    ) ?? false
  );
}
