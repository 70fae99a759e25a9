import assert from 'node:assert/strict';
import type { BenchRecord, Measurement } from '../../bench/record.ts';
import { formatReport } from '../../bench/report.ts';
import { type Contestant, runRounds, summarize } from '../../bench/rounds.ts';
import { median, percentile, round } from '../../bench/statistics.ts';
import { otherSource } from '../../bench/subject.ts';
import type { Topology } from '../../bench/topology.ts';

const measured = (value: number): Measurement[] => [{ metric: 'p50', unit: 'µs', value }];

describe('the bench', () => {
  it('takes medians and percentiles of unsorted values', () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 2, 3]), 2.5);
    assert.equal(percentile([10, 0], 0.99), 9.9);
    assert.equal(round(123_456.7), 123_500);
    assert.throws(() => median([]), RangeError);
  });

  it('compares with nothing in the same round, not with its median', () => {
    // The machine was twice as slow in the second round, for both alike.
    const nothing = [measured(10), measured(20), measured(10)];
    const subject = [measured(11), measured(22), measured(11)];
    const [record] = summarize({ name: 'crr' }, { name: 'nftables', rules: 10 }, subject, nothing);
    assert.deepEqual(record, {
      scenario: 'crr',
      subject: 'nftables',
      rules: 10,
      metric: 'p50',
      unit: 'µs',
      value: 11,
      ratio: 1.1,
    });
  });

  it('has no ratio where nothing has no such value', () => {
    assert.equal(summarize({ name: 'crr' }, { name: 'nfqueue', rules: 0 }, [measured(5)], undefined)[0]!.ratio, null);
    assert.equal(
      summarize({ name: 'crr' }, { name: 'nfqueue', rules: 0 }, [measured(5)], [measured(0)])[0]!.ratio,
      null,
    );
  });

  it('lets everybody be first in turn', async () => {
    const order: string[] = [];
    const contestants = ['nothing', 'iptables', 'nftables'].map((name) => ({
      subject: { name, rules: 0, setUp: async () => 0, tearDown: () => {} },
      topology: name as unknown as Topology,
    })) as readonly Contestant[];
    const scenario = {
      name: 'crr' as const,
      rounds: 3,
      async measure(topology: Topology) {
        order.push(topology as unknown as string);
        return measured(1);
      },
    };
    const records = await runRounds(scenario, contestants);
    assert.deepEqual(order.join(' '), 'nothing iptables nftables iptables nftables nothing nftables nothing iptables');
    assert.deepEqual(
      records.map(({ ratio }) => ratio),
      [1, 1, 1],
    );
  });

  it('writes a table with a row for each subject and number of rules', () => {
    const record = { scenario: 'crr', metric: 'p50', unit: 'µs' } as const;
    const records: BenchRecord[] = [
      { ...record, subject: 'nothing', rules: 0, value: 20, ratio: 1 },
      { ...record, subject: 'iptables', rules: 10_000, value: 90, ratio: 4.5 },
    ];
    const text = formatReport(records, new Date('2026-01-02'), 0.25);
    assert.match(text, /2026-01-02/);
    assert.match(text, /load 0\.3 at the start/);
    assert.match(text, /\| nothing \| {2}\| 20 \(1\.00\) \|/);
    assert.match(text, /\| iptables \| 10,000 \| 90 \(4\.50\) \|/);
  });

  it('gives every rule a source of its own', () => {
    const sources = Array.from({ length: 100_000 }, (_, k) => otherSource(k));
    assert.equal(new Set(sources.map(({ address }) => address)).size, 100_000);
    assert.ok(sources.every(({ port }) => port > 0 && port < 65_536));
  });
});
