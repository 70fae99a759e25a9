/**
 * Each rule's counter. Where there are more rules than counters all are enforced, and the last that came are not counted
 * until others go.
 */
import type { PolicyTables, RuleInfo } from '../compile/tables.ts';
import { BpfError } from '../libbpf/index.ts';
import type { Tables } from './maps.ts';
import { RowWriter } from './row-runs.ts';

type Counters = Tables['rule_counters'];

/** Up to this many rules are asked for one by one; for more, all counters are read. */
const FEW_RULES = 256;
const UNCOUNTED = { packets: 0n, bytes: 0n };

/** Gives each rule its counter; one that has counted before goes on from there. */
export function addCounters(counters: Counters, rules: readonly Pick<RuleInfo, 'id'>[]): void {
  const counted = rules.length > FEW_RULES ? new Set(counters.keys()) : undefined;
  const fresh = new RowWriter(counters);
  try {
    for (const { id } of rules) if (!(counted?.has(id) ?? counters.has(id))) fresh.put(id, UNCOUNTED);
    fresh.flush();
  } catch (error) {
    if (!isFull(error)) throw error;
  }
}

/**
 * Takes the counters of rules that are gone, for those that had none.
 * @param desired the rules there are now
 */
export function removeCounters(counters: Counters, rules: readonly number[], desired: PolicyTables['rules']): void {
  counters.deleteAll(rules);
  if (desired.size + rules.length <= counters.map.maxEntries) return;
  addCounters(counters, [...desired.values()]);
}

/** How many of so many rules have no counter. */
export function uncountedOf(rules: number, counters: Counters): number {
  return Math.max(0, rules - counters.map.maxEntries);
}

/** Whether it failed because a table holds no more. */
export function isFull(error: unknown): boolean {
  return error instanceof BpfError && error.code === 'MAP_FULL';
}
