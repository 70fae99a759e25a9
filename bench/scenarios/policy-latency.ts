/** From the moment somebody wants traffic forbidden, or allowed, to the first packet that fares so. */

import * as traffic from '../../test/rig/traffic.ts';
import type { BenchRecord } from '../record.ts';
import type { Contestant } from '../rounds.ts';
import { percentile, round } from '../statistics.ts';
import { PORTS } from '../topology.ts';

const CHANGES = 60;
/** Probes a second: the result is as fine as the gap between them. */
const RATE = 4_000;
const LOST_MS = 20;
/** The number of rules the target is set for; of others there is no more to learn from fewer. */
const RULES = 10_000;

export async function policyLatency(contestants: readonly Contestant[]): Promise<BenchRecord[]> {
  const records: BenchRecord[] = [];
  for (const { subject, topology } of contestants) {
    if (!subject.setBlocked || subject.rules > RULES || (subject.rules < RULES && subject.name !== 'sallyport'))
      continue;
    const server = await traffic.serve(topology.server, { udp: String(PORTS.probe) });
    const target = { address: topology.server.ipv4, port: PORTS.probe, udp: true };
    const probe = traffic.probe(topology.client, target, { rate: RATE, timeoutMs: LOST_MS });
    try {
      const delays: number[] = [];
      await probe.change(0);
      for (let change = 1; change <= CHANGES; change += 1) {
        // At different moments of whatever beats inside.
        await new Promise((resolve) => setTimeout(resolve, 20 + ((change * 7) % 40)));
        const at = Number(process.hrtime.bigint());
        await subject.setBlocked(change % 2 === 1);
        delays.push(((await probe.change(change)).atNs - at) / 1e6);
      }
      for (const [metric, share] of [
        ['p50', 0.5],
        ['p99', 0.99],
      ] as const) {
        records.push({
          scenario: 'policy-latency',
          subject: subject.name,
          rules: subject.rules,
          metric,
          unit: 'ms',
          value: round(percentile(delays, share)),
          ratio: null,
        });
      }
    } finally {
      probe.close();
      server.close();
    }
  }
  return records;
}
