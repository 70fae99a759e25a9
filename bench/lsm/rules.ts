/** The same rules for everybody: N paths that may neither be read nor written, none of them one that is measured. */

import type { HardeningPolicy } from '../../src/model/hardening.ts';

export const RULE_COUNTS: readonly number[] = [10, 100, 1_000, 10_000];

/** Some share their first names with the paths that are measured. */
const BEGINNINGS = ['/srv/tenant-', '/bench/usr/share/app-', '/etc/app-', '/bench/usr/lib/app-'];

function deniedPath(k: number): string {
  return `${BEGINNINGS[k % BEGINNINGS.length]}${k}/${k}`;
}

const range = (count: number): number[] => Array.from({ length: count }, (_, k) => k);

/** By this name AppArmor knows the profile of N rules. */
export function appArmorName(rules: number): string {
  return `sallyport-bench-${rules}`;
}

export function appArmorProfile(rules: number): string {
  const all = ['file', 'capability', 'network', 'unix', 'signal', 'ptrace', 'mount'].map((one) => `  ${one},`);
  const denied = range(rules).map((k) => `  deny ${deniedPath(k)} rw,`);
  return [`profile ${appArmorName(rules)} {`, ...all, ...denied, '}', ''].join('\n');
}

export function hardeningPolicy(rules: number): HardeningPolicy {
  return {
    kind: 'HardeningPolicy',
    namespace: 'bench',
    name: `rules-${rules}`,
    labels: {},
    annotations: {},
    subject: { workload: { namespace: 'bench', kind: 'Unit', name: String(rules) }, container: '*', labels: {} },
    priority: 1000,
    explicitPriority: false,
    mode: 'Enforce',
    defaults: {},
    rules: range(rules).map((k) => ({
      action: 'Deny',
      ready: [],
      targets: [{ type: 'paths', paths: [deniedPath(k)], except: [], access: ['read', 'write'] }],
    })),
  };
}
