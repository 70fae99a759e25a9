import { sameDecision } from './classes.ts';
import { changedKeys } from './patched-map.ts';
import type { ClassPatch, Plan, SetPatch, Step } from './plan.ts';
import type { Class, NetworkEntry, PolicySet, PolicyTables, PortEntry, RuleInfo, Subject } from './tables.ts';

export { formatPlan } from './format-plan.ts';
export type { ClassPatch, Plan, SetPatch, Step } from './plan.ts';

/** Tables of a kernel that has none yet. */
export const EMPTY_TABLES: PolicyTables = {
  subjects: new Map(),
  sets: new Map(),
  classes: new Map(),
  rules: new Map(),
};

/**
 * What to do to get from the current tables to the desired ones; no steps where they are equal. What is the same
 * object in both is not looked at, and what both have from one base not even visited: the cost follows what changed.
 *
 * The order keeps every packet judged by whole tables: what subjects come to refer to is there before they do, and
 * goes after they ceased to.
 */
export function diff(current: PolicyTables, desired: PolicyTables): Plan {
  const classes = compare(current.classes, desired.classes, sameClass);
  const sets = compare(current.sets, desired.sets, sameSet);
  const rules = compare(current.rules, desired.rules, sameRule);
  const subjects = compare(current.subjects, desired.subjects, sameSubject);
  const classPatches = classes.changed.flatMap(([before, after]) => patchClass(before, after));
  const anyChanged = new Set(classes.changed.filter(([a, b]) => !sameDecision(a.any, b.any)).map(([{ id }]) => id));
  const setPatches = setPatchesOf(current, desired, sets.changed, anyChanged);
  const trims = sets.changed.flatMap(([before, after]) => trimOf(before, after));
  const switched = [...subjects.added, ...subjects.changed.map(([, after]) => after)];
  const judged = [classPatches, setPatches, trims, switched, subjects.removed].some((list) => list.length > 0);
  const steps: Step[] = [
    { op: 'write-classes', classes: classes.added },
    { op: 'patch-classes', patches: classPatches },
    { op: 'write-sets', sets: sets.added },
    { op: 'patch-sets', patches: setPatches },
    { op: 'write-rules', rules: [...rules.added, ...rules.changed.map(([, after]) => after)] },
    { op: 'switch-subjects', subjects: switched },
    { op: 'delete-subjects', slots: subjects.removed.map(({ slot }) => slot) },
    { op: 'trim-sets', patches: trims },
    ...(judged ? [{ op: 'bump-revision' } as const] : []),
    { op: 'delete-sets', sets: sets.removed },
    { op: 'delete-classes', classes: classes.removed },
    { op: 'delete-rules', rules: rules.removed.map(({ id }) => id) },
  ];
  return { steps: steps.filter((step) => countOf(step) > 0), desired };
}

/** How many things a step writes or deletes. */
function countOf(step: Step): number {
  switch (step.op) {
    case 'write-classes':
    case 'delete-classes':
      return step.classes.length;
    case 'write-sets':
    case 'delete-sets':
      return step.sets.length;
    case 'patch-classes':
    case 'patch-sets':
    case 'trim-sets':
      return step.patches.length;
    case 'write-rules':
    case 'delete-rules':
      return step.rules.length;
    case 'switch-subjects':
      return step.subjects.length;
    case 'delete-subjects':
      return step.slots.length;
    case 'bump-revision':
      return 1;
  }
}

interface Comparison<T> {
  readonly added: T[];
  readonly changed: [before: T, after: T][];
  readonly removed: T[];
}

function compare<K, T>(
  current: ReadonlyMap<K, T>,
  desired: ReadonlyMap<K, T>,
  same: (a: T, b: T) => boolean,
): Comparison<T> {
  const result: Comparison<T> = { added: [], changed: [], removed: [] };
  const keys = changedKeys(current, desired);
  if (keys !== undefined) {
    for (const key of keys) {
      const [before, after] = [current.get(key), desired.get(key)];
      if (before === undefined) {
        if (after !== undefined) result.added.push(after);
      } else if (after === undefined) result.removed.push(before);
      else if (before !== after && !same(before, after)) result.changed.push([before, after]);
    }
    return result;
  }
  for (const [key, after] of desired) {
    const before = current.get(key);
    if (before === undefined) result.added.push(after);
    else if (before !== after && !same(before, after)) result.changed.push([before, after]);
  }
  let gone = current.size + result.added.length - desired.size;
  for (const [key, before] of current) {
    if (gone === 0) break;
    if (desired.has(key)) continue;
    result.removed.push(before);
    gone--;
  }
  return result;
}

function patchClass(before: Class, after: Class): ClassPatch[] {
  const had = new Map(before.ports.map((entry) => [portKey(entry), entry]));
  const wants = new Map(after.ports.map((entry) => [portKey(entry), entry]));
  const put = after.ports.filter((entry) => {
    const known = had.get(portKey(entry));
    return known === undefined || !sameDecision(known.decision, entry.decision);
  });
  const remove = before.ports.filter((entry) => !wants.has(portKey(entry)));
  return put.length === 0 && remove.length === 0 ? [] : [{ id: after.id, put, remove }];
}

/** Additions and changed entries of sets that stay, and entries that must be rewritten because their class' `any` is in them. */
function setPatchesOf(
  current: PolicyTables,
  desired: PolicyTables,
  changed: readonly [PolicySet, PolicySet][],
  anyChanged: ReadonlySet<bigint>,
): SetPatch[] {
  const pairs =
    anyChanged.size === 0
      ? changed
      : [...desired.sets.values()].flatMap((after): [PolicySet, PolicySet][] => {
          const before = current.sets.get(after.id);
          return before === undefined ? [] : [[before, after]];
        });
  return pairs.flatMap(([before, after]): SetPatch[] => {
    // Peers' entries say whether the set has networks.
    const all = (before.networks.length === 0) !== (after.networks.length === 0);
    const peers = new Map(
      [...after.peers].filter(([slot, id]) => all || anyChanged.has(id) || before.peers.get(slot) !== id),
    );
    const had = new Map(before.networks.map((entry) => [networkKey(entry), entry.class]));
    const networks = after.networks.filter(
      (entry) => anyChanged.has(entry.class) || had.get(networkKey(entry)) !== entry.class,
    );
    return peers.size === 0 && networks.length === 0 ? [] : [{ id: after.id, peers, networks }];
  });
}

/** Entries of sets that stay which are to go. */
function trimOf(before: PolicySet, after: PolicySet): SetPatch[] {
  const peers = new Map([...before.peers].filter(([slot]) => !after.peers.has(slot)));
  const wanted = new Set(after.networks.map(networkKey));
  const networks = before.networks.filter((entry) => !wanted.has(networkKey(entry)));
  return peers.size === 0 && networks.length === 0 ? [] : [{ id: after.id, peers, networks }];
}

function portKey({ protocol, port, prefix }: PortEntry): number {
  return (protocol * 65_536 + port) * 32 + prefix;
}

function networkKey({ address, prefix }: NetworkEntry): string {
  return `${Buffer.from(address).toString('latin1')}/${prefix}`;
}

function sameClass(a: Class, b: Class): boolean {
  return sameDecision(a.any, b.any) && a.ports.length === b.ports.length && patchClass(a, b).length === 0;
}

export function sameSet(a: PolicySet, b: PolicySet): boolean {
  if (a.peers.size !== b.peers.size || a.networks.length !== b.networks.length) return false;
  for (const [slot, id] of a.peers) if (b.peers.get(slot) !== id) return false;
  const classes = new Map(b.networks.map((entry) => [networkKey(entry), entry.class]));
  return a.networks === b.networks || a.networks.every((entry) => classes.get(networkKey(entry)) === entry.class);
}

function sameSubject(a: Subject, b: Subject): boolean {
  return a.identity === b.identity && a.egress === b.egress && a.ingress === b.ingress;
}

function sameRule(a: RuleInfo, b: RuleInfo): boolean {
  return (
    a.policy === b.policy &&
    a.direction === b.direction &&
    a.name === b.name &&
    a.action === b.action &&
    a.mode === b.mode &&
    a.priority === b.priority
  );
}
