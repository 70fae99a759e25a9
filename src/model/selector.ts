import { globMatch, globsIntersect, isGlob } from './glob.ts';
import type { IdentityAttributes } from './identity.ts';
import type { Workload } from './workload.ts';

/** Which identities are meant. Each part of the workload and the container are patterns with `*` and `?`. */
export interface WorkloadSelector {
  readonly workload: Workload;
  /** Pattern of the container's name; `*` also matches the empty name of a shared sandbox. */
  readonly container: string;
  /** All of these must be there with exactly these values. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Whether the selector means this identity. */
export function selects(selector: WorkloadSelector, identity: IdentityAttributes): boolean {
  return (
    globMatch(selector.workload.namespace, identity.workload.namespace) &&
    globMatch(selector.workload.kind, identity.workload.kind) &&
    globMatch(selector.workload.name, identity.workload.name) &&
    globMatch(selector.container, identity.container) &&
    Object.entries(selector.labels).every(
      ([key, value]) => Object.hasOwn(identity.labels, key) && identity.labels[key] === value,
    )
  );
}

/** Whether some identity could be meant by both. */
export function selectorsIntersect(a: WorkloadSelector, b: WorkloadSelector): boolean {
  for (const [key, value] of Object.entries(a.labels)) {
    if (Object.hasOwn(b.labels, key) && b.labels[key] !== value) return false;
  }
  return (
    globsIntersect(a.workload.namespace, b.workload.namespace) &&
    globsIntersect(a.workload.kind, b.workload.kind) &&
    globsIntersect(a.workload.name, b.workload.name) &&
    globsIntersect(a.container, b.container)
  );
}

/** Whether every identity there can be is meant. */
export function selectsEverything(selector: WorkloadSelector): boolean {
  const { namespace, kind, name } = selector.workload;
  return (
    [namespace, kind, name, selector.container].every(matchesAnything) && Object.keys(selector.labels).length === 0
  );
}

/** The workload as a literal, where it has no wildcard in it. */
export function literalWorkload(selector: WorkloadSelector): Workload | undefined {
  const { namespace, kind, name } = selector.workload;
  return isGlob(namespace) || isGlob(kind) || isGlob(name) ? undefined : selector.workload;
}

/** `namespace/kind/name[container]{label=value}`, the optional parts only where they narrow. */
export function formatSelector(selector: WorkloadSelector): string {
  const { namespace, kind, name } = selector.workload;
  const container = selector.container === '*' ? '' : `[${selector.container}]`;
  const labels = Object.keys(selector.labels)
    .sort()
    .map((key) => `${key}=${selector.labels[key]}`);
  return `${namespace}/${kind}/${name}${container}${labels.length === 0 ? '' : `{${labels.join(',')}}`}`;
}

function matchesAnything(pattern: string): boolean {
  return pattern.length > 0 && /^\*+$/.test(pattern);
}
