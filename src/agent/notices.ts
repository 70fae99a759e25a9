import type { Notice } from '../events/journal.ts';
import { type AnyPolicy, isHardening } from '../model/any-policy.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { canonicalJson } from '../model/manifest.ts';
import { policyKey, policyName, policyTitle } from '../model/policy.ts';
import type { Wanted } from './enforcement.ts';
import { shortId } from './identifiers.ts';
import { describeIdentity } from './names.ts';

/** How a source of facts stands. */
export interface SourceHealth {
  readonly name: string;
  readonly synced: boolean;
  readonly healthy: boolean;
  readonly since: number;
  readonly restarts: number;
  readonly endpoints: number;
  readonly error?: string;
}

/** What a round changed, in words. */
export function noticesOf(before: Wanted, after: Wanted): Notice[] {
  if (before === after) return [];
  return [
    ...endpointNotices(before.endpoints, after.endpoints),
    ...policyNotices(before.policies, after.policies),
    ...policyNotices(before.hardening, after.hardening),
  ];
}

function endpointNotices(before: readonly Endpoint[], after: readonly Endpoint[]): Notice[] {
  const [fresh, former] = [without(after, before), without(before, after)];
  if (fresh.length === 0 && former.length === 0) return [];
  const known = new Set(before.map((endpoint) => endpoint.id));
  const present = new Set(after.map((endpoint) => endpoint.id));
  const appeared = fresh.filter((endpoint) => !known.has(endpoint.id));
  const gone = former.filter((endpoint) => !present.has(endpoint.id));
  return [
    ...appeared.map((endpoint) => endpointNotice(endpoint, 'appeared')),
    ...gone.map((endpoint) => endpointNotice(endpoint, 'gone')),
  ];
}

/** What is not, as the same object, among the others. */
function without<T>(list: readonly T[], others: readonly T[]): readonly T[] {
  if (list === others) return [];
  const known = new Set(others);
  return list.filter((one) => !known.has(one));
}

function endpointNotice(endpoint: Endpoint, action: string): Notice {
  const unprotected = action === 'appeared' && endpoint.mode === 'unprotected';
  const where = endpoint.addresses.length === 0 ? 'without address' : endpoint.addresses.join(', ');
  const message = unprotected ? `not protected: ${endpoint.reason ?? 'unknown'}` : `${shortId(endpoint.id)}, ${where}`;
  return {
    type: 'endpoint',
    severity: unprotected ? 'warning' : 'info',
    action,
    subject: describeIdentity(endpoint.identity),
    message,
  };
}

function policyNotices(before: readonly AnyPolicy[], after: readonly AnyPolicy[]): Notice[] {
  const [fresh, former] = [without(after, before), without(before, after)];
  const known = new Map(former.map((policy) => [policyKey(policy), policy]));
  const present = new Set(fresh.map(policyKey));
  const notices: Notice[] = [];
  for (const policy of fresh) {
    const earlier = known.get(policyKey(policy));
    if (earlier !== undefined && canonicalJson(earlier) === canonicalJson(policy)) continue;
    notices.push(policyNotice(policy, earlier === undefined ? 'in force' : 'changed'));
  }
  for (const policy of former) if (!present.has(policyKey(policy))) notices.push(policyNotice(policy, 'ended'));
  return notices;
}

function policyNotice(policy: AnyPolicy, action: string): Notice {
  const message = `${isHardening(policy) ? 'hardening, ' : ''}${policy.mode}, priority ${policy.priority}`;
  return {
    type: 'policy',
    severity: 'info',
    action,
    subject: isHardening(policy) ? policyName(policy) : policyTitle(policy),
    message,
  };
}
