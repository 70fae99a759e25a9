/** Interleaved rounds: A B C, B C A, C A B… so that what the machine does meanwhile meets everybody alike. */

import type { BenchRecord, Measurement, ScenarioName } from './record.ts';
import { median, round } from './statistics.ts';
import type { Subject } from './subject.ts';
import type { Topology } from './topology.ts';

/** Whoever is measured, and where. */
export interface Participant<T> {
  readonly subject: Pick<Subject, 'name' | 'rules'>;
  readonly topology: T;
}

/** A subject where it is in force. */
export interface Contestant extends Participant<Topology> {
  readonly subject: Subject;
}

export interface RoundScenario<T> {
  readonly name: ScenarioName;
  readonly rounds: number;
  /** One round of one participant. */
  measure(topology: T): Promise<readonly Measurement[]>;
}

/** Measures every contestant in every round and sums up. `rounds` replaces the scenario's own number. */
export async function runRounds<T>(
  scenario: RoundScenario<T>,
  contestants: readonly Participant<T>[],
  rounds: number = scenario.rounds,
): Promise<BenchRecord[]> {
  const results = new Map<Participant<T>, (readonly Measurement[])[]>(
    contestants.map((contestant) => [contestant, []]),
  );
  for (let turn = 0; turn < rounds; turn += 1) {
    const first = turn % contestants.length;
    for (const contestant of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      results.get(contestant)!.push(await scenario.measure(contestant.topology));
    }
  }
  const baseline = contestants.find(({ subject }) => subject.name === 'nothing');
  const reference = baseline && results.get(baseline);
  return contestants.flatMap((contestant) =>
    summarize(scenario, contestant.subject, results.get(contestant)!, reference),
  );
}

/** @internal Medians of values and of ratios to the reference of the same round. */
export function summarize(
  scenario: Pick<RoundScenario<never>, 'name'>,
  subject: Pick<Subject, 'name' | 'rules'>,
  rounds: readonly (readonly Measurement[])[],
  reference: readonly (readonly Measurement[])[] | undefined,
): BenchRecord[] {
  return (rounds[0] ?? []).map(({ metric, unit }, index) => {
    const values = rounds.map((measurements) => measurements[index]!.value);
    const ratios = values.flatMap((value, turn) => {
      const other = reference?.[turn]?.[index]?.value;
      return other === undefined || other === 0 ? [] : [value / other];
    });
    return {
      scenario: scenario.name,
      subject: subject.name,
      rules: subject.rules,
      metric,
      unit,
      value: round(median(values)),
      ratio: ratios.length === 0 ? null : round(median(ratios)),
    };
  });
}
