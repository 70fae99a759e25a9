import { type HardeningPolicy, POSTURES, type Posture, type Target } from '../model/hardening.ts';
import { fromHardening } from '../model/hardening-manifest.ts';
import { API_VERSION } from '../model/policy.ts';
import { verdictName } from '../model/verdict.ts';
import { clausesOf, type ReadyRules } from './clauses.ts';
import type { CompiledProfile } from './profile.ts';
import { fallbackOf } from './rulings.ts';

/** What all policies that select a container come down to: the compiled profile, for people. */
export interface ProfileDocument {
  readonly apiVersion: string;
  readonly kind: 'HardeningProfile';
  readonly metadata: { readonly name: string };
  readonly spec: {
    /** In the order in which their rules decide. */
    readonly policies: readonly { readonly name: string; readonly mode: string; readonly priority: number }[];
    /** Where no rule speaks; what is allowed is left out. */
    readonly defaults: Readonly<Partial<Record<Posture, string>>>;
    /** The same, if the staged policies were enforced, where that differs. */
    readonly stagedDefaults?: Readonly<Partial<Record<Posture, string>>>;
    /** The first that fits decides. */
    readonly rules: readonly ProfileRule[];
  };
  readonly status: {
    /** 16 hexadecimal digits. Bits of executables are counted in it: an agent's may differ where rules name some. */
    readonly profile: string;
    readonly size: CompiledProfile['size'];
  };
}

export interface ProfileRule {
  readonly policy: string;
  readonly rule: string;
  readonly ready?: string;
  readonly action: string;
  readonly mode: string;
  readonly priority: number;
  readonly executables?: readonly string[];
  /** Fields of policy documents: `files`, `operations`, …, one to an entry. */
  readonly targets: readonly object[];
}

/**
 * @param name of the workload
 * @param policies that select it, names of groups of ready rules resolved
 * @param profile what was compiled from them
 */
export function profileDocument(
  name: string,
  policies: readonly HardeningPolicy[],
  profile: CompiledProfile,
  ready: ReadyRules,
): ProfileDocument {
  const qualified = (namespace: string, policy: string): string =>
    namespace === '' ? policy : `${namespace}/${policy}`;
  const clauses = clausesOf(policies, ready);
  const defaults = (staged: boolean) =>
    Object.fromEntries(
      POSTURES.flatMap((posture) => {
        const { verdict, stagedVerdict } = fallbackOf(policies, posture);
        const word = verdictName(staged ? stagedVerdict : verdict);
        return word === 'Allow' && !staged ? [] : staged && stagedVerdict === verdict ? [] : [[posture, word]];
      }),
    );
  const staged = defaults(true);
  const inOrder = [...policies].sort((a, b) => a.priority - b.priority || (a.name < b.name ? -1 : 1));
  return {
    apiVersion: API_VERSION,
    kind: 'HardeningProfile',
    metadata: { name },
    spec: {
      policies: inOrder.map((policy) => ({
        name: qualified(policy.namespace, policy.name),
        mode: policy.mode,
        priority: policy.priority,
      })),
      defaults: defaults(false),
      ...(Object.keys(staged).length === 0 ? {} : { stagedDefaults: staged }),
      rules: clauses.map((clause) => ({
        policy: qualified(clause.namespace, clause.policy),
        rule: clause.rule,
        ...(clause.ready === undefined ? {} : { ready: clause.ready }),
        action: clause.action,
        mode: clause.mode,
        priority: clause.priority,
        ...(clause.executables.length === 0 ? {} : { executables: clause.executables }),
        targets: clause.targets.map(fieldOf),
      })),
    },
    status: { profile: profile.id.toString(16).padStart(16, '0'), size: profile.size },
  };
}

/** A target as a rule's field says it. */
function fieldOf(target: Target): object {
  // Of paths a document says sockets apart from files; a profile tells them together.
  if (target.type === 'paths') {
    const { paths, except, access } = target;
    return { paths, ...(except.length === 0 ? {} : { except }), access };
  }
  const subject = { workload: { namespace: '*', kind: '*', name: '*' }, container: '*', labels: {} };
  const policy: HardeningPolicy = {
    kind: 'ClusterHardeningPolicy',
    namespace: '',
    name: '',
    labels: {},
    annotations: {},
    subject,
    priority: 0,
    explicitPriority: false,
    mode: 'Enforce',
    defaults: {},
    rules: [{ action: 'Deny', ready: [], targets: [target] }],
  };
  const [rule = {}] = fromHardening(policy).spec.rules ?? [];
  const { action: _, ...field } = rule as { action?: string };
  return field;
}

/** One line that differs. */
export interface ProfileChange {
  readonly sign: '+' | '-';
  /** `default files: Deny`, or a rule in one line. */
  readonly text: string;
}

/** What changes between two profiles, in the order of their rules: old lines before the new ones of the same rule. */
export function diffProfiles(before: ProfileDocument | undefined, after: ProfileDocument | undefined): ProfileChange[] {
  const old = linesOf(before);
  const next = linesOf(after);
  const keys = [...new Set([...old.keys(), ...next.keys()])];
  return keys.flatMap((key): ProfileChange[] => {
    const [a, b] = [old.get(key), next.get(key)];
    if (a === b) return [];
    return [
      ...(a === undefined ? [] : [{ sign: '-' as const, text: a }]),
      ...(b === undefined ? [] : [{ sign: '+' as const, text: b }]),
    ];
  });
}

function linesOf(document: ProfileDocument | undefined): Map<string, string> {
  if (document === undefined) return new Map();
  const { defaults, stagedDefaults = {}, rules } = document.spec;
  const lines = [
    ...Object.entries(defaults).map(([posture, action]) => [`default ${posture}`, `default ${posture}: ${action}`]),
    ...Object.entries(stagedDefaults).map(([posture, action]) => [
      `staged ${posture}`,
      `staged default ${posture}: ${action}`,
    ]),
    ...rules.map((one) => [`rule ${one.policy}\0${one.rule}\0${one.ready ?? ''}`, formatProfileRule(one)]),
  ] as [string, string][];
  return new Map(lines);
}

/** `Deny shop/web "etc" (no-shadow), priority 100: {"files":…}`. */
export function formatProfileRule(rule: ProfileRule): string {
  const { policy, rule: name, ready, action, mode, priority, executables, targets } = rule;
  const staged = mode === 'Stage' ? ' (staged)' : '';
  const from = executables === undefined ? '' : ` by ${executables.join(', ')}`;
  const what = ready === undefined ? `: ${targets.map((target) => JSON.stringify(target)).join(', ')}` : `: ${ready}`;
  return `${action}${staged} ${policy} "${name}", priority ${priority}${from}${what}`;
}
