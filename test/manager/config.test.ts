import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { settings } from '../../src/agent/config.ts';
import { loadSettings, printableSettings } from '../../src/agent/configfile.ts';
import { AgentError } from '../../src/agent/errors.ts';
import { type ManagerConfig, managerSchema } from '../../src/manager/config.ts';
import { ManagerMetrics } from '../../src/manager/metrics.ts';

const DOCS = readFileSync(join(import.meta.dirname, '../../docs/kubernetes-manager.md'), 'utf8');

function load(assignments: readonly string[] = [], text?: string): ManagerConfig {
  const file = text === undefined ? {} : { file: { path: 'manager.yaml', text } };
  return loadSettings({ ...file, environment: {}, assignments }, managerSchema).config;
}

describe('the settings of the manager', () => {
  it('are all in the documentation, with their defaults', () => {
    const known = settings(managerSchema);
    assert.ok(known.length > 15);
    for (const { key, standard, description } of known) {
      assert.ok(DOCS.includes(`| \`${key}\` | \`${standard}\` | ${description} |`), key);
    }
  });

  it('can be printed and read again', () => {
    const config = load(['webhook.certificateDays=7', 'domain=cluster.local']);
    assert.deepEqual(load([], stringify(printableSettings(config, managerSchema))), config);
    assert.deepEqual(parse(stringify(printableSettings(load(), managerSchema))), load());
  });

  const bad: [assignment: string, field: string][] = [
    ['webhook.url=http://10.0.0.5/validate', 'webhook.url'],
    ['webhook.certificateDays=0', 'webhook.certificateDays'],
    ['election.renewSeconds=20', 'election'],
    ['metrics.address=nowhere', 'metrics.address'],
  ];
  for (const [assignment, field] of bad) {
    it(`refuse ${assignment}`, () => {
      assert.throws(
        () => load([assignment]),
        (error) => error instanceof AgentError && error.faults?.[0]?.field === field,
      );
    });
  }
});

describe('the metrics of the manager', () => {
  it('are all in the documentation, and have labels of closed sets only', async () => {
    const metrics = new ManagerMetrics({
      version: '0',
      leading: () => true,
      applier: () => ({ waiting: 0, written: 0, failed: 0 }),
      eventsDropped: () => 0,
      reflectors: () => [{ resource: 'pods', healthy: true, objects: 1, lists: 1, events: 1, restarts: 1 }],
      workloads: () => 1,
      policies: () => ({ accepted: 1, refused: 0 }),
      freshReports: () => 1,
      certificateEnds: () => undefined,
    });
    metrics.round('status', 'done');
    metrics.answered({ kind: 'HardeningPolicy', allowed: true, warnings: 1 }, 5);
    metrics.refused('size');
    const lines = (await metrics.text()).split('\n').filter((line) => line.startsWith('sallyport_'));
    const names = new Set(lines.map((line) => line.split(/[{ ]/)[0]?.replace(/_(bucket|sum|count)$/, '') ?? ''));
    assert.ok(names.size > 15);
    for (const name of names) {
      const short = name.replace('sallyport_manager_', '').replace(/^(webhook|reflector)_/, '');
      assert.ok(name.endsWith('build_info') || DOCS.includes(short), name);
    }
    assert.ok(lines.includes('sallyport_manager_leader 1'));
    assert.ok(
      lines.some((line) =>
        line.startsWith('sallyport_manager_webhook_answers_total{kind="HardeningPolicy",allowed="true"} 1'),
      ),
    );
  });
});
