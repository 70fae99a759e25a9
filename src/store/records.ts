import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import type { HandshakeRecord, RecordEnd, Result, Step } from '../handshake/port.ts';
import { formatIdentity } from '../model/identity.ts';
import { StoreError } from './error.ts';

/** Which records are wanted: all that is given must be so. */
export interface RecordFilter {
  /** Milliseconds since the epoch, inclusive. */
  readonly since?: number | undefined;
  /** Exclusive. */
  readonly until?: number | undefined;
  readonly result?: Result | undefined;
  /**
   * At either end: `name`, `Kind/name` or `namespace/Kind/name`, each with `*` and `?`; with a slash at the end,
   * whatever begins so: `shop/`. One container of it: with `[name]` behind.
   */
  readonly workload?: string | undefined;
  /** At either end. */
  readonly identity?: bigint | undefined;
  readonly end?: HandshakeRecord['end'] | undefined;
  readonly limit: number;
  /** `after` of the page before. */
  readonly after?: string | undefined;
}

export interface RecordPage {
  /** The newest first. */
  readonly records: readonly HandshakeRecord[];
  /** Where the next page begins; absent: there is none. */
  readonly after?: string;
}

/** Texts come from other nodes, too. Longer ones are cut, characters. */
const TEXT_MOST = 512;

const COLUMNS = [
  'time',
  'handshake',
  'side',
  'result',
  'step',
  'reason',
  'rule',
  'source_node',
  'source_identity',
  'source_workload',
  'destination_node',
  'destination_identity',
  'destination_workload',
  'protocol',
  'source_address',
  'source_port',
  'destination_address',
  'destination_port',
  'duration',
] as const;

type Row = Record<(typeof COLUMNS)[number] | 'id', string | number | null>;

const NAMES = COLUMNS.join(', ');
export const INSERT_RECORD = `INSERT INTO records (${NAMES}) VALUES (${COLUMNS.map(() => '?').join(', ')})`;

/** Values for `INSERT_RECORD`, such that no database refuses them. */
export type RecordRow = readonly SQLInputValue[];

export function rowOf(record: HandshakeRecord): RecordRow {
  const { source, destination, conversation } = record;
  return [
    whole(record.time),
    cut(record.handshake),
    cut(record.end),
    cut(record.result),
    cut(record.step),
    cut(record.reason),
    cut(record.rule),
    ...endColumns(source),
    ...endColumns(destination),
    whole(conversation.protocol),
    cut(conversation.source.address),
    whole(conversation.source.port),
    cut(conversation.destination.address),
    whole(conversation.destination.port),
    Number.isFinite(record.duration) ? record.duration : 0,
  ];
}

function endColumns({ node, identity, workload }: RecordEnd): (string | null)[] {
  return [
    node === undefined ? null : cut(node),
    identity === undefined ? null : formatIdentity(identity),
    workload === undefined ? null : cut(workload),
  ];
}

const whole = (number: number): number => (Number.isFinite(number) ? Math.trunc(number) : 0);
const cut = (text: string): string => (text.length > TEXT_MOST ? text.slice(0, TEXT_MOST) : text);

function recordOf(row: Row): HandshakeRecord {
  const end = (which: 'source' | 'destination'): RecordEnd => {
    const node = row[`${which}_node` as const];
    const identity = row[`${which}_identity` as const];
    const workload = row[`${which}_workload` as const];
    return {
      ...(node === null ? {} : { node: String(node) }),
      ...(identity === null ? {} : { identity: BigInt(`0x${identity}`) }),
      ...(workload === null ? {} : { workload: String(workload) }),
    };
  };
  return {
    handshake: String(row.handshake),
    time: Number(row.time),
    end: String(row.side) as HandshakeRecord['end'],
    result: String(row.result) as Result,
    step: String(row.step) as Step,
    reason: String(row.reason),
    rule: String(row.rule),
    source: end('source'),
    destination: end('destination'),
    conversation: {
      protocol: Number(row.protocol),
      source: { address: String(row.source_address), port: Number(row.source_port) },
      destination: { address: String(row.destination_address), port: Number(row.destination_port) },
    },
    duration: Number(row.duration),
  };
}

/** @throws StoreError CURSOR */
export function listRecords(database: DatabaseSync, filter: RecordFilter): RecordPage {
  const conditions: string[] = [];
  const values: SQLInputValue[] = [];
  const where = (condition: string, ...bound: readonly SQLInputValue[]): void => {
    conditions.push(condition);
    values.push(...bound);
  };
  if (filter.since !== undefined) where('time >= ?', Math.trunc(filter.since));
  if (filter.until !== undefined) where('time < ?', Math.trunc(filter.until));
  if (filter.result !== undefined) where('result = ?', filter.result);
  if (filter.end !== undefined) where('side = ?', filter.end);
  if (filter.identity !== undefined) {
    const identity = formatIdentity(filter.identity);
    where('(source_identity = ? OR destination_identity = ?)', identity, identity);
  }
  if (filter.workload !== undefined) {
    // Who asks for a workload means each container of it, too.
    const whole = workloadPattern(filter.workload);
    const inside = `${whole}[[]*]`;
    const condition = (column: string): string => `${column} GLOB ? OR ${column} GLOB ?`;
    where(`(${condition('source_workload')} OR ${condition('destination_workload')})`, whole, inside, whole, inside);
  }
  if (filter.after !== undefined) where('(time, id) < (?, ?)', ...readCursor(filter.after));
  // The index on time has the id at its end: the order costs nothing.
  const text = `SELECT id, ${NAMES} FROM records ${conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`}
    ORDER BY time DESC, id DESC LIMIT ?`;
  const rows = database.prepare(text).all(...values, filter.limit + 1) as unknown as Row[];
  const page = rows.slice(0, filter.limit);
  const last = page.at(-1);
  const more = rows.length > filter.limit && last !== undefined;
  return { records: page.map(recordOf), ...(more ? { after: `${last.time}.${last.id}` } : {}) };
}

/** Of one handshake, the oldest first. */
export function recordsOf(database: DatabaseSync, handshake: string, limit: number): HandshakeRecord[] {
  const text = `SELECT id, ${NAMES} FROM records WHERE handshake = ? AND handshake <> '' ORDER BY id LIMIT ?`;
  return (database.prepare(text).all(handshake, limit) as unknown as Row[]).map(recordOf);
}

function readCursor(text: string): [time: number, id: number] {
  const match = /^(-?\d{1,15})\.(\d{1,15})$/.exec(text);
  if (match === null) throw new StoreError('CURSOR', `Cannot go on after ${JSON.stringify(text)}: no page ended there`);
  return [Number(match[1]), Number(match[2])];
}

/** SQLite's GLOB has our `*` and `?`, and classes, which we have not. */
function workloadPattern(text: string): string {
  const whole = text.endsWith('/') ? `${text}*` : text;
  const missing = Math.max(0, 2 - (whole.split('/').length - 1));
  const prefix = text.endsWith('/') ? '' : '*/'.repeat(missing);
  return (prefix + whole).replaceAll('[', '[[]');
}
