import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { parse } from 'yaml';
import { betweenReadings } from '../../src/agent/between/readings.ts';
import { ERRORS, EXIT } from '../../src/agent/errors.ts';
import { gateReadings } from '../../src/agent/gate/readings.ts';
import { hardeningReadings } from '../../src/agent/hardening/readings.ts';
import { kubernetesReadings } from '../../src/agent/kubernetes/readings.ts';
import { readings } from '../../src/agent/metrics/readings.ts';
import { addReading, makeMeasurements } from '../../src/agent/metrics/registry.ts';
import { makeProgram } from '../../src/cli/program.ts';
import { Incident, Reason } from '../../src/datapath/layouts.gen.ts';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

interface Described {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

function metrics(): Described[] {
  const { registry } = makeMeasurements();
  const unread = new Proxy({}, { get: () => () => [] });
  const all = [readings, betweenReadings, gateReadings, hardeningReadings, kubernetesReadings].flatMap((make) =>
    make(unread as never),
  );
  for (const reading of all) addReading(registry, reading);
  return (registry.getMetricsAsArray() as unknown as Described[]).filter(({ name }) => name.startsWith('sallyport_'));
}

function commands(command: Command, path: readonly string[] = []): string[] {
  return command.commands
    .filter((child) => !child.name().startsWith('_'))
    .flatMap((child): string[] => {
      const here = [...path, child.name()];
      return child.commands.length > 0 ? commands(child, here) : [here.join(' ')];
    });
}

describe('what is written about the command line', () => {
  const text = read('docs/cli.md');
  it('names every command', () => {
    for (const command of commands(makeProgram({ environment: {} } as never))) {
      assert.ok(text.includes(`\`sallyport ${command}\``), `docs/cli.md lacks ${command}`);
    }
  });
  it('has every exit code', () => {
    for (const [name, code] of Object.entries(EXIT)) {
      assert.match(text, new RegExp(`^\\| ${code} \\| ${name.toLowerCase().replace('_', ' ')} \\|`, 'm'));
    }
  });
  it('has the table of errors as it is', () => {
    for (const [code, row] of Object.entries(ERRORS)) {
      const line = `| \`${code}\` | ${row.http} | ${row.exit} | ${row.text} |`;
      assert.ok(text.includes(line), `docs/cli.md lacks\n${line}`);
    }
  });
});

describe('what is written about the API', () => {
  it('names every path', () => {
    const sources = ['routes', 'between-routes', 'profile-routes'].map((name) => read(`src/agent/api/${name}.ts`));
    const routes = sources.join('').matchAll(/'(\/v1\/[a-z/:]+)'/g);
    const text = read('docs/api.md');
    let paths = 0;
    for (const [, path = ''] of routes) {
      paths += 1;
      assert.ok(text.includes(path.replace(':name', 'NAME').replace(':id', 'ID')), `docs/api.md lacks ${path}`);
    }
    assert.ok(paths > 20);
  });
});

describe('what is written about metrics', () => {
  it('has a row for each, with its labels and its help', () => {
    const text = read('docs/metrics.md');
    for (const { name, help, labelNames } of metrics()) {
      const labels = labelNames.filter((label) => label !== 'le').map((label) => `\`${label}\``);
      const row = new RegExp(`^\\| \`${name}\` \\| \\w+ \\| ${labels.join(', ')} \\| (.*) \\|$`, 'm').exec(text);
      assert.equal(row?.[1], help, `docs/metrics.md, ${name}`);
    }
  });

  it('has every reason and every incident', () => {
    const text = read('docs/metrics.md');
    const names = [...Object.keys(Reason), ...Object.keys(Incident)].filter(
      (name) => name !== 'None' && name !== 'Max',
    );
    for (const name of names) assert.ok(text.includes(`\`${name}\``), `docs/metrics.md lacks ${name}`);
  });

  for (const file of ['k8s/monitoring/alerts.yaml', 'k8s/monitoring/grafana-dashboard.json']) {
    it(`${file} uses only metrics that exist, with labels they have`, () => {
      const known = new Map(metrics().map((metric) => [metric.name, metric]));
      const uses = [
        ...read(file)
          .replaceAll('\\"', '"')
          .matchAll(/(sallyport_[a-z_]+[a-z])(?:\{([^}]*)\})?/g),
      ];
      assert.ok(uses.length > 10);
      for (const [, name = '', selector = ''] of uses) {
        const metric = known.get(name) ?? known.get(name.replace(/_(bucket|sum|count)$/, ''));
        assert.ok(metric !== undefined, `${file} uses ${name}`);
        for (const [, label = ''] of selector.matchAll(/(\w+)(?:=|!)/g)) {
          assert.ok(
            ['instance', 'job', ...metric.labelNames].includes(label),
            `${file}: ${name} has no label ${label}`,
          );
        }
      }
    });
  }

  it('alerts say how bad it is and what it means', () => {
    interface Rules {
      groups: {
        rules: { alert: string; expr: string; labels: { severity: string }; annotations: { summary: string } }[];
      }[];
    }
    for (const { alert, expr, labels, annotations } of (parse(read('k8s/monitoring/alerts.yaml')) as Rules).groups[0]
      ?.rules ?? []) {
      assert.match(alert, /^Sallyport[A-Z]/);
      assert.ok(['info', 'warning', 'critical'].includes(labels.severity), alert);
      assert.ok(expr.length > 0 && annotations.summary.length > 0, alert);
    }
  });
});
