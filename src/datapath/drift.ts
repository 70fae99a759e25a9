/** A plan that would be needed to get back to what was applied, told as differences. */
import type { Plan } from '../compile/diff.ts';
import type { Class, PolicySet } from '../compile/tables.ts';
import type { Drift } from './port.ts';

const hex = (id: bigint): string => id.toString(16).padStart(16, '0');

/** Differences between what the kernel holds and what was compiled, from the plan that would mend them. */
export function driftOf(plan: Plan): readonly Drift[] {
  const found: Drift[] = [];
  for (const step of plan.steps) {
    switch (step.op) {
      case 'write-classes':
        for (const kind of step.classes)
          found.push({ map: 'ports', key: `class ${hex(kind.id)}`, desired: ports(kind) });
        break;
      case 'patch-classes':
        for (const { id, put, remove } of step.patches) {
          for (const entry of put)
            found.push({
              map: 'ports',
              key: `class ${hex(id)} ${entry.protocol}/${entry.port}`,
              desired: decision(entry.decision),
            });
          for (const entry of remove)
            found.push({
              map: 'ports',
              key: `class ${hex(id)} ${entry.protocol}/${entry.port}`,
              actual: decision(entry.decision),
            });
        }
        break;
      case 'write-sets':
      case 'patch-sets':
        for (const set of step.op === 'write-sets' ? step.sets : step.patches) found.push(...members(set, 'desired'));
        break;
      case 'switch-subjects':
        for (const { slot, egress, ingress } of step.subjects) {
          found.push({
            map: 'subjects',
            key: `slot ${slot}`,
            desired: `egress ${hex(egress)} ingress ${hex(ingress)}`,
          });
        }
        break;
      case 'delete-subjects':
        for (const slot of step.slots) found.push({ map: 'subjects', key: `slot ${slot}`, actual: 'present' });
        break;
      case 'trim-sets':
      case 'delete-sets':
        for (const set of step.op === 'trim-sets' ? step.patches : step.sets) found.push(...members(set, 'actual'));
        break;
      case 'delete-classes':
        for (const kind of step.classes)
          found.push({ map: 'ports', key: `class ${hex(kind.id)}`, actual: ports(kind) });
        break;
    }
  }
  return found;
}

function members(set: Pick<PolicySet, 'id' | 'peers' | 'networks'>, side: 'desired' | 'actual'): Drift[] {
  const found: Drift[] = [];
  for (const [slot, kind] of set.peers)
    found.push({ map: 'peers', key: `set ${hex(set.id)} slot ${slot}`, [side]: `class ${hex(kind)}` });
  for (const { address, prefix, class: kind } of set.networks) {
    found.push({
      map: 'networks',
      key: `set ${hex(set.id)} ${Buffer.from(address).toString('hex')}/${prefix}`,
      [side]: `class ${hex(kind)}`,
    });
  }
  return found;
}

function ports(kind: Class): string {
  return `${kind.ports.length} entries`;
}

function decision(value: { verdict: number; rule: number }): string {
  return `verdict ${value.verdict} by rule ${value.rule}`;
}
