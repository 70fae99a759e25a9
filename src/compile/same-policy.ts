/** Whether two policies, read at different times, say the same. Compared field by field: no text is made of them. */
import type { Network } from '../model/address.ts';
import { sameExpression } from '../model/label-expression.ts';
import type { DirectionPolicy, Peer, Policy, PortMatch, Rule } from '../model/policy.ts';
import type { WorkloadSelector } from '../model/selector.ts';

/** Of two policies with one key; what tables are not made from, such as annotations, does not count. */
export function samePolicy(a: Policy, b: Policy): boolean {
  return (
    a === b ||
    (a.priority === b.priority &&
      a.mode === b.mode &&
      sameSelector(a.subject, b.subject) &&
      sameDirection(a.egress, b.egress) &&
      sameDirection(a.ingress, b.ingress))
  );
}

export function sameRule(a: Rule, b: Rule): boolean {
  return (
    a === b ||
    (a.name === b.name && a.action === b.action && same(a.peers, b.peers, samePeer) && same(a.ports, b.ports, samePort))
  );
}

function sameDirection(a: DirectionPolicy | undefined, b: DirectionPolicy | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.default === b.default && same(a.rules, b.rules, sameRule);
}

function same<T>(a: readonly T[] | undefined, b: readonly T[] | undefined, equal: (a: T, b: T) => boolean): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a.length !== b.length) return false;
  for (const [i, one] of a.entries()) if (!equal(one, b[i] as T)) return false;
  return true;
}

function samePeer(a: Peer, b: Peer): boolean {
  if (a.type === 'workload') return b.type === 'workload' && sameSelector(a.selector, b.selector);
  if (a.type === 'entity') return b.type === 'entity' && a.entity === b.entity;
  return b.type === 'network' && sameNetwork(a.network, b.network) && same(a.except, b.except, sameNetwork);
}

function sameNetwork(a: Network, b: Network): boolean {
  if (a.prefix !== b.prefix || a.family !== b.family) return false;
  for (let i = 0; i < 16; i++) if (a.address[i] !== b.address[i]) return false;
  return true;
}

function samePort(a: PortMatch, b: PortMatch): boolean {
  return a.protocol === b.protocol && a.port === b.port && a.endPort === b.endPort;
}

function sameSelector(a: WorkloadSelector, b: WorkloadSelector): boolean {
  const [one, other] = [a.workload, b.workload];
  return (
    one.name === other.name &&
    one.kind === other.kind &&
    one.namespace === other.namespace &&
    a.container === b.container &&
    sameLabels(a.labels, b.labels) &&
    same(a.expressions, b.expressions, sameExpression) &&
    sameNames(a.namespaces, b.namespaces)
  );
}

function sameNames(a: WorkloadSelector['namespaces'], b: WorkloadSelector['namespaces']): boolean {
  return a === undefined || b === undefined ? a === b : a.equals(b);
}

function sameLabels(a: WorkloadSelector['labels'], b: WorkloadSelector['labels']): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && a[key] === b[key]);
}
