/** What the kernel says its time in our programs is, per packet, while a scenario's traffic runs. */

import { enableStatistics } from '../../src/libbpf/index.ts';
import type { BenchRecord } from '../record.ts';
import type { Contestant } from '../rounds.ts';
import { round } from '../statistics.ts';
import type { SallyportSubject } from '../subjects/sallyport.ts';
import type { TrafficScenario } from './traffic.ts';

/** One more slice with statistics on, which costs some nanoseconds per packet and so stays out of the rounds. */
export async function bpfCost(scenario: TrafficScenario, contestants: readonly Contestant[]): Promise<BenchRecord[]> {
  const records: BenchRecord[] = [];
  for (const { subject, topology } of contestants) {
    if (!isSallyport(subject)) continue;
    const statistics = enableStatistics();
    try {
      const before = await totals(subject);
      await scenario.measure(topology);
      const after = await totals(subject);
      const runs = after.runs - before.runs;
      if (runs === 0) throw new Error(`bench: no program of ours ran during ${scenario.name}`);
      records.push({
        scenario: scenario.name,
        subject: subject.name,
        rules: subject.rules,
        metric: 'bpf-ns-per-packet',
        unit: 'ns',
        value: round((after.nanoseconds - before.nanoseconds) / runs),
        ratio: null,
      });
    } finally {
      statistics.close();
    }
  }
  return records;
}

function isSallyport(subject: Contestant['subject']): subject is SallyportSubject {
  return subject.name === 'sallyport';
}

/** Of the programs that see packets at the endpoints' interfaces. */
async function totals({ agent }: SallyportSubject): Promise<{ runs: number; nanoseconds: number }> {
  const { programs } = (await agent.status()).datapath;
  const seen = programs.filter(({ name }) => /endpoint/.test(name));
  return {
    runs: seen.reduce((sum, { runCount }) => sum + runCount, 0),
    nanoseconds: seen.reduce((sum, { runTimeNs }) => sum + runTimeNs, 0),
  };
}
