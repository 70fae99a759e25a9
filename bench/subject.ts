import type { SubjectName } from './record.ts';
import type { Topology } from './topology.ts';

/** What stands between client and server. One object is one contestant: it is set up once, in its own topology. */
export interface Subject {
  readonly name: SubjectName;
  /** How many rules the traffic is judged by: all but the one that lets it pass are about others. */
  readonly rules: number;
  /** Puts the rules in force and returns how long that took, in milliseconds. */
  setUp(topology: Topology): Promise<number>;
  /** Forbids datagrams to `PORTS.probe`, or lets them pass again; resolves when it has been told, not when it is done. */
  setBlocked?(blocked: boolean): Promise<void>;
  /** The process that decides or configures, if one stays. */
  readonly pid?: number;
  tearDown(): void;
}

/** The same N addresses and ports for everybody: source k of the rules that do not match. */
export function otherSource(k: number): { readonly address: string; readonly port: number } {
  const n = k + 1;
  return { address: `198.${18 + ((n >> 16) & 1)}.${(n >> 8) & 255}.${n & 255}`, port: 1 + (k % 65_000) };
}

/** Milliseconds of a monotonic clock. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start) / 1e6;
}
