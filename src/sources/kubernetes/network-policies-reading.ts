/** Reading objects of Kubernetes' own policy kinds, of which nothing is taken for granted. */
import { type PolicyId, policyKey } from '../../model/policy.ts';
import { quoteFound } from '../../model/problem.ts';

/** What can be said of a policy that is not taken as it is written. */
export const TRANSLATION_CODES = {
  MALFORMED:
    'something is not what the API says; what it would have allowed is not allowed, what it would have denied is',
  UNSUPPORTED: 'something cannot be expressed; it allows nobody',
  NOISE_LABEL: 'a selector asks for a label that tells instances of one workload apart, which no identity has',
  PASS_BEFORE: 'an administrator passes by name before a rule for addresses, or the other way round',
  SAME_PRIORITY: 'two administrators’ policies for the same pods have one priority',
  DUPLICATE: 'two objects have the same kind, namespace and name',
} as const;

export interface TranslationProblem {
  readonly policy: PolicyId;
  readonly code: keyof typeof TRANSLATION_CODES;
  /** `error`: less is allowed, or fewer are protected, than was written. */
  readonly severity: 'error' | 'warning';
  /** Field path inside the object, `spec.ingress[0].from[1]`. */
  readonly path: string;
  readonly found: string;
  readonly wanted: string;
  /** All of it: `error: NetworkPolicy shop/web: spec.ingress[0]: found …, wanted …`. */
  readonly message: string;
}

/** Most problems of one policy that are told; the others are of the same sort. */
const MOST_PROBLEMS = 20;

/** Collects what is wrong with one policy. */
export class Findings {
  readonly problems: TranslationProblem[] = [];
  readonly #policy: PolicyId;

  constructor(policy: PolicyId) {
    this.#policy = policy;
  }

  add(
    code: TranslationProblem['code'],
    severity: TranslationProblem['severity'],
    path: string,
    found: string,
    wanted: string,
  ): void {
    if (this.problems.length >= MOST_PROBLEMS) return;
    const { kind, namespace, name } = this.#policy;
    const policy = { kind, namespace, name };
    const message = `${severity}: ${policyKey(policy)}: ${path}: found ${found}, wanted ${wanted}`;
    this.problems.push({ policy, code, severity, path, found, wanted, message });
  }

  /** What `read` returns, or the fallback where it comes upon something it cannot take. */
  attempt<T, F>(read: () => T, fallback: F): T | F {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      this.add(error.code, 'error', error.path, error.found, error.wanted);
      return fallback;
    }
  }
}

/** Thrown by what reads, caught by `attempt`. */
export class Unreadable extends Error {
  readonly code: 'MALFORMED' | 'UNSUPPORTED';
  readonly path: string;
  readonly found: string;
  readonly wanted: string;

  constructor(path: string, found: string, wanted: string, code: 'MALFORMED' | 'UNSUPPORTED' = 'MALFORMED') {
    super(`${path}: found ${found}, wanted ${wanted}`);
    this.name = 'Unreadable';
    this.code = code;
    this.path = path;
    this.found = found;
    this.wanted = wanted;
  }
}

export function unreadable(path: string, value: unknown, wanted: string): Unreadable {
  return new Unreadable(path, quoteFound(value), wanted);
}

/**
 * The fields of an object; `null` is as good as absent. A field we do not know may narrow what the others say, so
 * none is overlooked.
 */
export function fieldsOf<K extends string>(
  value: unknown,
  path: string,
  known: readonly K[],
): { readonly [P in K]?: unknown } {
  const entries = mappingOf(value, path);
  const fields: { [P in K]?: unknown } = {};
  for (const [key, inner] of Object.entries(entries)) {
    const name = known.find((candidate) => candidate === key);
    if (name === undefined)
      throw new Unreadable(`${path}.${key}`, 'a field of this name', `one of ${known.join(', ')}`);
    if (inner !== null) fields[name] = inner;
  }
  return fields;
}

/** The one field that is given. */
export function onlyField<K extends string>(value: unknown, path: string, known: readonly K[]): readonly [K, unknown] {
  const given = Object.entries(fieldsOf(value, path, known)).filter(([, inner]) => inner !== undefined);
  const [only] = given;
  if (only === undefined || given.length > 1) {
    throw new Unreadable(path, `${given.length} of the fields`, `exactly one of ${known.join(', ')}`);
  }
  return only as [K, unknown];
}

export function mappingOf(value: unknown, path: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unreadable(path, value, 'a mapping');
  return value as Readonly<Record<string, unknown>>;
}

/** Absent is empty. */
export function listOf(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw unreadable(path, value, 'a list');
  return value;
}

export function textOf(value: unknown, path: string, form: RegExp, wanted: string): string {
  if (typeof value !== 'string' || !form.test(value)) throw unreadable(path, value, wanted);
  return value;
}

export function integerOf(value: unknown, path: string, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw unreadable(path, value, `an integer from ${least} to ${most}`);
  }
  return value;
}

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const DNS_SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** @throws Unreadable where nobody can say which policy it is */
export function policyIdOf(object: unknown, kind: string, namespaced: boolean): PolicyId {
  const { metadata } = mappingOf(object, 'the object');
  const { name, namespace } = mappingOf(metadata, 'metadata');
  return {
    kind,
    namespace: namespaced ? textOf(namespace, 'metadata.namespace', DNS_LABEL, 'the name of a namespace') : '',
    name: textOf(name, 'metadata.name', DNS_SUBDOMAIN, 'the name of an object'),
  };
}
