/**
 * `make bench`: what Sallyport costs beside nothing, iptables, nftables and a user-space queue, in one run.
 * Writes results/latest.json and results/latest.md; with --only, records of other scenarios stay as they were.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildTraffic } from '../test/rig/traffic.ts';
import { type BenchRecord, SCENARIOS, type ScenarioName, SUBJECTS, type SubjectName } from './record.ts';
import { formatReport } from './report.ts';
import { type Contestant, runRounds } from './rounds.ts';
import { applyToEnforced } from './scenarios/apply-to-enforced.ts';
import { bpfCost } from './scenarios/bpf-cost.ts';
import { firstDatagram } from './scenarios/first-datagram.ts';
import { FULL_NODE_SCENARIOS, fullNode } from './scenarios/full-node.ts';
import { load } from './scenarios/load.ts';
import { LSM_SCENARIOS, lsm } from './scenarios/lsm.ts';
import { pairRate } from './scenarios/pair-rate.ts';
import { podStart } from './scenarios/pod-start.ts';
import { policyLatency } from './scenarios/policy-latency.ts';
import { scale } from './scenarios/scale.ts';
import { start } from './scenarios/start.ts';
import { TAG_SCENARIOS, tags } from './scenarios/tags.ts';
import { trafficScenarios } from './scenarios/traffic.ts';
import type { Subject } from './subject.ts';
import { iptables } from './subjects/iptables.ts';
import { nfqueue } from './subjects/nfqueue.ts';
import { nftables } from './subjects/nftables.ts';
import { nothing } from './subjects/nothing.ts';
import { sallyport } from './subjects/sallyport.ts';
import { createTopology } from './topology.ts';

const busy = loadavg()[0]!;

const HELP = `Usage: bench/main.ts [--only SCENARIO,…] [--subjects SUBJECT,…] [--rounds N]

What Sallyport costs beside nothing, iptables, nftables and a user-space queue, in one run, as root.

  --only       some scenarios: ${SCENARIOS.join(', ')}
  --subjects   some subjects: ${SUBJECTS.join(', ')}
  --rounds     instead of each scenario's own number

Example: make bench ONLY=crr,rr
`;
const RESULTS = join(import.meta.dirname, 'results');

function chosen<T extends string>(text: string | undefined, known: readonly T[]): readonly T[] {
  if (text === undefined) return known;
  return text.split(',').map((name) => {
    const found = known.find((one) => one === name);
    if (!found) throw new Error(`bench: there is no "${name}"; there are ${known.join(', ')}`);
    return found;
  });
}

/** Everybody who takes part in the scenarios with traffic, the baseline always among them. */
function contenders(subjects: readonly SubjectName[]): Subject[] {
  const all = [
    nothing(),
    nfqueue(),
    ...[10, 1_000, 10_000].flatMap((rules) => [iptables(rules), nftables(rules), sallyport(rules)]),
    sallyport(100_000),
  ];
  return all.filter(({ name }) => name === 'nothing' || subjects.includes(name));
}

async function withContestants<T>(
  subjects: readonly Subject[],
  work: (all: readonly Contestant[]) => Promise<T>,
): Promise<T> {
  const contestants: Contestant[] = [];
  try {
    for (const subject of subjects) {
      const topology = await createTopology(`${subject.name}-${subject.rules}`);
      contestants.push({ subject, topology });
      const took = await subject.setUp(topology);
      say(`  ${subject.name} with ${subject.rules} rules is set up (${Math.round(took)} ms)`);
    }
    return await work(contestants);
  } finally {
    for (const { subject, topology } of contestants.reverse()) {
      subject.tearDown();
      topology.close();
    }
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function write(records: readonly BenchRecord[], scenarios: readonly ScenarioName[]): void {
  mkdirSync(RESULTS, { recursive: true });
  const file = join(RESULTS, 'latest.json');
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as BenchRecord[]) : [];
  const kept = before.filter(({ scenario }) => !scenarios.includes(scenario));
  const all = [...kept, ...records].sort((a, b) => SCENARIOS.indexOf(a.scenario) - SCENARIOS.indexOf(b.scenario));
  writeFileSync(file, `[\n${all.map((record) => `  ${JSON.stringify(record)}`).join(',\n')}\n]\n`);
  writeFileSync(join(RESULTS, 'latest.md'), formatReport(all, new Date(), busy));
  say(`wrote ${file} and latest.md`);
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: { only: text, subjects: text, rounds: text, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) return void process.stdout.write(HELP);
  const scenarios = chosen(values.only, SCENARIOS);
  const subjects = chosen(values.subjects, SUBJECTS);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (busy > cpus().length / 2) say(`the machine is busy (load ${busy.toFixed(1)}): p99 and rates will tell little`);
  const begun = Date.now();
  const records: BenchRecord[] = [];
  await buildTraffic();
  const withTraffic = trafficScenarios.filter(({ name }) => scenarios.includes(name));
  if (withTraffic.length > 0 || scenarios.includes('policy-latency')) {
    // Setting up 100,000 rules takes a while, and only traffic is measured with them.
    const all = contenders(subjects).filter(({ rules }) => rules <= 10_000 || withTraffic.length > 0);
    await withContestants(all, async (contestants) => {
      for (const scenario of withTraffic) {
        say(`${scenario.name}: ${rounds ?? scenario.rounds} rounds of ${contestants.length}`);
        records.push(...(await runRounds(scenario, contestants, rounds)));
        records.push(...(await bpfCost(scenario, contestants)));
      }
      if (scenarios.includes('policy-latency')) {
        say('policy-latency');
        records.push(...(await policyLatency(contestants)));
      }
    });
  }
  if (scenarios.includes('load')) {
    say('load');
    records.push(...(await load(subjects)));
  }
  if (subjects.includes('sallyport')) {
    if (scenarios.includes('start')) {
      say('start');
      records.push(...(await start()));
    }
    const asked = FULL_NODE_SCENARIOS.filter((name) => scenarios.includes(name));
    if (asked.length > 0) {
      say(`${asked.join(', ')} of a full node`);
      records.push(...(await fullNode(asked)));
    }
    const tagged = TAG_SCENARIOS.filter((name) => scenarios.includes(name));
    if (tagged.length > 0) {
      say(`${tagged.join(', ')} between two nodes`);
      records.push(...(await tags(tagged, subjects, rounds)));
    }
    if (scenarios.includes('first-datagram')) {
      say('first-datagram');
      records.push(...(await firstDatagram()));
    }
    if (scenarios.includes('pair-rate')) {
      say('pair-rate');
      records.push(...(await pairRate()));
    }
    const ofClusters = { 'apply-to-enforced': applyToEnforced, 'pod-start': podStart, scale } as const;
    for (const [name, measure] of Object.entries(ofClusters)) {
      if (!scenarios.includes(name as ScenarioName)) continue;
      say(`${name} in a cluster`);
      records.push(...(await measure()));
    }
  }
  const judged = LSM_SCENARIOS.filter((name) => scenarios.includes(name));
  if (judged.length > 0) {
    say(`${judged.join(', ')} in a virtual machine`);
    records.push(...(await lsm(judged, subjects, rounds)));
  }
  write(records, scenarios);
  say(`bench: ${records.length} records in ${Math.round((Date.now() - begun) / 1000)} s`);
}

await main();
