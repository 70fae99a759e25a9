/** The ready rules, by name; and groups of them, which can be named where a rule can. */
import type { ReadyRule } from '../../model/hardening.ts';
import { BASELINE_RULES } from './baseline.ts';
import { CAPABILITY_RULES } from './capabilities.ts';
import { EXECUTION_RULES } from './execution.ts';
import { HOST_RULES } from './host.ts';
import { KERNEL_RULES } from './kernel.ts';
import { NETWORK_RULES } from './network.ts';
import { PERSISTENCE_RULES } from './persistence.ts';
import { RECOMMENDED } from './recommended.ts';
import { SHIELD_RULES } from './shields.ts';

export { CAPABILITIES, type Capability } from './capabilities.ts';
export { linkName } from './links.ts';

const RULES: readonly ReadyRule[] = [
  ...BASELINE_RULES,
  ...SHIELD_RULES,
  ...HOST_RULES,
  ...PERSISTENCE_RULES,
  ...KERNEL_RULES,
  ...EXECUTION_RULES,
  ...NETWORK_RULES,
  ...CAPABILITY_RULES,
];

/** Every ready rule by its name, in the order of the catalogue. Names never change their meaning. */
export const READY_RULES: ReadonlyMap<string, ReadyRule> = new Map(RULES.map((rule) => [rule.name, rule]));

/** In the order of the catalogue. */
export const READY_GROUPS: readonly ReadyRule['group'][] = [...new Set(RULES.map(({ group }) => group))];

/** What people call a group where they call a rule. Rules begin with "no-", so the names never meet. */
const GROUP_NAMES: Readonly<Record<ReadyRule['group'], string>> = {
  baseline: 'baseline',
  shield: 'shields',
  host: 'host',
  kernel: 'kernel',
  execution: 'execution',
  network: 'network',
  capabilities: 'capabilities',
};

/**
 * Groups by the name a policy has for them, where a ready rule could stand: `baseline`, `shields` and so on, and
 * `recommended`, which is what stops most and breaks least. Unlike rules they may gain members with a new version.
 * Single capabilities have no group: all of them is `no-capabilities`.
 */
export const READY_SETS: ReadonlyMap<string, readonly string[]> = new Map([
  ...READY_GROUPS.filter((group) => group !== 'capabilities').map(
    (group) => [GROUP_NAMES[group], RULES.filter((rule) => rule.group === group).map(({ name }) => name)] as const,
  ),
  ['recommended', [...RECOMMENDED]],
]);

/** The names of rules that a name in `ready` means: those of the group, or the name itself, known or not. */
export function readyNames(name: string): readonly string[] {
  return READY_SETS.get(name) ?? [name];
}

/** The groups that hold a rule. */
export function groupsOf(name: string): readonly string[] {
  return [...READY_SETS].filter(([, members]) => members.includes(name)).map(([group]) => group);
}
