import type { HardeningPolicy } from '../../src/model/hardening.ts';

/** A policy that denies what these ready rules are about, to everybody. */
export function policyOf(ready: readonly string[]): HardeningPolicy {
  return {
    kind: 'HardeningPolicy',
    namespace: 'test',
    name: 'ready',
    labels: {},
    annotations: {},
    subject: { workload: { namespace: 'test', kind: '*', name: '*' }, container: '*', labels: {} },
    priority: 1000,
    explicitPriority: false,
    mode: 'Enforce',
    defaults: {},
    rules: [{ name: 'ready', action: 'Deny', ready, targets: [] }],
  };
}
