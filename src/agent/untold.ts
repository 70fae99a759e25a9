import { isJudgedHere } from '../compile/lookup.ts';
import { exceeds, RowCount, rowsOfClass, type TableRows } from '../compile/rows.ts';
import { type Class, type PolicySet, type PolicyTables, SET_ELSEWHERE } from '../compile/tables.ts';
import { Slot } from '../model/slot.ts';

/** What is kept of a set of the current tables. */
interface Kept {
  readonly id: bigint;
  /** All of it, or, where it is among the desired ones, the peers those do not know. */
  readonly set: PolicySet;
  /** That the desired tables do not have. */
  readonly classes: readonly Class[];
  readonly rows: TableRows;
}

/**
 * The desired tables and, unchanged, what the current ones have for slots the desired ones do not know: those of
 * endpoints an earlier agent left in force and no source has told of yet, as subjects and as peers of others.
 * @param room for what is kept so. Of what is more, as an agent with larger tables may have left it, the largest sets go,
 * and whoever used them is denied everything until he is told of.
 */
export function withSubjectsOf(current: PolicyTables, desired: PolicyTables, room: TableRows): PolicyTables {
  const subjects = new Map(desired.subjects);
  for (const [slot, subject] of current.subjects) {
    // Somebody known from elsewhere may run here, too, and not be told of yet.
    if (!desired.subjects.has(slot) || !isJudgedHere(desired, slot)) subjects.set(slot, subject);
  }
  const { kept, left } = withinRoom(keptSets(current, desired, subjects), room);
  const sets = new Map(desired.sets);
  const classes = new Map(desired.classes);
  for (const { id, set, classes: also } of kept) {
    const wanted = sets.get(id);
    sets.set(id, wanted === undefined ? set : { ...wanted, peers: new Map([...set.peers, ...wanted.peers]) });
    for (const one of also) classes.set(one.id, one);
  }
  for (const [slot, subject] of left.size === 0 ? [] : subjects) {
    const [egress, ingress] = [subject.egress, subject.ingress].map((id) => (left.has(id) ? SET_ELSEWHERE : id));
    subjects.set(slot, { ...subject, egress: egress ?? 0n, ingress: ingress ?? 0n });
  }
  return { subjects, sets, classes, rules: new Map([...current.rules, ...desired.rules]) };
}

function* keptSets(current: PolicyTables, desired: PolicyTables, subjects: PolicyTables['subjects']): Generator<Kept> {
  const unknownOf = ({ peers }: PolicySet) =>
    new Map([...peers].filter(([slot]) => slot >= Slot.First && !desired.subjects.has(slot)));
  for (const id of new Set([...subjects.values()].flatMap(({ egress, ingress }) => [egress, ingress]))) {
    const [before, wanted] = [current.sets.get(id), desired.sets.get(id)];
    // Nobody gets through one that denies everything because others once did.
    if (before === undefined || wanted?.closed !== undefined) continue;
    const set = wanted === undefined ? before : { id, peers: unknownOf(before), networks: [] };
    if (set.peers.size === 0) continue;
    const named = new Set([...set.peers.values(), ...set.networks.map((network) => network.class)]);
    const classes = [...named].flatMap((kind) => (desired.classes.has(kind) ? [] : (current.classes.get(kind) ?? [])));
    const rows = new RowCount();
    rows.add({ peers: set.peers.size, networks: set.networks.length });
    for (const one of classes) rows.add(rowsOfClass(one));
    yield { id, set, classes, rows };
  }
}

/** As many of them as there is room for, the smallest first. */
function withinRoom(sets: Iterable<Kept>, room: TableRows): { kept: readonly Kept[]; left: ReadonlySet<bigint> } {
  const sizeOf = ({ peers, networks, ports, ranges }: TableRows): number => peers + networks + ports + ranges;
  const kept: Kept[] = [];
  const left = new Set<bigint>();
  const sum = new RowCount();
  for (const one of [...sets].sort((a, b) => sizeOf(a.rows) - sizeOf(b.rows))) {
    sum.add(one.rows);
    if (exceeds(sum, room)) {
      sum.add(one.rows, -1);
      left.add(one.id);
    } else kept.push(one);
  }
  return { kept, left };
}
