/** Policies as tests write them. */
import type { FileAccess, HardeningPolicy, HardeningRule, Target } from '../../src/model/hardening.ts';

export function policy(part: Partial<HardeningPolicy> & { readonly rules: readonly HardeningRule[] }): HardeningPolicy {
  return {
    kind: 'HardeningPolicy',
    namespace: 'shop',
    name: 'harden',
    labels: {},
    annotations: {},
    subject: { workload: { namespace: 'shop', kind: '*', name: '*' }, container: '*', labels: {} },
    priority: 1000,
    explicitPriority: false,
    mode: 'Enforce',
    defaults: {},
    ...part,
  };
}

export function rule(part: Partial<HardeningRule> & Pick<HardeningRule, 'action'>): HardeningRule {
  return { ready: [], targets: [], ...part };
}

export function paths(
  patterns: readonly string[],
  access: readonly FileAccess[] = ['read'],
  except: readonly string[] = [],
): Target {
  return { type: 'paths', paths: patterns, except, access };
}
