import type { HardeningTables, ViolationCount } from '../../datapath/hardening-port.ts';
import type { Reading, Sample } from '../metrics/registry.ts';
import type { ContainerHardening } from './containers.ts';

export interface HardeningSources {
  readonly tables: HardeningTables;
  readonly hardening: ContainerHardening;
}

/** What a scrape reads of hardening. Label values come from closed sets. */
export function hardeningReadings({ tables, hardening }: HardeningSources): Reading[] {
  const totals = new ViolationTotals();
  return [
    {
      name: 'sallyport_hardening_active',
      help: 'Whether the kernel judges what containers do to it: 0 without BPF LSM.',
      type: 'gauge',
      labels: [],
      read: () => [{ labels: {}, value: tables.active ? 1 : 0 }],
    },
    {
      name: 'sallyport_hardening_missing_hooks',
      help: 'Hooks this kernel would not be judged at.',
      type: 'gauge',
      labels: [],
      read: () => [{ labels: {}, value: tables.missing.size }],
    },
    {
      name: 'sallyport_hardening_containers',
      help: 'Containers that hardening policies select.',
      type: 'gauge',
      labels: ['state'],
      read: () => containers(hardening),
    },
    {
      name: 'sallyport_hardening_profiles',
      help: 'Different profiles containers are judged by.',
      type: 'gauge',
      labels: [],
      read: () => [{ labels: {}, value: new Set(profilesOf(hardening)).size }],
    },
    {
      name: 'sallyport_hardening_violations_total',
      help: 'What hardening rules refused or reported. Stage: what staged ones would have.',
      type: 'counter',
      labels: ['mode', 'verdict'],
      read: () => {
        totals.add(tables.counters(), hardening);
        return totals.list();
      },
    },
  ];
}

function containers(hardening: ContainerHardening): Sample[] {
  const counts = new Map([
    ['enforced', 0],
    ['failed', 0],
  ]);
  for (const { status } of hardening.protections()) {
    const state = status.enforced ? 'enforced' : 'failed';
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return [...counts].map(([state, value]) => ({ labels: { state }, value }));
}

function profilesOf(hardening: ContainerHardening): bigint[] {
  return hardening.protections().flatMap(({ status }) => status.profile ?? []);
}

/** Sums by what rules say. They never go down: what was counted by a rule that is gone by now stays where it was. */
class ViolationTotals {
  /** By rule and layer, as last read. */
  readonly #read = new Map<string, bigint>();
  readonly #sums = new Map<string, bigint>();

  add(counters: readonly ViolationCount[], hardening: ContainerHardening): void {
    // Of all containers together: those of one that has gone are found under no name.
    for (const [key, counted] of Map.groupBy(counters, ({ rule, staged }) => `${rule} ${staged}`)) {
      const count = counted.reduce((sum, one) => sum + one.count, 0n);
      const before = this.#read.get(key) ?? 0n;
      this.#read.set(key, count);
      const more = count >= before ? count - before : count;
      const [first] = counted;
      if (more === 0n || first === undefined) continue;
      const label = `${first.staged ? 'Stage' : 'Enforce'} ${saidBy(first, hardening)}`;
      this.#sums.set(label, (this.#sums.get(label) ?? 0n) + more);
    }
  }

  list(): Sample[] {
    return [...this.#sums].map(([key, value]) => {
      const [mode = '', verdict = ''] = key.split(' ');
      return { labels: { mode, verdict }, value };
    });
  }
}

function saidBy({ container, rule }: ViolationCount, hardening: ContainerHardening): string {
  return rule === 0 ? 'default' : (hardening.ruleOf(container, rule)?.action ?? 'unknown');
}
