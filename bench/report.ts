/** The records as tables people read. */

import { cpus, release } from 'node:os';
import type { BenchRecord } from './record.ts';

/**
 * A Markdown document with a table for each scenario: subjects down, metrics across, ratios in parentheses. `load` is
 * how many processes wanted a CPU before the bench began.
 */
export function formatReport(records: readonly BenchRecord[], date: Date, load: number): string {
  const scenarios = [...new Set(records.map((record) => record.scenario))];
  const machine = `Linux ${release()}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'CPU'}, Node ${process.version}, load ${load.toFixed(1)} at the start`;
  const head = `# Bench\n\n${date.toISOString().slice(0, 10)}, ${machine}. Medians of interleaved rounds; in parentheses the ratio to "nothing"\nin the same round. Client and server run on CPUs of their own; \`p50-one-cpu\` is with both on one, where only the work\nof the packets counts. \`lsm-*\` are of a virtual machine whose emulator counts instructions: of one\noperation, in the kernel and out of it. \`sallyport\` without rules judges other containers.\n`;
  return [head, ...scenarios.map((scenario) => formatScenario(scenario, records))].join('\n');
}

function formatScenario(scenario: string, all: readonly BenchRecord[]): string {
  const records = all.filter(
    (record) => record.scenario === scenario && (record.metric !== 'errors' || record.value > 0),
  );
  const columns = [...new Map(records.map(({ metric, unit }) => [metric, unit])).entries()];
  const rows = [...new Set(records.map(({ subject, rules }) => `${subject} ${rules}`))];
  const lines = rows.map((row) => {
    const [subject, rules] = row.split(' ');
    const cells = columns.map(([metric]) => {
      const record = records.find((one) => `${one.subject} ${one.rules}` === row && one.metric === metric);
      if (!record) return '';
      return record.ratio === null ? format(record.value) : `${format(record.value)} (${record.ratio.toFixed(2)})`;
    });
    return `| ${[subject, rules === '0' ? '' : Number(rules).toLocaleString('en'), ...cells].join(' | ')} |`;
  });
  const names = columns.map(([metric, unit]) => (unit ? `${metric}, ${unit}` : metric));
  return [
    `## ${scenario}\n`,
    `| ${['subject', 'rules', ...names].join(' | ')} |`,
    `| --- | ---: |${' ---: |'.repeat(columns.length)}`,
    ...lines,
    '',
  ].join('\n');
}

function format(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : String(value);
}
