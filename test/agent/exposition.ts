/** A strict reader of Prometheus' text format (version 0.0.4), for tests: it throws where Prometheus would frown. */

export interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary';
  readonly samples: Sample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
const NUMBER = /^[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)$|^NaN$/i;
const SUFFIXES = {
  counter: [''],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
};

/** Families by name. @throws where the text is not well formed, or goes against Prometheus' conventions */
export function parseExposition(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('does not end with a line feed');
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let help: { name: string; text: string } | undefined;
  let current: Family | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment?.[1] === 'HELP') {
      help = { name: comment[2] ?? '', text: comment[3] ?? '' };
    } else if (comment?.[1] === 'TYPE') {
      current = begin(families, help, comment[2] ?? '', comment[3] ?? '');
      help = undefined;
    } else if (line.startsWith('#')) {
      throw new Error(`a comment that is none of ours: ${line}`);
    } else {
      if (current === undefined) throw new Error(`a sample before any TYPE: ${line}`);
      const sample = readSample(line);
      const key = `${sample.name} ${JSON.stringify([...sample.labels].sort())}`;
      if (seen.has(key)) throw new Error(`twice: ${line}`);
      seen.add(key);
      add(current, sample, line);
    }
  }
  for (const family of families.values()) if (family.type === 'histogram') checkHistogram(family);
  return families;
}

function begin(
  families: Map<string, Family>,
  help: { name: string; text: string } | undefined,
  name: string,
  type: string,
): Family {
  if (help?.name !== name || help.text === '') throw new Error(`${name} has no HELP before its TYPE`);
  if (!NAME.test(name)) throw new Error(`a bad name: ${name}`);
  if (families.has(name)) throw new Error(`${name} begins twice`);
  if (!Object.hasOwn(SUFFIXES, type)) throw new Error(`${name} is of type ${type}`);
  if ((type === 'counter') !== name.endsWith('_total'))
    throw new Error(`${name} is a ${type}: only counters end with _total`);
  if (/_(ms|milliseconds|kb|percent)(_|$)/.test(name)) throw new Error(`${name} is not in base units`);
  const family: Family = { name, help: help.text, type: type as Family['type'], samples: [] };
  families.set(name, family);
  return family;
}

function readSample(line: string): Sample {
  const match = /^([^\s{]+)(?:\{(.*)\})? (\S+)$/.exec(line);
  if (match === null) throw new Error(`not a sample: ${line}`);
  const [, name = '', labels, value = ''] = match;
  if (!NUMBER.test(value)) throw new Error(`not a number: ${line}`);
  const number = Number(value.replace(/Inf/i, 'Infinity'));
  return { name, labels: labels === undefined ? new Map() : readLabels(labels, line), value: number };
}

function readLabels(text: string, line: string): Map<string, string> {
  const labels = new Map<string, string>();
  let rest = text;
  while (rest !== '') {
    const match = /^([^=,{}]+)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/.exec(rest);
    const [whole, name, value] = match ?? [];
    if (whole === undefined || name === undefined || value === undefined) throw new Error(`bad labels: ${line}`);
    if (!LABEL.test(name) || name.startsWith('__')) throw new Error(`a bad label name: ${line}`);
    if (labels.has(name)) throw new Error(`a label twice: ${line}`);
    labels.set(
      name,
      value.replace(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character)),
    );
    rest = rest.slice(whole.length);
  }
  return labels;
}

function add(family: Family, sample: Sample, line: string): void {
  const names = SUFFIXES[family.type].map((suffix) => family.name + suffix);
  if (!names.includes(sample.name)) throw new Error(`not of ${family.name}: ${line}`);
  if (family.type === 'counter' && !(sample.value >= 0)) throw new Error(`a counter below zero: ${line}`);
  family.samples.push(sample);
}

function checkHistogram({ name, samples }: Family): void {
  const seriesOf = ({ labels }: Sample): string =>
    JSON.stringify([...labels].filter(([label]) => label !== 'le').sort());
  for (const series of Map.groupBy(samples, seriesOf).values()) checkBuckets(name, series);
}

function checkBuckets(name: string, series: readonly Sample[]): void {
  const buckets = series.filter((sample) => sample.name === `${name}_bucket`);
  const bound = (one: Sample): number => Number(one.labels.get('le')?.replace('+Inf', 'Infinity'));
  for (const [index, bucket] of buckets.entries()) {
    const before = buckets[index - 1];
    if (before === undefined || (bound(bucket) > bound(before) && bucket.value >= before.value)) continue;
    throw new Error(`${name}: buckets out of order`);
  }
  const count = series.find((sample) => sample.name === `${name}_count`)?.value;
  const last = buckets.at(-1);
  if (last?.labels.get('le') !== '+Inf' || last.value !== count) throw new Error(`${name}: the last bucket is not all`);
}
