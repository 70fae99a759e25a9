/**
 * Kubernetes' own policies as ours: NetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy. What of them is meant
 * how is in docs/network-policy.md. Objects come from an API server, and are believed nothing: what is not as the API
 * says is told as a problem of its policy, and allows nobody.
 */
import type { Policy, PolicyId, UpstreamPolicyKind } from '../../model/policy.ts';
import { policyKey } from '../../model/policy.ts';
import { NOISE } from '../naming.ts';
import { translateAdmin } from './network-policies-admin.ts';
import { translateNamespaced } from './network-policies-namespaced.ts';
import { problemsOfOrder } from './network-policies-order.ts';
import type { Translating } from './network-policies-peers.ts';
import { Findings, policyIdOf, type TranslationProblem, Unreadable } from './network-policies-reading.ts';
import { type NodeFacts, Questions, Surroundings } from './network-policies-selectors.ts';

/** As the API server gives them. */
export interface PolicyObjects {
  readonly networkPolicies?: Iterable<unknown>;
  readonly adminNetworkPolicies?: Iterable<unknown>;
  readonly baselineAdminNetworkPolicies?: Iterable<unknown>;
}

export interface TranslationOptions {
  /** Absent: rules about nodes cannot be expressed. */
  readonly nodes?: ReadonlyMap<string, NodeFacts>;
  /** Patterns of labels that identities do not have. Default: `NOISE` of sources/naming.ts. */
  readonly noise?: readonly string[];
}

export interface Translation {
  /** Of an object that says what it said before, and means whom it meant before, the policy is the same object. */
  readonly policies: readonly Policy[];
  readonly problems: readonly TranslationProblem[];
}

/** @param namespaces their labels, by name; another map where they are others: what is not new is not looked at again */
export function translateNetworkPolicies(
  objects: PolicyObjects,
  namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>,
  { nodes, noise = NOISE }: TranslationOptions = {},
): Translation {
  const surroundings = surroundingsOf(namespaces, nodes);
  const policies = new Map<string, Policy>();
  const problems: TranslationProblem[] = [];
  const admin: Policy[] = [];
  for (const [kind, list] of kindsOf(objects)) {
    for (const object of list) {
      const { policy, found } = remembered(object, kind, surroundings, noise);
      for (const problem of found) problems.push(problem);
      if (policy === undefined) continue;
      const key = policyKey(policy);
      if (policies.has(key)) {
        const { problems: twice } = duplicate(policy);
        problems.push(...twice);
        continue;
      }
      policies.set(key, policy);
      if (kind === 'AdminNetworkPolicy') admin.push(policy);
    }
  }
  return { policies: [...policies.values()], problems: [...problems, ...problemsOfOrder(admin)] };
}

/** The last that were made of a map of namespaces: mostly policies change, and namespaces do not. */
const made = new WeakMap<
  object,
  { readonly nodes: TranslationOptions['nodes']; readonly surroundings: Surroundings }
>();

function surroundingsOf(
  namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>,
  nodes: TranslationOptions['nodes'],
): Surroundings {
  const known = made.get(namespaces);
  if (known !== undefined && known.nodes === nodes) return known.surroundings;
  const surroundings = new Surroundings(namespaces, nodes);
  made.set(namespaces, { nodes, surroundings });
  return surroundings;
}

function kindsOf(objects: PolicyObjects): readonly (readonly [UpstreamPolicyKind, Iterable<unknown>])[] {
  return [
    ['AdminNetworkPolicy', objects.adminNetworkPolicies ?? []],
    ['NetworkPolicy', objects.networkPolicies ?? []],
    ['BaselineAdminNetworkPolicy', objects.baselineAdminNetworkPolicies ?? []],
  ];
}

function duplicate(policy: Policy): Findings {
  const findings = new Findings(policy);
  findings.add('DUPLICATE', 'error', 'metadata.name', `a second ${policyKey(policy)}`, 'one of each name');
  return findings;
}

interface Translated {
  readonly policy: Policy | undefined;
  readonly found: readonly TranslationProblem[];
}

interface Remembered extends Translated {
  readonly kind: UpstreamPolicyKind;
  readonly questions: Questions;
  readonly noise: readonly string[];
}

/** For as long as somebody keeps the object: of thousands of policies mostly one is new. */
const memory = new WeakMap<object, Remembered>();

function remembered(
  object: unknown,
  kind: UpstreamPolicyKind,
  surroundings: Surroundings,
  noise: readonly string[],
): Translated {
  const key = typeof object === 'object' && object !== null ? object : undefined;
  const known = key === undefined ? undefined : memory.get(key);
  if (known?.kind === kind && known.noise === noise && known.questions.hold(surroundings)) return known;
  const questions = new Questions(surroundings);
  const translated = { ...translate(object, kind, questions, noise), kind, questions, noise };
  if (key !== undefined) memory.set(key, translated);
  return translated;
}

function translate(
  object: unknown,
  kind: UpstreamPolicyKind,
  questions: Questions,
  noise: readonly string[],
): Translated {
  let id: PolicyId;
  try {
    id = policyIdOf(object, kind, kind === 'NetworkPolicy');
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    const findings = new Findings({ kind, namespace: '', name: '(unknown)' });
    findings.add('MALFORMED', 'error', error.path, error.found, error.wanted);
    return { policy: undefined, found: findings.problems };
  }
  const translating: Translating = { findings: new Findings(id), questions, noise };
  const policy =
    kind === 'NetworkPolicy'
      ? translateNamespaced(object, id, translating)
      : translateAdmin(object, id, kind, translating);
  return { policy, found: translating.findings.problems };
}
