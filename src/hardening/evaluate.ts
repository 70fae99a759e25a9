/**
 * The meaning of hardening policies, said as plainly as possible and as slowly as it takes: for every question, look at
 * every rule. The compiler is held against this; the two share how single patterns are read and nothing else.
 */
import { type Address, networkContains } from '../model/address.ts';
import type {
  FileAccess,
  HardeningPolicy,
  HardeningRule,
  MountOperation,
  Operation,
  Posture,
  Target,
} from '../model/hardening.ts';
import { parsePathGlob } from '../model/path-glob.ts';
import { pathGlobMatch } from '../model/path-glob-match.ts';
import type { Action } from '../model/verdict.ts';
import type { HardeningRuleRef, ReadyRules } from './clauses.ts';

/** What somebody is about to do. */
export type Deed =
  | { readonly type: 'path'; readonly access: FileAccess; readonly path: string | Uint8Array }
  | { readonly type: 'capability'; readonly number: number; readonly within: 'container' | 'user-namespace' }
  | { readonly type: 'operation'; readonly operation: Operation }
  | { readonly type: 'socket'; readonly family: number; readonly kind: number; readonly protocol: number }
  | {
      readonly type: 'mount';
      readonly operation: MountOperation;
      readonly fileSystem: string;
      readonly writable: boolean;
      readonly device: boolean;
    }
  | { readonly type: 'network'; readonly address: Address; readonly protocol: number; readonly port: number };

export interface Answer {
  readonly action: Action;
  /** Absent: a default. */
  readonly decidedBy?: HardeningRuleRef;
}

export interface Evaluation {
  readonly enforced: Answer;
  /** As if the staged policies were enforced too. */
  readonly staged: Answer;
  /** All rules that match, the deciding one first. */
  readonly matches: readonly HardeningRuleRef[];
}

/**
 * @param executables what the task is, and what started it, by canonical path
 * @throws TypeError for a ready rule that does not exist
 */
export function evaluate(
  policies: readonly HardeningPolicy[],
  ready: ReadyRules,
  deed: Deed,
  executables: readonly (string | Uint8Array)[] = [],
): Evaluation {
  const matches: HardeningRuleRef[] = [];
  for (const policy of policies) {
    for (const [index, rule] of policy.rules.entries()) {
      if (!meansExecutables(rule, executables)) continue;
      const { kind, namespace, name, mode, priority } = policy;
      const ref = {
        kind,
        namespace,
        policy: name,
        rule: rule.name ?? String(index),
        action: rule.action,
        mode,
        priority,
      };
      if (rule.targets.some((target) => meansDeed(target, deed))) matches.push(ref);
      for (const word of new Set(rule.ready)) {
        const found = ready.get(word);
        if (found === undefined) throw new TypeError(`there is no ready rule ${word}`);
        if (found.targets.some((target) => meansDeed(target, deed))) matches.push({ ...ref, ready: word });
      }
    }
  }
  matches.sort((a, b) => a.priority - b.priority || strictness(a.action) - strictness(b.action) || byMode(a, b));
  const enforced = policies.filter((policy) => policy.mode === 'Enforce');
  return {
    enforced: answer(
      matches.find((match) => match.mode === 'Enforce'),
      enforced,
      deed,
    ),
    staged: answer(matches[0], policies, deed),
    matches,
  };
}

function answer(match: HardeningRuleRef | undefined, policies: readonly HardeningPolicy[], deed: Deed): Answer {
  if (match !== undefined) return { action: match.action, decidedBy: match };
  const defaults = policies.map((policy) => policy.defaults[postureOf(deed)] ?? 'Allow');
  return { action: defaults.sort((a, b) => strictness(a) - strictness(b))[0] ?? 'Allow' };
}

function postureOf(deed: Deed): Posture {
  if (deed.type === 'capability') return 'capabilities';
  if (deed.type === 'operation') return 'operations';
  if (deed.type === 'socket') return 'sockets';
  if (deed.type === 'mount') return 'mounts';
  if (deed.type === 'network') return 'network';
  if (deed.access === 'execute') return 'execution';
  if (deed.access === 'mount') return 'mounts';
  return deed.access === 'connect' || deed.access === 'bind' ? 'sockets' : 'files';
}

function strictness(action: Action): number {
  return ['Deny', 'Alert', 'Allow'].indexOf(action);
}

/** Among equals a staged rule is named last. */
function byMode(a: HardeningRuleRef, b: HardeningRuleRef): number {
  return (a.mode === 'Stage' ? 1 : 0) - (b.mode === 'Stage' ? 1 : 0);
}

function meansExecutables(rule: HardeningRule, executables: readonly (string | Uint8Array)[]): boolean {
  return rule.executables === undefined || executables.some((path) => meansPath(rule.executables ?? [], path));
}

function meansPath(patterns: readonly string[], path: string | Uint8Array): boolean {
  return patterns.some((pattern) => {
    const glob = parsePathGlob(pattern);
    return glob.ok && pathGlobMatch(glob, path);
  });
}

function meansDeed(target: Target, deed: Deed): boolean {
  switch (deed.type) {
    case 'path':
      return (
        target.type === 'paths' &&
        target.access.includes(deed.access) &&
        meansPath(target.paths, deed.path) &&
        !meansPath(target.except, deed.path)
      );
    case 'capability':
      return (
        target.type === 'capabilities' &&
        target.capabilities.includes(deed.number) &&
        (target.within === 'any' || target.within === deed.within)
      );
    case 'operation':
      return target.type === 'operations' && target.operations.includes(deed.operation);
    case 'socket':
      return (
        target.type === 'socket' &&
        (target.family ?? deed.family) === deed.family &&
        (target.kind ?? deed.kind) === deed.kind &&
        (target.protocol ?? deed.protocol) === deed.protocol
      );
    case 'mount':
      return (
        target.type === 'mounts' &&
        target.operations.includes(deed.operation) &&
        (target.fileSystems.length === 0 || target.fileSystems.includes(deed.fileSystem)) &&
        (!target.writable || deed.writable) &&
        (!target.devices || deed.device)
      );
    case 'network':
      return (
        target.type === 'network' &&
        (target.networks.length === 0 || target.networks.some((network) => networkContains(network, deed.address))) &&
        (target.protocol ?? deed.protocol) === deed.protocol &&
        (target.port ?? 0) <= deed.port &&
        deed.port <= (target.endPort ?? target.port ?? 0xffff)
      );
  }
}
