/** From the moment somebody wants traffic forbidden, or allowed, to the first packet that fares so. */

import * as traffic from '../../test/rig/traffic.ts';
import type { BenchRecord } from '../record.ts';
import type { Contestant } from '../rounds.ts';
import { percentile, round } from '../statistics.ts';
import { PORTS } from '../topology.ts';

const CHANGES = 24;
const PAUSE_MS = 400;
/** Fewer rules than this are left out where there are contestants of the same name with more. */
const LEAST_RULES = 10_000;
/** Probes a second: the result is as fine as the gap between them. */
const RATE = 4_000;

export async function policyLatency(contestants: readonly Contestant[]): Promise<BenchRecord[]> {
  const records: BenchRecord[] = [];
  for (const { subject, topology } of contestants) {
    if (!subject.setBlocked || (subject.rules < LEAST_RULES && subject.name !== 'sallyport')) continue;
    const server = await traffic.serve(topology.server, { udp: String(PORTS.probe) });
    try {
      const probe = await traffic.probe(
        topology.client,
        { address: topology.server.ipv4, port: PORTS.probe, udp: true },
        { rate: RATE, durationMs: 60_000, timeoutMs: 100 },
      );
      const wanted: { at: number; passes: boolean }[] = [];
      for (let change = 0; change < CHANGES; change += 1) {
        // At different moments of whatever beats inside.
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS + ((change * 7) % 40)));
        const passes = change % 2 === 1;
        wanted.push({ at: Number(process.hrtime.bigint()), passes });
        await subject.setBlocked(!passes);
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      probe.process.kill('SIGTERM');
      const { changes } = await probe.result();
      let unseen = 0;
      const delays = wanted.map(({ at, passes }, index) => {
        const until = wanted[index + 1]?.at ?? Number.POSITIVE_INFINITY;
        const seen = changes.find((change) => change.atNs >= at && change.atNs < until && change.passes === passes);
        if (seen) return (seen.atNs - at) / 1e6;
        unseen += 1;
        return PAUSE_MS; // at least: it came too late to be told from the next one
      });
      if (unseen > CHANGES / 4)
        throw new Error(`bench: ${subject.name}: ${unseen} of ${CHANGES} changes had no effect`);
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
      server.close();
    }
  }
  return records;
}
