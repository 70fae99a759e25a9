import assert from 'node:assert/strict';
import { type MetricSources, readings } from '../../src/agent/metrics/readings.ts';
import { addReading, makeMeasurements } from '../../src/agent/metrics/registry.ts';
import { VerdictTotals } from '../../src/agent/metrics/verdicts.ts';
import type { PolicyTables, RuleInfo } from '../../src/compile/tables.ts';
import { type Family, parseExposition } from './exposition.ts';

const rule = (id: number, name: string, more: Partial<RuleInfo> = {}): RuleInfo => ({
  id,
  policy: 'shop/api',
  direction: 'ingress',
  name,
  action: 'Allow',
  mode: 'Enforce',
  priority: 1,
  ...more,
});
const count = (packets: bigint) => ({ packets, bytes: packets * 100n });
const rules = new Map([
  [1, rule(1, 'web')],
  [2, rule(2, 'default', { action: 'Deny' })],
  [3, rule(3, 'odd "name"\\\n')],
]);
const tables: PolicyTables = { subjects: new Map(), sets: new Map(), classes: new Map(), rules };

const sources: MetricSources = {
  build: { version: '1', kernel: '6', node: 'v24' },
  topRules: 2,
  ready: () => true,
  endpoints: () => [],
  endpointStatus: () => [],
  identities: () => 3,
  policiesByMode: () => new Map([['Enforce', 1]]),
  policyErrors: () => new Map([['BAD_VALUE', 2]]),
  policiesClosed: () => new Map([['share', 1]]),
  sources: () => [{ name: 'docker', healthy: false, restarts: 4 }],
  tables: () => tables,
  ruleCounters: () =>
    new Map([
      [1, count(5n)],
      [2, count(7n)],
      [3, count(6n)],
      [9, count(99n)],
      [4, count(0n)],
    ]),
  uncountedRules: () => 0,
  drops: () => new Map([['Policy', count(7n)]]),
  incidents: () => new Map([['EventLost', 1n]]),
  mapFill: () => [{ name: 'ports', type: 'hash', entries: 3, maxEntries: 10 }],
  programs: () => [{ name: 'p', id: 1, attachments: ['tcx ingress veth1'], runCount: 10n, runTimeNs: 2_500n }],
  revision: () => 8,
  drift: () => 0,
  lastSuccess: () => undefined,
  followers: () => 0,
  lostToFollowers: () => 0,
};

async function scrape(from: Partial<MetricSources> = {}): Promise<Map<string, Family>> {
  const { registry, policyLatency } = makeMeasurements();
  for (const reading of readings({ ...sources, ...from })) addReading(registry, reading);
  policyLatency.observe(0.004);
  await registry.metrics();
  // What a second scrape says must not be the sum of both.
  return parseExposition(await registry.metrics());
}

const values = (families: Map<string, Family>, name: string): [labels: string, value: number][] =>
  (families.get(name)?.samples ?? []).map(({ labels, value }) => [[...labels.values()].join(' '), value]);

describe('the metrics', () => {
  it('are well formed and keep to the conventions, whatever the names of rules', async () => {
    const families = await scrape();
    for (const name of families.keys()) assert.match(name, /^(sallyport|process|nodejs)_/);
    assert.deepEqual(values(families, 'sallyport_build_info'), [['1 6 v24', 1]]);
    assert.deepEqual(values(families, 'sallyport_program_run_seconds_total'), [['p', 0.0000025]]);
    assert.deepEqual(values(families, 'sallyport_map_capacity'), [['ports', 10]]);
    assert.equal(families.get('sallyport_policy_latency_seconds')?.type, 'histogram');
  });

  it('have a series for the rules hit most only, and none for rules that are gone', async () => {
    const families = await scrape();
    assert.deepEqual(values(families, 'sallyport_rule_packets_total'), [
      ['shop/api default ingress Deny Enforce', 7],
      ['shop/api odd "name"\\\n ingress Allow Enforce', 6],
    ]);
  });

  it('sum packets by verdict and direction', async () => {
    assert.deepEqual(values(await scrape(), 'sallyport_verdict_packets_total'), [
      ['Enforce Allow ingress', 11],
      ['Enforce Deny ingress', 7],
    ]);
  });

  it('leave out what is not known yet', async () => {
    assert.deepEqual(values(await scrape(), 'sallyport_reconcile_last_success_timestamp_seconds'), []);
  });
});

describe('the sums by verdict', () => {
  const sum = (totals: VerdictTotals): bigint[] => totals.list().map(({ packets }) => packets);

  it('never go down: not when a rule goes, not when it comes again from zero', () => {
    const totals = new VerdictTotals();
    totals.add(new Map([[1, count(10n)]]), rules);
    totals.add(new Map([[1, count(15n)]]), rules);
    assert.deepEqual(sum(totals), [15n]);
    totals.add(new Map(), new Map());
    assert.deepEqual(sum(totals), [15n]);
    totals.add(new Map([[1, count(2n)]]), rules);
    assert.deepEqual(sum(totals), [17n]);
    totals.add(new Map([[1, count(1n)]]), rules);
    assert.deepEqual(sum(totals), [18n]);
  });

  it('begin with what the kernel counted before the agent started', () => {
    const totals = new VerdictTotals();
    totals.add(new Map([[1, count(1_000n)]]), rules);
    assert.deepEqual(sum(totals), [1_000n]);
  });

  it('leave out counters of rules nobody knows', () => {
    const totals = new VerdictTotals();
    totals.add(new Map([[77, count(5n)]]), rules);
    assert.deepEqual(sum(totals), []);
  });
});

describe('the reader of expositions', () => {
  const good = '# HELP a_total x\n# TYPE a_total counter\na_total{l="v"} 1\n';
  it('takes what is well formed', () => {
    assert.equal(parseExposition(good).size, 1);
  });
  const bad: [name: string, text: string][] = [
    ['no line feed at the end', good.trimEnd()],
    ['a counter without _total', good.replaceAll('a_total', 'a')],
    ['a gauge with _total', good.replace('counter', 'gauge')],
    ['no help', good.replace(/^.*\n/, '')],
    ['a series twice', `${good}a_total{l="v"} 2\n`],
    ['an unquoted label', good.replace('"v"', 'v')],
    ['a label of their own', good.replace('l=', '__l=')],
    ['a raw line feed in a label', good.replace('v"', 'v\n"')],
    ['no number', good.replace(' 1\n', ' one\n')],
    ['milliseconds', good.replaceAll('a_total', 'a_ms_total')],
    [
      'buckets that shrink',
      '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
    ],
    ['buckets that lack the rest', '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n'],
  ];
  for (const [name, text] of bad) it(`refuses ${name}`, () => assert.throws(() => parseExposition(text)));
});
