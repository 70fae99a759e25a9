import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { configSchema, settings } from '../../src/agent/config.ts';
import { type ConfigInput, loadConfig, printableConfig } from '../../src/agent/configfile.ts';
import { AgentError, formatFault } from '../../src/agent/errors.ts';

const nothing: ConfigInput = { environment: {}, assignments: [] };
const file = (text: string): ConfigInput => ({ ...nothing, file: { path: 'agent.yaml', text } });

function faultsOf(input: ConfigInput): string[] {
  try {
    loadConfig(input);
  } catch (error) {
    assert.ok(error instanceof AgentError);
    return error.faults.length === 0 ? [error.message] : error.faults.map(formatFault);
  }
  assert.fail('was accepted');
}

describe('the configuration', () => {
  it('has a default for every setting', () => {
    const { config } = loadConfig(nothing);
    assert.equal(config.metrics.address, '127.0.0.1:9464');
    assert.equal(config.intervals.resync, 60_000);
    assert.deepEqual(config.sources.docker, { enabled: 'auto', socket: '/var/run/docker.sock' });
  });

  it('takes flags over the environment over the file', () => {
    const text = 'node: a\ndomain: from.file\nmetrics:\n  topRules: 5\n';
    const { config, origins } = loadConfig({
      file: { path: 'agent.yaml', text },
      environment: { SALLYPORT_NODE: 'b', SALLYPORT_METRICS_TOP_RULES: '6' },
      assignments: ['node=c'],
    });
    assert.equal(config.node, 'c');
    assert.equal(config.domain, 'from.file');
    assert.equal(config.metrics.topRules, 6);
    assert.equal(origins.get('domain'), 'agent.yaml:2');
    assert.equal(origins.get('metrics.topRules'), 'SALLYPORT_METRICS_TOP_RULES');
    assert.equal(origins.get('node'), '--set');
  });

  it('ignores variables it does not know, because Kubernetes makes SALLYPORT_SERVICE_HOST of a Service', () => {
    loadConfig({ ...nothing, environment: { SALLYPORT_SERVICE_HOST: '10.0.0.1', SALLYPORT_PORT: 'tcp://…' } });
  });

  it('reads lists from variables as JSON', () => {
    const { config } = loadConfig({ ...nothing, environment: { SALLYPORT_API_UIDS: '[1000, 1001]' } });
    assert.deepEqual(config.api.uids, [1000, 1001]);
  });

  const bad: [name: string, input: ConfigInput, expected: RegExp][] = [
    ['an unknown setting', file('metrics:\n  adress: x:1\n'), /^agent\.yaml:2: metrics\.adress: no such setting/],
    ['an unknown section', file('metricz: {}\n'), /^agent\.yaml:1: metricz: no such setting/],
    ['a wrong type', file('metrics:\n  topRules: many\n'), /^agent\.yaml:2: metrics\.topRules: found "many"/],
    ['a bad duration', file('intervals: {resync: 5 parsecs}'), /found "5 parsecs", wanted a duration from 1s to 24h/],
    ['a bad address', file('metrics: {address: nowhere}'), /found "nowhere": wanted host:port/],
    ['a relative path', file('api: {socket: agent.sock}'), /found "agent.sock": wanted an absolute path/],
    [
      'a value from the environment',
      { ...nothing, environment: { SALLYPORT_API_UIDS: '1,2' } },
      /SALLYPORT_API_UIDS: api\.uids: .*wanted a JSON list/,
    ],
    ['a number out of range', { ...nothing, assignments: ['events.keep=1'] }, /^--set: events\.keep: found 1/],
    [
      'an unknown key in a flag',
      { ...nothing, assignments: ['socket=x'] },
      /no such setting; did you mean .*api\.socket/,
    ],
    ['a flag with no value', { ...nothing, assignments: ['node'] }, /wanted key=value/],
    ['a section that is a scalar', { ...file('metrics: 3'), assignments: ['metrics.topRules=1'] }, /metrics: found 3/],
    ['text that is not YAML', file('a: [1, 2'), /^agent\.yaml:\d+: /],
    ['a key given twice', file('node: a\nnode: b\n'), /^agent\.yaml:2: .*unique/i],
    ['a list where a mapping belongs', file('- node\n'), /wanted a mapping/],
    ['a file too large', file(`node: ${'x'.repeat(300_000)}`), /larger than 262144 bytes/],
    [
      'aliases that multiply',
      file(`a: &a [1,1,1,1]\nb: &b [${'*a,'.repeat(9)}*a]\nc: [${'*b,'.repeat(9)}*b]\n`),
      /alias/i,
    ],
  ];
  for (const [name, input, expected] of bad) {
    it(`refuses ${name} and says where and what`, () => {
      const faults = faultsOf(input);
      assert.ok(
        faults.some((fault) => expected.test(fault)),
        faults.join('\n'),
      );
    });
  }

  it('reports every mistake at once', () => {
    assert.equal(faultsOf(file('nod: a\nmetrics: {address: x}\nlog: {level: loud}\n')).length, 3);
  });

  it('prints what it reads back', () => {
    const { config } = loadConfig({ ...nothing, assignments: ['intervals.resync=90s', 'api.uids=[7]', 'node=n1'] });
    const again = loadConfig(file(stringify(printableConfig(config))));
    assert.deepEqual(again.config, config);
  });

  it('gives every setting a description and a variable of its own', () => {
    const all = settings();
    assert.ok(all.length > 30);
    for (const one of all) assert.notEqual(one.description, '', one.key);
    assert.equal(new Set(all.map((one) => one.variable)).size, all.length);
  });
});

describe('what is written about the configuration', () => {
  it('examples/agent.yaml holds the defaults, every one', () => {
    const text = readFileSync(new URL('../../examples/agent.yaml', import.meta.url), 'utf8');
    const loaded = loadConfig(file(text));
    assert.deepEqual(loaded.config, configSchema.parse({}));
    for (const { key } of settings()) assert.ok(loaded.origins.has(key), `${key} is not in examples/agent.yaml`);
  });

  it('docs/configuration.md names every setting with its default and its variable', () => {
    const text = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
    for (const one of settings()) {
      const row = `| \`${one.key}\` | \`${typeof one.standard === 'string' ? one.standard : JSON.stringify(one.standard)}\` | \`${one.variable}\` | ${one.description.replaceAll('|', '\\|')} |`;
      assert.ok(text.includes(row), `docs/configuration.md lacks\n${row}`);
    }
  });
});
