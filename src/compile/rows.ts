import type { Class, PortEntry } from './tables.ts';

/** Rows of each of the kernel's decision tables. */
export interface TableRows {
  readonly peers: number;
  readonly networks: number;
  /** Single ports. */
  readonly ports: number;
  /** Ranges of ports, and whole protocols. */
  readonly ranges: number;
}

export type DecisionTable = keyof TableRows;

export const DECISION_TABLES: readonly DecisionTable[] = ['peers', 'networks', 'ports', 'ranges'];

/** Room for whatever comes. */
export const ENDLESS: TableRows = { peers: Infinity, networks: Infinity, ports: Infinity, ranges: Infinity };

/** Whether it is more than there is room for, in some table. */
export function exceeds(rows: TableRows, room: TableRows): boolean {
  return DECISION_TABLES.some((table) => rows[table] > room[table]);
}

export function timesRows(rows: TableRows, times: number): TableRows {
  return {
    peers: rows.peers * times,
    networks: rows.networks * times,
    ports: rows.ports * times,
    ranges: rows.ranges * times,
  };
}

/** Where a class' entry lies: single ports are found by hash, all others by their longest prefix. */
export function isSinglePort({ prefix }: PortEntry): boolean {
  return prefix === 16;
}

/** What a class takes; its `any` lies with those who have it. */
export function rowsOfClass({ ports }: Pick<Class, 'ports'>): Pick<TableRows, 'ports' | 'ranges'> {
  let singles = 0;
  for (const entry of ports) if (isSinglePort(entry)) singles += 1;
  return { ports: singles, ranges: ports.length - singles };
}

/** A sum that is kept while rows come and go. */
export class RowCount implements TableRows {
  peers = 0;
  networks = 0;
  ports = 0;
  ranges = 0;

  /** @param times -1 where they go */
  add(rows: Partial<TableRows>, times = 1): void {
    for (const table of DECISION_TABLES) this[table] += (rows[table] ?? 0) * times;
  }
}
