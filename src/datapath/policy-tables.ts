/** Writing the decision tables as a plan says, and reading back what the kernel holds. */
import { diff, type Plan, type SetPatch, type Step } from '../compile/diff.ts';
import { roomMade } from '../compile/making-room.ts';
import { isSinglePort, type TableRows } from '../compile/rows.ts';
import type { Class, PolicySet, PolicyTables, PortEntry, RuleInfo, Subject } from '../compile/tables.ts';
import { Slot } from '../model/slot.ts';
import type { Tables } from './maps.ts';
import { knownNetworkRows, LONG_LIST, networkRows } from './network-rows.ts';
import * as rows from './policy-rows.ts';
import { RowRemover, RowWriter } from './row-runs.ts';
import { addCounters, isFull, removeCounters } from './rule-counters.ts';

type PolicyMaps = Pick<Tables, 'subjects' | 'peers' | 'networks' | 'ports' | 'port_ranges' | 'rule_counters'>;

/** What a step needs to know beside itself. */
interface Context {
  readonly maps: PolicyMaps;
  readonly desired: PolicyTables;
  readonly bumpRevision: () => void;
}

/**
 * Does the plan's steps in their order. Stops at the first that fails: what was written refers to nothing that is
 * missing, and subjects are switched only after everything they need is in.
 * @throws BpfError, e.g. E2BIG where a table is full
 */
export function applyPolicyPlan(maps: PolicyMaps, plan: Plan, bumpRevision: () => void): void {
  const context: Context = { maps, desired: plan.desired, bumpRevision };
  for (const step of plan.steps) applyStep(context, step);
}

/**
 * The same where tables may be too full for what the kernel has and what is wanted at once, as earlier agents may have left
 * them: what is not wanted any more goes first then, at first without touching what anybody is judged by. If that makes too
 * little room, whoever gets new rules is denied everything while they are written: for good is worse.
 * @throws BpfError MAP_FULL where what is wanted does not fit even alone
 */
export function applyMakingRoom(maps: PolicyMaps, plan: Plan, bumpRevision: () => void): void {
  const { desired } = plan;
  const attempts: readonly (() => void)[] = [
    () => applyPolicyPlan(maps, plan, bumpRevision),
    ...[true, false].map((sparing) => () => {
      const current = readPolicyTables(maps);
      const between = roomMade(current, desired, sparing);
      applyPolicyPlan(maps, diff(current, between), bumpRevision);
      applyPolicyPlan(maps, diff(between, desired), bumpRevision);
    }),
  ];
  for (const [i, attempt] of attempts.entries()) {
    try {
      attempt();
      return;
    } catch (error) {
      if (!isFull(error) || i === attempts.length - 1) throw error;
    }
  }
}

/**
 * Rows that policies may take: of each table half, so that what is written and what it takes the place of fit together.
 * Tables an earlier agent made have the sizes he gave them.
 */
export function roomOf(maps: PolicyMaps): TableRows {
  const halfOf = ({ map }: { readonly map: { readonly maxEntries: number } }) => Math.floor(map.maxEntries / 2);
  const [peers, networks, ports, ranges] = [maps.peers, maps.networks, maps.ports, maps.port_ranges].map(halfOf);
  return { peers: peers ?? 0, networks: networks ?? 0, ports: ports ?? 0, ranges: ranges ?? 0 };
}

function applyStep(context: Context, step: Step): void {
  const { maps, desired } = context;
  switch (step.op) {
    case 'write-classes':
      putPorts(maps, step.classes);
      break;
    case 'patch-classes':
      putPorts(
        maps,
        step.patches.map(({ id, put }) => ({ id, ports: put })),
      );
      removePorts(
        maps,
        step.patches.map(({ id, remove }) => ({ id, ports: remove })),
      );
      break;
    case 'write-sets':
    case 'patch-sets':
      putMembers(maps, desired, step.op === 'write-sets' ? step.sets : step.patches);
      break;
    case 'write-rules':
      addCounters(maps.rule_counters, step.rules);
      break;
    case 'switch-subjects':
      maps.subjects.setAll(step.subjects.map((subject) => [subject.slot, rows.subjectValue(subject)]));
      break;
    case 'bump-revision':
      context.bumpRevision();
      break;
    case 'delete-subjects':
      maps.subjects.setAll(step.slots.map((slot) => [slot, { identity: 0n, sets: [0n, 0n] }]));
      break;
    case 'trim-sets':
    case 'delete-sets':
      removeMembers(maps, step.op === 'trim-sets' ? step.patches : step.sets);
      break;
    case 'delete-classes':
      removePorts(maps, step.classes);
      break;
    case 'delete-rules':
      removeCounters(maps.rule_counters, step.rules, desired.rules);
      break;
  }
}

type Members = PolicySet | SetPatch;
type Ports = Pick<Class, 'id' | 'ports'>;

/**
 * Networks before peers: the peers' flag says that there are networks to look in. Named peers before those who stand for all
 * others: where a set that denied everything opens, nobody it denies by name is taken for one of the others meanwhile.
 */
function putMembers(maps: PolicyMaps, desired: PolicyTables, sets: readonly Members[]): void {
  const kindOf = (id: bigint): Class => classOf(desired, id);
  const networks = new RowWriter(maps.networks);
  for (const { id, networks: list } of sets) {
    if (list.length >= LONG_LIST) networks.putRows(networkRows(id, list, kindOf));
    else for (const entry of list) networks.put(rows.networkKey(id, entry), rows.classValue(kindOf(entry.class), true));
  }
  networks.flush();
  const peers = new RowWriter(maps.peers);
  for (const set of sets) {
    const hasNetworks = setOf(desired, set.id).networks.length > 0;
    const put = (some: (slot: number) => boolean): void => {
      for (const [slot, kind] of set.peers)
        if (some(slot)) peers.put(rows.peerKey(set.id, slot), rows.classValue(kindOf(kind), hasNetworks));
    };
    put((slot) => slot >= Slot.First);
    put((slot) => slot < Slot.First);
  }
  peers.flush();
}

function removeMembers(maps: PolicyMaps, sets: readonly Members[]): void {
  const peers = new RowRemover(maps.peers);
  for (const set of sets) for (const slot of set.peers.keys()) peers.remove(rows.peerKey(set.id, slot));
  peers.flush();
  const networks = new RowRemover(maps.networks);
  for (const { id, networks: list } of sets) {
    const known = knownNetworkRows(id, list);
    if (known !== undefined) networks.removeRows(known);
    else for (const entry of list) networks.remove(rows.networkKey(id, entry));
  }
  networks.flush();
}

function putPorts(maps: PolicyMaps, classes: readonly Ports[]): void {
  const [single, ranges] = [new RowWriter(maps.ports), new RowWriter(maps.port_ranges)];
  for (const { id, ports } of classes) {
    for (const entry of ports) {
      if (isSinglePort(entry)) single.put(rows.portKey(id, entry), entry.decision);
      else ranges.put(rows.portRangeKey(id, entry), entry.decision);
    }
  }
  single.flush();
  ranges.flush();
}

function removePorts(maps: PolicyMaps, classes: readonly Ports[]): void {
  const [single, ranges] = [new RowRemover(maps.ports), new RowRemover(maps.port_ranges)];
  for (const { id, ports } of classes) {
    for (const entry of ports) {
      if (isSinglePort(entry)) single.remove(rows.portKey(id, entry));
      else ranges.remove(rows.portRangeKey(id, entry));
    }
  }
  single.flush();
  ranges.flush();
}

function setOf(tables: PolicyTables, id: bigint): PolicySet {
  const set = tables.sets.get(id);
  if (set === undefined) throw new RangeError(`The plan patches set ${id.toString(16)}, which it does not want`);
  return set;
}

function classOf(tables: PolicyTables, id: bigint): Class {
  const kind = tables.classes.get(id);
  if (kind === undefined) throw new RangeError(`The plan refers to class ${id.toString(16)}, which it does not want`);
  return kind;
}

/** The decision tables as the kernel holds them. The names of rules are not among them: only that they are there. */
export function readPolicyTables(maps: PolicyMaps): PolicyTables {
  const ports = new Map<bigint, PortEntry[]>();
  const add = (kind: bigint, entry: PortEntry) => {
    const list = ports.get(kind);
    if (list === undefined) ports.set(kind, [entry]);
    else list.push(entry);
  };
  for (const [key, value] of maps.ports.entries()) add(key.class, rows.portEntry(key, value));
  for (const [key, value] of maps.port_ranges.entries()) add(rows.nativeValue(key.class), rows.portEntry(key, value));

  const classes = new Map<bigint, Class>();
  const sets = new Map<bigint, { id: bigint; peers: Map<number, bigint>; networks: PolicySet['networks'][number][] }>();
  const setOf = (id: bigint) => {
    let set = sets.get(id);
    if (set === undefined) {
      set = { id, peers: new Map(), networks: [] };
      sets.set(id, set);
    }
    return set;
  };
  for (const [key, value] of maps.peers.entries()) {
    setOf(key.set).peers.set(key.peer, value.id);
    classes.set(value.id, { id: value.id, any: rows.decisionOf(value.any), ports: ports.get(value.id) ?? [] });
  }
  for (const [key, value] of maps.networks.entries()) {
    setOf(rows.nativeValue(key.set)).networks.push(rows.networkEntry(key, value.id));
    classes.set(value.id, { id: value.id, any: rows.decisionOf(value.any), ports: ports.get(value.id) ?? [] });
  }
  // Ports of a class that no set names: left by an apply that was cut short.
  for (const [id, entries] of ports) {
    if (!classes.has(id)) classes.set(id, { id, any: ABSENT, ports: entries });
  }

  const subjects = new Map<number, Subject>();
  for (const [slot, { identity, sets: bySide }] of maps.subjects.entries()) {
    if (identity === 0n) continue;
    subjects.set(slot, { slot, identity, egress: bySide[0] ?? 0n, ingress: bySide[1] ?? 0n });
  }
  const rules = new Map<number, RuleInfo>();
  for (const [id] of maps.rule_counters.entries()) rules.set(id, { ...UNNAMED, id });
  return { subjects, sets, classes, rules };
}

const ABSENT = { rank: 0, rule: 0, stagedRank: 0, stagedRule: 0, verdict: 0, stagedVerdict: 0 };
const UNNAMED = { policy: '', direction: 'egress', name: '', action: 'Deny', mode: 'Enforce', priority: 0 } as const;
