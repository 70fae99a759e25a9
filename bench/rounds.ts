/** Interleaved rounds: A B C, B C A, C A B… so that what the machine does meanwhile meets everybody alike. */

import type { BenchRecord, Measurement, ScenarioName, SubjectName } from './record.ts';
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

/** What was measured of each participant, round by round. */
export type Rounds<T> = ReadonlyMap<Participant<T>, readonly (readonly Measurement[])[]>;

/** Measures every contestant in every round and sums up. `rounds` replaces the scenario's own number. */
export async function runRounds<T>(
  scenario: RoundScenario<T>,
  contestants: readonly Participant<T>[],
  rounds?: number,
): Promise<BenchRecord[]> {
  return compare(scenario, await measureRounds(scenario, contestants, rounds), 'nothing');
}

export async function measureRounds<T>(
  scenario: RoundScenario<T>,
  contestants: readonly Participant<T>[],
  rounds: number = scenario.rounds,
): Promise<Rounds<T>> {
  const results = new Map<Participant<T>, (readonly Measurement[])[]>(
    contestants.map((contestant) => [contestant, []]),
  );
  for (let turn = 0; turn < rounds; turn += 1) {
    const first = turn % contestants.length;
    for (const contestant of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      results.get(contestant)!.push(await scenario.measure(contestant.topology));
    }
  }
  return results;
}

/** Sums up, with ratios to what that subject took in the same rounds. */
export function compare<T>(
  scenario: Pick<RoundScenario<T>, 'name'>,
  results: Rounds<T>,
  baseline: SubjectName,
): BenchRecord[] {
  const reference = [...results].find(([{ subject }]) => subject.name === baseline)?.[1];
  return [...results].flatMap(([{ subject }, measured]) => summarize(scenario, subject, measured, reference));
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
