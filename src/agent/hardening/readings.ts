import type { HardeningTables } from '../../datapath/hardening-port.ts';
import type { Reading, Sample } from '../metrics/registry.ts';
import type { ContainerHardening } from './containers.ts';

export interface HardeningSources {
  readonly tables: HardeningTables;
  readonly hardening: ContainerHardening;
}

/** What a scrape reads of hardening. Label values come from closed sets. */
export function hardeningReadings({ tables, hardening }: HardeningSources): Reading[] {
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
      read: () => violations(tables, hardening),
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

/** What no rule spoke about is a default's; a rule that is gone is told by nobody any more. */
function violations(tables: HardeningTables, hardening: ContainerHardening): Sample[] {
  const sums = new Map<string, bigint>();
  for (const { container, rule, staged, count } of tables.counters()) {
    const action = rule === 0 ? 'default' : (hardening.ruleOf(container, rule)?.action ?? 'unknown');
    const key = `${staged ? 'Stage' : 'Enforce'} ${action}`;
    sums.set(key, (sums.get(key) ?? 0n) + count);
  }
  return [...sums].map(([key, value]) => {
    const [mode = '', verdict = ''] = key.split(' ');
    return { labels: { mode, verdict }, value };
  });
}
