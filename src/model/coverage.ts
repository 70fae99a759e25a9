/**
 * Whether one rule takes everything another one could match. Never says so wrongly; may miss it where patterns
 * cover one another in ways that take more than a look.
 */
import { networkCovers } from './address.ts';
import { globMatch, isGlob } from './glob.ts';
import { sameExpression } from './label-expression.ts';
import type { NameSet } from './name-set.ts';
import type { Peer, PortMatch, Rule } from './policy.ts';
import type { WorkloadSelector } from './selector.ts';
import { isAliasKind, type Workload } from './workload.ts';

/** Whether every packet `inner` matches is matched by `outer` too, both in the same policy and direction. */
export function ruleCovers(outer: Rule, inner: Rule): boolean {
  return listCovers(outer.peers, inner.peers, peerCovers) && listCovers(outer.ports, inner.ports, portCovers);
}

/** Whether every packet a port entry matches is matched by the other. */
export function portCovers(outer: PortMatch, inner: PortMatch): boolean {
  if (outer.protocol !== inner.protocol) return false;
  if (outer.port === undefined) return true;
  if (typeof outer.port === 'string' || typeof inner.port === 'string') return outer.port === inner.port;
  if (inner.port === undefined) return false;
  return outer.port <= inner.port && (inner.endPort ?? inner.port) <= (outer.endPort ?? outer.port);
}

/** An absent list means everything; else each of the inner ones must be covered by one of the outer ones. */
function listCovers<T>(
  outer: readonly T[] | undefined,
  inner: readonly T[] | undefined,
  covers: (outer: T, inner: T) => boolean,
): boolean {
  if (outer === undefined) return true;
  return inner?.every((one) => outer.some((other) => covers(other, one))) ?? false;
}

function peerCovers(outer: Peer, inner: Peer): boolean {
  if (outer.type === 'workload') return inner.type === 'workload' && selectorCovers(outer.selector, inner.selector);
  if (outer.type === 'entity') return inner.type === 'entity' && inner.entity === outer.entity;
  if (inner.type !== 'network' || !networkCovers(outer.network, inner.network)) return false;
  // What the outer one leaves out must be left out by the inner one too, or lie outside it.
  return outer.except.every(
    (hole) =>
      inner.except.some((other) => networkCovers(other, hole)) ||
      !(networkCovers(inner.network, hole) || networkCovers(hole, inner.network)),
  );
}

function selectorCovers(outer: WorkloadSelector, inner: WorkloadSelector): boolean {
  return (
    workloadCovers(outer.workload, inner.workload) &&
    patternCovers(outer.container, inner.container) &&
    Object.entries(outer.labels).every(([key, value]) => inner.labels[key] === value) &&
    (outer.namespaces === undefined || namesCover(outer.namespaces, inner)) &&
    (outer.expressions ?? []).every((wanted) => inner.expressions?.some((other) => sameExpression(wanted, other)))
  );
}

function workloadCovers(outer: Workload, inner: Workload): boolean {
  if (!patternCovers(outer.namespace, inner.namespace) || !patternCovers(outer.kind, inner.kind)) return false;
  // Whom a Service or an account means was made by something of another name; a node is more than its pods.
  if (isAliasKind(inner.kind) && inner.kind !== outer.kind) return inner.kind !== 'Node' && outer.name === '*';
  return patternCovers(outer.name, inner.name);
}

function namesCover(names: NameSet, inner: WorkloadSelector): boolean {
  if (inner.namespaces !== undefined) return !inner.namespaces.some((name) => !names.has(name));
  return names.has(inner.workload.namespace);
}

function patternCovers(outer: string, inner: string): boolean {
  return outer === inner || outer === '*' || (!isGlob(inner) && globMatch(outer, inner));
}
