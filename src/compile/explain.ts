/**
 * Why a packet is judged as it is: the verdict from the compiled tables, the reasons from the policies. Where the
 * two disagree, the tables are not those of the policies, and the explanation says so.
 */
import type { Address } from '../model/address.ts';
import type { Direction } from '../model/policy.ts';
import { Slot } from '../model/slot.ts';
import { Verdict, verdictName, verdictOf } from '../model/verdict.ts';
import { type Answer, byPrecedence, deciding, evaluate, type Match } from './evaluate.ts';
import type { CompileInput, Question } from './input.ts';
import { isJudgedHere, lookup, UNSELECTED } from './lookup.ts';
import type { Decision, PolicyTables } from './tables.ts';

interface NumberedMatch extends Match {
  /** 0 where the tables know no such rule. */
  readonly rule: number;
}

/** A rule that matches, or a default, with its number and how it ranks. */
export interface ExplainedMatch extends NumberedMatch {
  readonly decides: boolean;
  readonly decidesStaged: boolean;
}

/** One end's judgement. */
export interface Explanation {
  readonly question: Question;
  /** What the tables say; of who is judged on another node, what the policies say. */
  readonly decision: Decision;
  /** False: no policy selects the subject in this direction. */
  readonly selected: boolean;
  /** All that match, in the order in which they decide; one that passes and those it passes over stand among them. */
  readonly matches: readonly ExplainedMatch[];
  /** What the policies say where the tables say otherwise. */
  readonly disagreement?: string;
}

/** Both ends of a conversation and what comes out. */
export interface ConversationExplanation {
  /** Absent where the source is no workload of ours. */
  readonly egress?: Explanation;
  /** Absent where the destination is none. */
  readonly ingress?: Explanation;
  /** `Deny` where one end denies, else `Alert` where one alerts, else `Allow`. */
  readonly verdict: number;
  readonly stagedVerdict: number;
}

/** One end of a conversation: a slot of an identity or a reserved one, and the address where it is known. */
export interface End {
  readonly slot: number;
  readonly address?: Address;
}

/** A first packet from one end to the other. */
export interface Conversation {
  readonly source: End;
  readonly destination: End;
  readonly protocol: number;
  readonly port: number;
}

/**
 * @param tables as compiled from the input, or as read from the kernel together with the compiled `rules`
 * @throws TypeError where the subject is not in the input or the tables are not whole
 */
export function explain(input: CompileInput, tables: PolicyTables, question: Question): Explanation {
  const { enforced, staged, matches } = evaluate(input, question);
  const numbers = new Map([...tables.rules.values()].map((info) => [refKey(info), info.id]));
  const numbered = matches.map((match) => ({ ...match, rule: numbers.get(refKey(match)) ?? 0 }));
  // Stable: matches come in the order of evaluation, which leaves open only what the number decides.
  numbered.sort((a, b) => byPrecedence(a, b) || a.rule - b.rule);
  const here = isJudgedHere(tables, question.subject);
  const decision = here ? lookup(tables, question) : decisionElsewhere(enforced, staged, numbered);
  const explained = numbered.map((match) => ({
    ...match,
    decides: match.rule !== 0 && match.rule === decision.rule,
    decidesStaged: match.rule !== 0 && match.rule === decision.stagedRule,
  }));
  const disagreement = disagreementOf(tables, decision, enforced, staged, explained);
  return {
    question,
    decision,
    selected: matches.length > 0,
    matches: explained,
    ...(disagreement === undefined ? {} : { disagreement }),
  };
}

/** What a node decides that has the same policies: this one has no tables for who is judged there. */
function decisionElsewhere(enforced: Answer, staged: Answer, matches: readonly NumberedMatch[]): Decision {
  const enforcing = matches.filter((match) => match.mode === 'Enforce');
  return {
    ...UNSELECTED,
    verdict: verdictOf(enforced.action),
    rule: deciding(enforcing)?.rule ?? 0,
    stagedVerdict: verdictOf(staged.action),
    stagedRule: deciding(matches)?.rule ?? 0,
  };
}

/** Explains both ends that are workloads of ours: egress at the source, ingress at the destination. */
export function explainConversation(
  input: CompileInput,
  tables: PolicyTables,
  { source, destination, protocol, port }: Conversation,
): ConversationExplanation {
  const at = (direction: Direction, subject: End, peer: End): Explanation | undefined =>
    subject.slot < Slot.First
      ? undefined
      : explain(input, tables, { subject: subject.slot, direction, peer, protocol, port });
  const egress = at('egress', source, destination);
  const ingress = at('ingress', destination, source);
  const decisions = [egress, ingress].map((end) => end?.decision ?? UNSELECTED);
  return {
    ...(egress === undefined ? {} : { egress }),
    ...(ingress === undefined ? {} : { ingress }),
    verdict: together(decisions.map((decision) => decision.verdict)),
    stagedVerdict: together(decisions.map((decision) => decision.stagedVerdict)),
  };
}

/** What two ends' verdicts come to. */
function together(verdicts: readonly number[]): number {
  const strictest = [Verdict.Deny, Verdict.Hold, Verdict.Alert].find((verdict) => verdicts.includes(verdict));
  return strictest ?? Verdict.Allow;
}

function refKey({ policy, direction, name }: { policy: string; direction: string; name: string }): string {
  return `${policy} ${direction} ${name}`;
}

function disagreementOf(
  tables: PolicyTables,
  decision: Decision,
  enforced: Answer,
  staged: Answer,
  matches: readonly ExplainedMatch[],
): string | undefined {
  const enforcing = matches.filter((match) => match.mode === 'Enforce');
  const first = { enforced: deciding(enforcing), staged: deciding(matches) };
  const wrongs = [
    compareLayer('enforced', tables, decision.verdict, decision.rule, enforced, first.enforced),
    compareLayer('staged', tables, decision.stagedVerdict, decision.stagedRule, staged, first.staged),
  ].filter((wrong) => wrong !== undefined);
  return wrongs.length === 0 ? undefined : wrongs.join('; ');
}

function compareLayer(
  layer: 'enforced' | 'staged',
  tables: PolicyTables,
  verdict: number,
  rule: number,
  { action }: Answer,
  wanted: ExplainedMatch | undefined,
): string | undefined {
  const sameRule = wanted === undefined ? rule === 0 : rule !== 0 && wanted.rule === rule;
  if (sameRule && verdictOf(action) === verdict) return undefined;
  const known = tables.rules.get(rule);
  const said = rule === 0 ? 'no rule' : known === undefined ? `rule ${rule}` : refKey(known);
  const meant = wanted === undefined ? 'no rule' : refKey(wanted);
  return `the ${layer} tables say ${verdictName(verdict)} by ${said}, the policies ${action} by ${meant}`;
}
