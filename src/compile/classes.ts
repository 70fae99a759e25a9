/**
 * From a list of rules to what they say about every protocol and port, as few entries as the kernel's lookup order
 * (single port, longest range, any) needs.
 */
import { contentId } from './hash.ts';
import { type Bands, bandsOf, passes, settle } from './passing.ts';
import type { Outcome, PortSpan } from './rules.ts';
import type { Class, Decision, PortEntry } from './tables.ts';

/** A rule that some peer meets, with its port names already looked up. */
export interface PortRule {
  readonly outcome: Outcome;
  readonly staged: boolean;
  /** Absent: any protocol and port. Empty: none. */
  readonly spans?: readonly PortSpan[];
}

/** What holds where no rule matches, in both layers. */
export interface Fallback {
  readonly enforced: Outcome;
  readonly staged: Outcome;
}

/** What a class of peers known by name needs to know of rules for addresses; of each list the order is theirs. */
export interface Beside {
  /** Rank of the last of administrators' rules that allows or denies addresses; -1: there is none. */
  readonly last: number;
  /** Rules of other tiers that deny addresses. */
  readonly denies: readonly PortRule[];
  /** Administrators' rules that pass addresses. */
  readonly passes: readonly PortRule[];
}

/** Each layer's rules by tier, where some rule passes to a lower one. */
interface Passing {
  readonly enforced: Bands;
  readonly staged: Bands;
}

/** @param rules in the order in which they decide */
export function buildClass(rules: readonly PortRule[], fallback: Fallback, beside?: Beside): Class {
  const passing = passingOf(rules, fallback, beside);
  const any = decide(rules, fallback, passing, (rule) => rule.spans === undefined);
  const protocols = new Set<number>();
  for (const { spans } of relevant(rules, passing)) for (const { protocol } of spans ?? []) protocols.add(protocol);
  const ports: PortEntry[] = [];
  for (const protocol of [...protocols].sort((a, b) => a - b)) {
    for (const entry of protocolEntries(rules, fallback, passing, protocol, any)) ports.push(entry);
  }
  return { id: contentId(encodeClass(any, ports)), any, ports };
}

function passingOf(rules: readonly PortRule[], fallback: Fallback, beside: Beside | undefined): Passing | undefined {
  if (!passes(rules, beside)) return undefined;
  const unstaged = rules.filter((rule) => !rule.staged);
  return {
    enforced: bandsOf(unstaged, fallback.enforced, beside, (rule) => !rule.staged),
    staged: bandsOf(rules, fallback.staged, beside, () => true),
  };
}

/** All rules that bear on the class. */
function relevant(rules: readonly PortRule[], passing: Passing | undefined): readonly PortRule[] {
  return passing === undefined ? rules : [...rules, ...passing.staged.blind, ...passing.staged.passes];
}

/** In each layer the first rule that `matches` says counts, unless it passes. */
function decide(
  rules: readonly PortRule[],
  fallback: Fallback,
  passing: Passing | undefined,
  matches: (rule: PortRule) => boolean,
): Decision {
  if (passing !== undefined) {
    const first = (list: readonly PortRule[]) => list.find(matches)?.outcome;
    return decisionOf(settle(passing.enforced, first), settle(passing.staged, first));
  }
  const staged = rules.find(matches);
  const enforced = staged?.staged === true ? rules.find((rule) => !rule.staged && matches(rule)) : staged;
  return decisionOf(enforced?.outcome ?? fallback.enforced, staged?.outcome ?? fallback.staged);
}

function* protocolEntries(
  rules: readonly PortRule[],
  fallback: Fallback,
  passing: Passing | undefined,
  protocol: number,
  any: Decision,
): Generator<PortEntry> {
  const isWhole = (span: PortSpan): boolean => span.protocol === protocol && span.first === 0 && span.last === 65_535;
  const whole = decide(rules, fallback, passing, ({ spans }) => spans === undefined || spans.some(isWhole));
  const runs = segments(rules, passing, protocol, whole);
  // Ranges that are the whole only together: there is one entry for all ports.
  const all = runs.find(({ first, last }) => first === 0 && last === 65_535);
  const decision = all?.decision ?? whole;
  if (!sameDecision(decision, any)) yield { protocol, port: 0, prefix: 0, decision };
  if (all !== undefined) return;
  for (const run of runs) {
    for (const { port, prefix } of prefixes(run.first, run.last)) {
      yield { protocol, port, prefix, decision: run.decision };
    }
  }
}

interface Segment {
  readonly first: number;
  readonly last: number;
  readonly decision: Decision;
}

/** The runs of ports that are decided otherwise than the protocol as a whole. */
function segments(
  rules: readonly PortRule[],
  passing: Passing | undefined,
  protocol: number,
  whole: Decision,
): Segment[] {
  const bounds = new Set<number>();
  for (const { spans } of relevant(rules, passing)) {
    for (const span of spans ?? []) if (span.protocol === protocol) bounds.add(span.first).add(span.last + 1);
  }
  const starts = [...bounds].sort((a, b) => a - b);
  const { enforced: paintedUnstaged, staged: painted } = paintLayers(rules, passing, protocol, starts);
  const found: Segment[] = [];
  for (let i = 0; i + 1 < starts.length; i++) {
    const [first, next] = [starts[i] ?? 0, starts[i + 1] ?? 0];
    const enforced = paintedUnstaged[i];
    const staged = painted[i];
    const decision = decisionOf(enforced ?? enforcedOf(whole), staged ?? stagedOf(whole));
    const before = found.at(-1);
    if (sameDecision(decision, whole)) continue;
    if (before !== undefined && before.last + 1 === first && sameDecision(before.decision, decision)) {
      found[found.length - 1] = { ...before, last: next - 1 };
    } else {
      found.push({ first, last: next - 1, decision });
    }
  }
  return found;
}

type Painted = readonly (Outcome | undefined)[];

function paintLayers(
  rules: readonly PortRule[],
  passing: Passing | undefined,
  protocol: number,
  starts: readonly number[],
): { readonly enforced: Painted; readonly staged: Painted } {
  if (passing !== undefined) {
    const both = (bands: Bands) => paintBands(bands, protocol, starts);
    return { enforced: both(passing.enforced), staged: both(passing.staged) };
  }
  const staged = paint(rules, protocol, starts);
  const unstaged = rules.filter((rule) => !rule.staged);
  return { enforced: unstaged.length === rules.length ? staged : paint(unstaged, protocol, starts), staged };
}

function paintBands(bands: Bands, protocol: number, starts: readonly number[]): Painted {
  const { upper, lower, blind, passes: passed } = bands;
  const painted = new Map([upper, lower, blind, passed].map((list) => [list, paint(list, protocol, starts)]));
  return starts.map((_, i) => settle(bands, (list) => painted.get(list)?.[i]));
}

/**
 * The deciding rule of each segment between two starts, where a rule is about it. Rules take, in their order, the
 * segments nobody took; `next` skips the taken ones, so that each is taken once.
 */
function paint(rules: readonly PortRule[], protocol: number, starts: readonly number[]): Painted {
  const indexOf = new Map(starts.map((start, i) => [start, i]));
  const taken: (Outcome | undefined)[] = new Array(starts.length);
  const next = Array.from({ length: starts.length + 1 }, (_, i) => i);
  const free = (i: number): number => {
    let root = i;
    while (next[root] !== root) root = next[root] ?? root;
    for (let at = i; at !== root; ) {
      const step = next[at] ?? root;
      next[at] = root;
      at = step;
    }
    return root;
  };
  const take = (from: number, to: number, outcome: Outcome): void => {
    for (let i = free(from); i < to; i = free(i)) {
      taken[i] = outcome;
      next[i] = i + 1;
    }
  };
  for (const { outcome, spans } of rules) {
    if (spans === undefined) {
      take(0, starts.length, outcome);
      break;
    }
    for (const { protocol: over, first, last } of spans) {
      if (over === protocol) take(indexOf.get(first) ?? 0, indexOf.get(last + 1) ?? starts.length, outcome);
    }
  }
  return taken;
}

/** The fewest aligned blocks that make up a run of ports; `prefix` counts the fixed bits of 16. */
export function* prefixes(first: number, last: number): Generator<{ port: number; prefix: number }> {
  let port = first;
  while (port <= last) {
    let bits = 0;
    while (bits < 16 && port % (2 << bits) === 0 && port + (2 << bits) - 1 <= last) bits++;
    yield { port, prefix: 16 - bits };
    port += 1 << bits;
  }
}

function decisionOf(enforced: Outcome, staged: Outcome): Decision {
  return {
    rank: enforced.rank,
    rule: enforced.rule,
    stagedRank: staged.rank,
    stagedRule: staged.rule,
    verdict: enforced.verdict,
    stagedVerdict: staged.verdict,
  };
}

function enforcedOf(decision: Decision): Outcome {
  return { rank: decision.rank, rule: decision.rule, verdict: decision.verdict };
}

function stagedOf(decision: Decision): Outcome {
  return { rank: decision.stagedRank, rule: decision.stagedRule, verdict: decision.stagedVerdict };
}

/** Whether two decisions are the same in every field. */
export function sameDecision(a: Decision, b: Decision): boolean {
  return (
    a.rank === b.rank &&
    a.rule === b.rule &&
    a.verdict === b.verdict &&
    a.stagedRank === b.stagedRank &&
    a.stagedRule === b.stagedRule &&
    a.stagedVerdict === b.stagedVerdict
  );
}

const DECISION_BYTES = 18;
const ENTRY_BYTES = 4 + DECISION_BYTES;

function encodeClass(any: Decision, ports: readonly PortEntry[]): Buffer {
  const bytes = Buffer.allocUnsafe(DECISION_BYTES + ports.length * ENTRY_BYTES);
  let at = encodeDecision(bytes, 0, any);
  for (const { protocol, port, prefix, decision } of ports) {
    at = bytes.writeUInt8(protocol, at);
    at = bytes.writeUInt16BE(port, at);
    at = bytes.writeUInt8(prefix, at);
    at = encodeDecision(bytes, at, decision);
  }
  return bytes;
}

function encodeDecision(bytes: Buffer, offset: number, decision: Decision): number {
  let at = bytes.writeUInt32BE(decision.rank, offset);
  at = bytes.writeUInt32BE(decision.rule, at);
  at = bytes.writeUInt32BE(decision.stagedRank, at);
  at = bytes.writeUInt32BE(decision.stagedRule, at);
  at = bytes.writeUInt8(decision.verdict, at);
  return bytes.writeUInt8(decision.stagedVerdict, at);
}
