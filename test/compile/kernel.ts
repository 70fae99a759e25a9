/** What the datapath does to the kernel's tables, done to values: for properties of plans. */
import assert from 'node:assert/strict';
import type { Plan, Step } from '../../src/compile/diff.ts';
import type {
  Class,
  NetworkEntry,
  PolicySet,
  PolicyTables,
  PortEntry,
  RuleInfo,
  Subject,
} from '../../src/compile/tables.ts';

/** The kernel's tables as values. */
export interface Kernel {
  readonly subjects: Map<number, Subject>;
  readonly sets: Map<bigint, PolicySet>;
  readonly classes: Map<bigint, Class>;
  readonly rules: Map<number, RuleInfo>;
  revision: number;
}

export function kernelWith(tables: PolicyTables): Kernel {
  return {
    subjects: new Map(tables.subjects),
    sets: new Map(tables.sets),
    classes: new Map(tables.classes),
    rules: new Map(tables.rules),
    revision: 0,
  };
}

const networkKey = (entry: NetworkEntry): string => `${Buffer.from(entry.address).toString('hex')}/${entry.prefix}`;
const portKey = (entry: PortEntry): string => `${entry.protocol} ${entry.port}/${entry.prefix}`;

function replaced<T>(list: readonly T[], put: readonly T[], keyOf: (item: T) => string): T[] {
  const byKey = new Map(list.map((item) => [keyOf(item), item]));
  for (const item of put) byKey.set(keyOf(item), item);
  return [...byKey.values()];
}

/** What the datapath does to the kernel, done to values. */
function applyStep(kernel: Kernel, step: Step): void {
  switch (step.op) {
    case 'write-classes':
      for (const one of step.classes) kernel.classes.set(one.id, one);
      break;
    case 'patch-classes':
      for (const { id, put, remove } of step.patches) {
        const known = kernel.classes.get(id);
        assert.ok(known);
        const gone = new Set(remove.map(portKey));
        const ports = replaced(known.ports, put, portKey).filter((entry) => !gone.has(portKey(entry)));
        kernel.classes.set(id, { ...known, ports });
      }
      break;
    case 'write-sets':
      for (const set of step.sets) kernel.sets.set(set.id, set);
      break;
    case 'patch-sets':
      for (const { id, peers, networks } of step.patches) {
        const known = kernel.sets.get(id);
        assert.ok(known);
        kernel.sets.set(id, {
          id,
          peers: new Map([...known.peers, ...peers]),
          networks: replaced(known.networks, networks, networkKey),
        });
      }
      break;
    case 'trim-sets':
      for (const { id, peers, networks } of step.patches) {
        const known = kernel.sets.get(id);
        assert.ok(known);
        const gone = new Set(networks.map(networkKey));
        kernel.sets.set(id, {
          id,
          peers: new Map([...known.peers].filter(([slot]) => !peers.has(slot))),
          networks: known.networks.filter((entry) => !gone.has(networkKey(entry))),
        });
      }
      break;
    case 'write-rules':
      for (const rule of step.rules) kernel.rules.set(rule.id, rule);
      break;
    case 'switch-subjects':
      for (const subject of step.subjects) kernel.subjects.set(subject.slot, subject);
      break;
    case 'bump-revision':
      kernel.revision++;
      break;
    case 'delete-subjects':
      for (const slot of step.slots) assert.ok(kernel.subjects.delete(slot));
      break;
    case 'delete-sets':
      for (const set of step.sets) assert.ok(kernel.sets.delete(set.id));
      break;
    case 'delete-classes':
      for (const one of step.classes) assert.ok(kernel.classes.delete(one.id));
      break;
    case 'delete-rules':
      for (const rule of step.rules) assert.ok(kernel.rules.delete(rule));
      break;
  }
}

export function applyPlan(kernel: Kernel, plan: Plan, afterEach: () => void = () => {}): void {
  for (const step of plan.steps) {
    applyStep(kernel, step);
    afterEach();
  }
}

/** Entries of networks and ports have no order in the kernel. */
export function normal(tables: PolicyTables) {
  return {
    subjects: new Map(tables.subjects),
    rules: new Map(tables.rules),
    sets: new Map(
      [...tables.sets].map(([id, set]) => [
        id,
        { peers: set.peers, networks: new Map(set.networks.map((entry) => [networkKey(entry), entry.class])) },
      ]),
    ),
    classes: new Map(
      [...tables.classes].map(([id, one]) => [
        id,
        { any: one.any, ports: new Map(one.ports.map((entry) => [portKey(entry), entry.decision])) },
      ]),
    ),
  };
}
