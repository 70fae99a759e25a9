/**
 * Whose sets are closed where all of them do not fit into the kernel's tables. Room is divided among owners, so that
 * whoever may write policies of one namespace can fill his own share and nobody else's.
 *
 * What is decided follows from what everybody's sets would take if all were open, and not from what the tables hold: that
 * a set was closed makes no room in which it would be opened again, to be closed in the next round.
 */
import { fairShares } from '../model/fair-share.ts';
import { DECISION_TABLES, type DecisionTable, ENDLESS, RowCount, rowsOfClass, type TableRows } from './rows.ts';
import type { Class } from './tables.ts';

/** What is known of a class when only its rows count. */
export interface SizedClass extends Pick<TableRows, 'ports' | 'ranges'> {
  readonly id: bigint;
}

/** What one set takes when it is open. */
export interface Demand {
  /** Of the set; no two have one. */
  readonly key: string;
  readonly owner: string;
  readonly peers: number;
  readonly networks: number;
  /** Peers of it that are there when it is closed, too. It has no other rows then. */
  readonly closedPeers: number;
  /** Its classes in lists; the same class may be in several, and in other sets. */
  readonly classes: readonly (readonly SizedClass[])[];
}

/** Of more classes of a closed set it is not remembered which they are, 60 B each: none of them is taken for shared then. */
const CLASSES_MOST = 1_024;

/** Lists of open sets' classes are asked for again in each round in which there is too little room. */
const known = new WeakMap<readonly Class[], readonly SizedClass[]>();

/** The list with what is to be known of it; the same object for the same list. */
export function sizedClasses(list: readonly Class[]): readonly SizedClass[] {
  let sized = known.get(list);
  if (sized === undefined) {
    sized = list.map((one) => ({ id: one.id, ...rowsOfClass(one) }));
    known.set(list, sized);
  }
  return sized;
}

/**
 * The lists as they are remembered of a set that is closed.
 * @param id the set's
 */
export function rememberedClasses(id: bigint, lists: readonly (readonly SizedClass[])[]): Demand['classes'] {
  const classes = new Map(lists.flatMap((list) => list.map((one) => [one.id, one])));
  if (classes.size <= CLASSES_MOST) return [[...classes.values()]];
  const sum = new RowCount();
  for (const { ports, ranges } of classes.values()) sum.add({ ports, ranges });
  return [[{ id, ports: sum.ports, ranges: sum.ranges }]];
}

/**
 * The sets that are to be closed; none while there is room for all. In every table that is too small for all, owners get
 * fair shares of what closed sets leave. Who keeps within his shares keeps all sets, of the others the smallest stay open.
 * @param demands in any order
 */
export function beyondShares(demands: readonly Demand[], room: TableRows): ReadonlySet<string> {
  const all = rowsOf(demands);
  const scarce = DECISION_TABLES.filter((table) => all[table] > room[table]);
  if (scarce.length === 0) return new Set();
  const owners = [...Map.groupBy(demands, ({ owner }) => owner)].sort(([a], [b]) => (a < b ? -1 : 1));
  const gains = owners.map(([, sets]) => gainOf(rowsOf(sets), closedPeersOf(sets)));
  const shares = owners.map(() => new RowCount());
  for (const table of scarce) {
    const left = table === 'peers' ? room.peers - closedPeersOf(demands) : room[table];
    const parts = fairShares(
      gains.map((gain) => gain[table]),
      Math.max(0, left),
    );
    for (const [i, part] of parts.entries()) shares[i]?.add({ [table]: part });
  }
  return new Set(
    owners.flatMap(([, sets], i) => {
      const [gain, share] = [gains[i] ?? ENDLESS, shares[i] ?? new RowCount()];
      return scarce.some((table) => gain[table] > share[table]) ? closedOf(sets, scarce, share, room) : [];
    }),
  );
}

/** Of an owner who wants too much. @param share rows that this owner's sets may take beyond what they take when closed; changed */
function closedOf(
  sets: readonly Demand[],
  scarce: readonly DecisionTable[],
  share: RowCount,
  room: TableRows,
): readonly string[] {
  const weights = new Map(sets.map((set) => [set, weightOf(set, scarce, room)]));
  const bySize = sets.toSorted((a, b) => (weights.get(a) ?? 0) - (weights.get(b) ?? 0) || (a.key < b.key ? -1 : 1));
  const seen = new Seen();
  return bySize.flatMap((set) => {
    const gain = gainOf(seen.ask(set), set.closedPeers);
    if (scarce.some((table) => gain[table] > share[table])) return [set.key];
    seen.add(set);
    share.add(gain, -1);
    return [];
  });
}

/** The greatest part of a scarce table that it would have for itself. */
function weightOf(set: Demand, scarce: readonly DecisionTable[], room: TableRows): number {
  const gain = gainOf(rowsOf([set]), set.closedPeers);
  return Math.max(...scarce.map((table) => gain[table] / Math.max(1, room[table])));
}

function gainOf(rows: TableRows, closedPeers: number): TableRows {
  return { ...rows, peers: rows.peers - closedPeers };
}

function closedPeersOf(sets: readonly Demand[]): number {
  return sets.reduce((sum, { closedPeers }) => sum + closedPeers, 0);
}

/** What the sets take together. */
function rowsOf(sets: readonly Demand[]): TableRows {
  const [seen, sum] = [new Seen(), new RowCount()];
  for (const set of sets) sum.add(seen.add(set));
  return { peers: sum.peers, networks: sum.networks, ports: sum.ports, ranges: sum.ranges };
}

/** Classes that sets have in common are there once. */
class Seen {
  readonly #lists = new Set<readonly SizedClass[]>();
  readonly #classes = new Set<bigint>();

  /** @returns what the set takes beside those before it */
  add({ peers, networks, classes }: Demand): TableRows {
    let [ports, ranges] = [0, 0];
    for (const list of classes) {
      if (this.#lists.has(list)) continue;
      this.#lists.add(list);
      for (const one of list) {
        const before = this.#classes.size;
        if (this.#classes.add(one.id).size === before) continue;
        ports += one.ports;
        ranges += one.ranges;
      }
    }
    return { peers, networks, ports, ranges };
  }

  /** The same, and it is not among them afterwards. */
  ask({ peers, networks, classes }: Demand): TableRows {
    const found = new Seen();
    const fresh = classes
      .filter((list) => !this.#lists.has(list))
      .map((list) => list.filter(({ id }) => !this.#classes.has(id)));
    return found.add({ key: '', owner: '', closedPeers: 0, peers, networks, classes: fresh });
  }
}
