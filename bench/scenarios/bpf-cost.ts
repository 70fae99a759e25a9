/** What the kernel says its time in our programs is, per packet, while a scenario's traffic runs. */

import { timesDuring } from '../program-times.ts';
import type { BenchRecord } from '../record.ts';
import type { Contestant } from '../rounds.ts';
import { round } from '../statistics.ts';
import type { SallyportSubject } from '../subjects/sallyport.ts';
import type { TrafficScenario } from './traffic.ts';

/** Of the programs that see packets at the endpoints' interfaces. */
const AT_ENDPOINTS = /endpoint/;

/** One more slice with statistics on, which costs some nanoseconds per packet and so stays out of the rounds. */
export async function bpfCost(scenario: TrafficScenario, contestants: readonly Contestant[]): Promise<BenchRecord[]> {
  const records: BenchRecord[] = [];
  for (const { subject, topology } of contestants) {
    if (!isSallyport(subject)) continue;
    const { runs, nanoseconds } = await timesDuring([subject.agent], AT_ENDPOINTS, () => scenario.measure(topology));
    if (runs === 0) throw new Error(`bench: no program of ours ran during ${scenario.name}`);
    records.push({
      scenario: scenario.name,
      subject: subject.name,
      rules: subject.rules,
      metric: 'bpf-ns-per-packet',
      unit: 'ns',
      value: round(nanoseconds / runs),
      ratio: null,
    });
  }
  return records;
}

function isSallyport(subject: Contestant['subject']): subject is SallyportSubject {
  return subject.name === 'sallyport';
}
