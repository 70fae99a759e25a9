import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { type Manifest, readManifests, STANDARD_IMAGE } from '../../packaging/deploy-cluster/manifests.ts';
import { makeChart } from '../../packaging/helm/chart.ts';

const K8S = join(import.meta.dirname, '../../k8s');
const read = (directory: string) =>
  new Map(
    readdirSync(join(K8S, directory))
      .filter((name) => name.endsWith('.yaml'))
      .map((name) => [name, readFileSync(join(K8S, directory, name), 'utf8')]),
  );

type Values = Readonly<Record<string, unknown>>;

/** The few words of Helm's language that the chart is written in; throws at any other. */
function render(text: string, values: Values, release: { namespace: string; version: string }): string {
  const value = (path: string): unknown =>
    path.split('.').reduce<unknown>((at, name) => (at as Values | undefined)?.[name], values);
  const block = (path: string) => stringify(value(path)).trimEnd();
  return text.replace(/(\s*)\{\{(-?) (.*?) \}\}/g, (_all, before: string, trims: string, expression: string) => {
    const kept = trims === '' ? before : '';
    if (expression === '.Release.Namespace') return kept + release.namespace;
    let words = /^toYaml \.Values\.(\S+) \| nindent (\d+)$/.exec(expression);
    if (words) return `${kept}\n${block(words[1]!).replace(/^/gm, ' '.repeat(Number(words[2])))}`;
    words = /^toYaml \.Values\.(\S+) \| sha256sum$/.exec(expression);
    if (words) return kept + createHash('sha256').update(block(words[1]!)).digest('hex');
    words = /^\.Values\.(\S+) \| default \.Chart\.AppVersion$/.exec(expression);
    if (words) return kept + (value(words[1]!) || release.version);
    words = /^\.Values\.(\S+)$/.exec(expression);
    if (words && value(words[1]!) !== undefined) return kept + String(value(words[1]!));
    throw new Error(`the chart says "${expression}"`);
  });
}

describe('the Helm chart', () => {
  const files = read('base');
  const chart = makeChart({ files, kinds: read('crds'), version: '0.1.0' });
  const values = parse(chart.get('values.yaml')!) as Values;
  const templates = [...chart].filter(([path]) => path.startsWith('templates/'));
  const rendered = (with_: Values, namespace = 'sallyport-system') =>
    templates.flatMap(([, text]) => readManifests(render(text, with_, { namespace, version: '0.1.0' })));
  const find = (all: readonly Manifest[], kind: string, name: string) =>
    all.find((one) => one.kind === kind && one.metadata.name === name);

  it('makes the objects of k8s/base with the values it comes with', () => {
    const made = rendered(values);
    const names = [...files.keys()].filter((name) => !/^(kustomization|namespace)\.yaml$|-config\.yaml$/.test(name));
    const wanted = names.flatMap((name) =>
      readManifests(files.get(name)!.replaceAll('image: sallyport\n', `image: ${STANDARD_IMAGE}\n`)),
    );
    for (const object of wanted) {
      const same = structuredClone(find(made, object.kind, object.metadata.name));
      const pods = (same?.spec?.template ?? {}) as { metadata?: { annotations?: Record<string, string> } };
      const annotations = pods.metadata?.annotations;
      if (annotations !== undefined) {
        assert.match(annotations['sallyport.dev/config'] ?? '', /^[0-9a-f]{64}$/);
        delete annotations['sallyport.dev/config'];
        if (Object.keys(annotations).length === 0) delete pods.metadata!.annotations;
      }
      assert.deepEqual(same, object);
    }
    assert.equal(made.length, wanted.length + 2);
  });

  it('brings the settings of agents and manager, under the names their pods mount', () => {
    for (const owner of ['agent', 'manager']) {
      const map = find(rendered(values), 'ConfigMap', `sallyport-${owner}-config`) as
        | { data?: Record<string, string> }
        | undefined;
      assert.deepEqual(parse(map?.data?.[`${owner}.yaml`] ?? ''), parse(files.get(`${owner}-config.yaml`)!));
    }
  });

  it('goes into any namespace, with any image, and replaces pods when their settings change', () => {
    const agent = { ...(values.agent as Values), config: { domain: 'other' } };
    const image = { repository: 'registry.example/s', tag: '9' };
    const changed = rendered({ ...values, agent, image }, 'elsewhere');
    assert.ok(!JSON.stringify(changed).includes('sallyport-system'));
    assert.ok(JSON.stringify(changed).includes('registry.example/s:9'));
    const sum = (all: readonly Manifest[]) =>
      JSON.stringify(find(all, 'DaemonSet', 'sallyport-agent')).match(/[0-9a-f]{64}/)?.[0];
    assert.notEqual(sum(changed), sum(rendered(values)));
  });

  it('brings the kinds', () => {
    const kinds = [...chart.keys()].filter((path) => path.startsWith('crds/'));
    assert.equal(kinds.length, read('crds').size);
  });
});
