/** From the moment somebody wants traffic forbidden, or allowed, to the first packet that fares so. */

import * as traffic from '../../test/rig/traffic.ts';
import type { BenchRecord } from '../record.ts';
import type { Contestant } from '../rounds.ts';
import { percentile, round } from '../statistics.ts';
import { PORTS } from '../topology.ts';

/** Enough for a hundredth of them not to be the worst one. */
const CHANGES = 200;
/** Probes a second: the result is as fine as the gap between them. */
const RATE = 4_000;
const LOST_MS = 20;
/** The number of rules the target is set for; of others there is no more to learn from fewer. */
const RULES = 10_000;

export async function policyLatency(contestants: readonly Contestant[]): Promise<BenchRecord[]> {
  const records: BenchRecord[] = [];
  for (const { subject, topology } of contestants) {
    const { name, rules, setBlocked } = subject;
    if (!setBlocked || rules > RULES || (rules < RULES && name !== 'sallyport')) continue;
    const { client, server } = topology;
    const delays = await changeDelays(client, server, server.ipv4, (blocked) => setBlocked.call(subject, blocked));
    records.push(
      { ...common, subject: name, rules, metric: 'p50', value: round(percentile(delays, 0.5)) },
      { ...common, subject: name, rules, metric: 'p99', value: round(percentile(delays, 0.99)) },
    );
  }
  return records;
}

const common = { scenario: 'policy-latency', unit: 'ms', ratio: null } as const;

/** Milliseconds from each wish to its effect, of datagrams from `client` to `PORTS.probe` of `server`. */
export async function changeDelays(
  client: traffic.Runner,
  server: traffic.Runner,
  address: string,
  setBlocked: (blocked: boolean) => Promise<void>,
): Promise<number[]> {
  const echo = await traffic.serve(server, { udp: String(PORTS.probe) });
  const probe = traffic.probe(client, { address, port: PORTS.probe, udp: true }, { rate: RATE, timeoutMs: LOST_MS });
  try {
    const delays: number[] = [];
    await probe.change(0);
    for (let change = 1; change <= CHANGES; change += 1) {
      // At different moments of whatever beats inside.
      await new Promise((resolve) => setTimeout(resolve, 20 + ((change * 7) % 40)));
      const at = Number(process.hrtime.bigint());
      await setBlocked(change % 2 === 1);
      delays.push(((await probe.change(change)).atNs - at) / 1e6);
    }
    return delays;
  } finally {
    probe.close();
    echo.close();
  }
}
