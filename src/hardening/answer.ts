import type { HardeningPolicy, Posture } from '../model/hardening.ts';
import type { PolicyMode } from '../model/policy.ts';
import { type Action, verdictName } from '../model/verdict.ts';
import type { HardeningRuleRef } from './clauses.ts';
import { type Judgement, ProfileReader } from './judge.ts';
import { POSTURE_OF } from './paths.ts';
import type { CompiledProfile } from './profile.ts';
import type { Question } from './question.ts';

/** Who said it in one layer. */
export interface Saying {
  readonly verdict: string;
  readonly rule?: HardeningRuleRef;
  /** No rule spoke: policies whose default it is, by `namespace/name`; empty: none has one. */
  readonly defaultOf?: readonly string[];
}

/** What a profile says of a question. */
export interface Answer {
  readonly enforced: Saying;
  /** If the staged policies were enforced; absent where that is the same. */
  readonly staged?: Saying;
}

/**
 * What the pages of a profile say, as the kernel reads them, and by which rules.
 * @param policies it was compiled from
 * @param executables what asks is, or was started by, one of these
 */
export function answer(
  profile: CompiledProfile,
  policies: readonly HardeningPolicy[],
  question: Question,
  executables: readonly string[] = [],
): Answer {
  const reader = new ProfileReader(profile.pages);
  const bits = executables.reduce((all, path) => all | reader.executables(path), 0n);
  const judgement = judge(reader, question, bits);
  const posture = postureOf(question);
  const say = (verdict: number, rule: number, modes: readonly PolicyMode[]): Saying => {
    const name = verdictName(verdict);
    const ref = profile.rules.get(rule);
    if (ref !== undefined) return { verdict: name, rule: ref };
    return { verdict: name, defaultOf: defaultOf(policies, posture, name as Action, modes) };
  };
  const enforced = say(judgement.verdict, judgement.rule, ['Enforce']);
  const staged = say(judgement.stagedVerdict, judgement.stagedRule, ['Enforce', 'Stage']);
  const same = judgement.verdict === judgement.stagedVerdict && judgement.rule === judgement.stagedRule;
  return same ? { enforced } : { enforced, staged };
}

function judge(reader: ProfileReader, question: Question, bits: bigint): Judgement {
  switch (question.type) {
    case 'path':
      return reader.path(question.access, question.path, bits);
    case 'rename':
      return strictest([
        reader.path('delete', question.from, bits),
        reader.path('create', question.to, bits),
        reader.moving(question.from, question.to, { directory: question.directory, executables: bits }),
      ]);
    case 'capability':
      return reader.capability(question.capability, question.inUserNamespace, bits);
    case 'operation':
      return reader.operation(question.operation, bits);
    case 'socket':
      return reader.socket(question.family, question.kind, question.protocol, bits);
    case 'mount':
      return reader.mount(question.operation, question.fileSystem, { writable: true, device: false }, bits);
    case 'connection':
      return reader.network(question.address, question.protocol, question.port, bits);
  }
}

const STRICTNESS = ['None', 'Allow', 'Alert', 'Deny'];

/** Each layer by the one that refuses most; of equals the first. */
function strictest(all: readonly Judgement[]): Judgement {
  const most = (of: (one: Judgement) => number): Judgement => all.reduce((a, b) => (rank(of(b)) > rank(of(a)) ? b : a));
  const { verdict, rule } = most((one) => one.verdict);
  const { stagedVerdict, stagedRule } = most((one) => one.stagedVerdict);
  return { verdict, rule, stagedVerdict, stagedRule };
}

const rank = (verdict: number): number => STRICTNESS.indexOf(verdictName(verdict));

function postureOf(question: Question): Posture {
  switch (question.type) {
    case 'path':
      return POSTURE_OF[question.access];
    case 'rename':
      return 'files';
    case 'capability':
      return 'capabilities';
    case 'operation':
      return 'operations';
    case 'socket':
      return 'sockets';
    case 'mount':
      return 'mounts';
    case 'connection':
      return 'network';
  }
}

function defaultOf(
  policies: readonly HardeningPolicy[],
  posture: Posture,
  action: Action,
  modes: readonly PolicyMode[],
): string[] {
  return policies
    .filter((policy) => modes.includes(policy.mode) && policy.defaults[posture] === action)
    .map(({ namespace, name }) => (namespace === '' ? name : `${namespace}/${name}`));
}
