import { globMatch, globsIntersect, isGlob } from './glob.ts';
import type { IdentityAttributes } from './identity.ts';
import { excludes, formatExpression, type LabelExpression, meets } from './label-expression.ts';
import type { NameSet } from './name-set.ts';
import { isAliasKind, type Workload } from './workload.ts';

/** Which identities are meant. Each part of the workload and the container are patterns with `*` and `?`. */
export interface WorkloadSelector {
  readonly workload: Workload;
  /** Of the namespaces the pattern means, only these. Absent: all of them. */
  readonly namespaces?: NameSet;
  /** Pattern of the container's name; `*` also matches the empty name of a shared sandbox. */
  readonly container: string;
  /** All of these must be there with exactly these values. */
  readonly labels: Readonly<Record<string, string>>;
  /** All of these must be met too. Sorted by their texts, without repetition; never empty. */
  readonly expressions?: readonly LabelExpression[];
}

/** Whether the selector means this identity. */
export function selects(selector: WorkloadSelector, identity: IdentityAttributes): boolean {
  return (
    isCalled(identity, selector.workload) &&
    globMatch(selector.container, identity.container) &&
    (selector.namespaces === undefined || selector.namespaces.has(identity.workload.namespace)) &&
    Object.entries(selector.labels).every(
      ([key, value]) => Object.hasOwn(identity.labels, key) && identity.labels[key] === value,
    ) &&
    (selector.expressions === undefined ||
      selector.expressions.every((expression) => meets(expression, identity.labels)))
  );
}

/** By what made it, or, where the pattern writes out one of `ALIAS_KINDS`, by what else it is called. */
function isCalled({ workload, aliases }: IdentityAttributes, pattern: Workload): boolean {
  if (matches(pattern, workload)) return true;
  return isAliasKind(pattern.kind) && aliases?.some((alias) => matches(pattern, alias)) === true;
}

function matches(pattern: Workload, { namespace, kind, name }: Workload): boolean {
  return globMatch(pattern.namespace, namespace) && globMatch(pattern.kind, kind) && globMatch(pattern.name, name);
}

/**
 * Whether some identity could be meant by both. May say so wrongly where several expressions exclude one another; of what
 * is called by different kinds it is not said, though a pod may have both names.
 */
export function selectorsIntersect(a: WorkloadSelector, b: WorkloadSelector): boolean {
  for (const [key, value] of Object.entries(a.labels)) {
    if (Object.hasOwn(b.labels, key) && b.labels[key] !== value) return false;
  }
  return (
    globsIntersect(a.workload.namespace, b.workload.namespace) &&
    globsIntersect(a.workload.kind, b.workload.kind) &&
    globsIntersect(a.workload.name, b.workload.name) &&
    globsIntersect(a.container, b.container) &&
    namespacesIntersect(a, b) &&
    expressionsAgree(a, b)
  );
}

function namespacesIntersect(a: WorkloadSelector, b: WorkloadSelector): boolean {
  const names = a.namespaces ?? b.namespaces;
  if (names === undefined) return true;
  return names.some(
    (name) =>
      globMatch(a.workload.namespace, name) &&
      globMatch(b.workload.namespace, name) &&
      (b.namespaces === undefined || b.namespaces.has(name)),
  );
}

function expressionsAgree(a: WorkloadSelector, b: WorkloadSelector): boolean {
  if (a.expressions === undefined && b.expressions === undefined) return true;
  const all = [...(a.expressions ?? []), ...(b.expressions ?? [])];
  const labels = { ...a.labels, ...b.labels };
  return all.every(
    (one) => !all.some((other) => excludes(one, other)) && (!Object.hasOwn(labels, one.key) || meets(one, labels)),
  );
}

/** Whether every identity there can be is meant. */
export function selectsEverything(selector: WorkloadSelector): boolean {
  const { namespace, kind, name } = selector.workload;
  return (
    [namespace, kind, name, selector.container].every(matchesAnything) &&
    selector.namespaces === undefined &&
    selector.expressions === undefined &&
    Object.keys(selector.labels).length === 0
  );
}

/** The workload as a literal, where it has no wildcard in it. */
export function literalWorkload(selector: WorkloadSelector): Workload | undefined {
  const { namespace, kind, name } = selector.workload;
  return isGlob(namespace) || isGlob(kind) || isGlob(name) ? undefined : selector.workload;
}

/**
 * `namespace/kind/name[container]{label=value,key in (a,b)}`, the optional parts only where they narrow; `*{shop,web}/`
 * where only some namespaces are meant. Equal texts are equal selectors.
 */
export function formatSelector(selector: WorkloadSelector): string {
  const { namespace, kind, name } = selector.workload;
  const namespaces = selector.namespaces === undefined ? '' : `{${selector.namespaces.text}}`;
  const container = selector.container === '*' ? '' : `[${selector.container}]`;
  const labels = Object.keys(selector.labels)
    .sort()
    .map((key) => `${key}=${selector.labels[key]}`);
  for (const expression of selector.expressions ?? []) labels.push(formatExpression(expression));
  return `${namespace}${namespaces}/${kind}/${name}${container}${labels.length === 0 ? '' : `{${labels.join(',')}}`}`;
}

function matchesAnything(pattern: string): boolean {
  return pattern.length > 0 && /^\*+$/.test(pattern);
}
