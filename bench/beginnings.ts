/** Conversations of datagrams that begin, from all clients of a pair at once, each from a port that was not used before. */

import type { Background } from '../test/rig/process.ts';
import * as traffic from '../test/rig/traffic.ts';
import type { Pair } from './pair.ts';
import { PORTS } from './topology.ts';

const FIRST_PORT = 2_000;
/** The hold's deadline is over by then. */
const TIMEOUT_MS = 6_000;

export interface Beginnings {
  readonly sent: number;
  /** Until the first datagram was answered, of those that were. */
  readonly firstMs: readonly number[];
  readonly secondMs: readonly number[];
  /** Until all were answered, or given up. */
  readonly elapsedMs: number;
}

export function serveEcho({ server }: Pair): Promise<Background> {
  return traffic.serve(server, { udp: String(PORTS.udpEcho) });
}

/** Ports that have been used, which are no longer new. */
const used = new WeakMap<Pair, number>();

/** `count` and `rate` are of all clients together, `parallel` is each one's. */
export async function begin(
  pair: Pair,
  { count, rate, parallel }: { readonly count: number; readonly rate: number; readonly parallel?: number },
): Promise<Beginnings> {
  const { clients, server } = pair;
  const each = Math.ceil(count / clients.length);
  const port = used.get(pair) ?? FIRST_PORT;
  used.set(pair, port + each * clients.length);
  const results = await Promise.all(
    clients.map((client, n) => {
      // Not the same ports from all of them: NAT would have to give some of them others, which it may fail to.
      const target = { address: server.ipv4, port: PORTS.udpEcho, sourcePort: port + n * each };
      const bounds = { count: each, rate: rate / clients.length, timeoutMs: TIMEOUT_MS };
      return traffic.firsts(client, target, parallel === undefined ? bounds : { ...bounds, parallel });
    }),
  );
  const toMs = (samples: readonly number[]) => samples.map((value) => value / 1e6);
  return {
    sent: results.reduce((sum, { sent }) => sum + sent, 0),
    firstMs: results.flatMap(({ firstNs }) => toMs(firstNs)),
    secondMs: results.flatMap(({ secondNs }) => toMs(secondNs)),
    elapsedMs: Math.max(...results.map(({ elapsedNs }) => elapsedNs)) / 1e6,
  };
}
