/** The Helm chart, made of k8s/base: the same objects, with what people change taken out into values. Pure. */

import { parse, stringify } from 'yaml';
import { isWorkload, type Manifest, podSpecOf, readManifests } from '../deploy-cluster/manifests.ts';

/** Paths below the chart's directory → texts. */
export type Files = ReadonlyMap<string, string>;

export interface Base {
  /** Of k8s/base, by their names; settings of agents and manager among them. */
  readonly files: ReadonlyMap<string, string>;
  /** Of k8s/crds, by their names. */
  readonly kinds: ReadonlyMap<string, string>;
  readonly version: string;
}

interface Taken {
  /** Where in the values. */
  readonly value: string;
  readonly from: Record<string, unknown>;
  readonly key: string;
}

const NAMESPACE = 'sallyport-system';
const SETTINGS = { agent: 'agent-config.yaml', manager: 'manager-config.yaml' } as const;
/** What is in a pod's specification that people set, and what in its container's. */
const OF_PODS = ['tolerations', 'nodeSelector', 'affinity', 'priorityClassName'];
const OF_CONTAINERS = ['resources', 'imagePullPolicy'];

export function makeChart({ files, kinds, version }: Base): Files {
  const values: Record<string, Record<string, unknown>> = {
    image: { repository: 'sallyport.dev/sallyport', tag: '' },
  };
  const chart = new Map<string, string>();
  for (const [name, text] of files) {
    if (name === 'kustomization.yaml' || name === 'namespace.yaml' || name.endsWith('-config.yaml')) continue;
    const templates = readManifests(text).map((manifest) => template(manifest, values));
    chart.set(`templates/${name}`, templates.join('---\n'));
  }
  for (const [owner, name] of Object.entries(SETTINGS)) {
    values[owner] = { ...values[owner], config: parse(files.get(name) ?? '') };
    chart.set(`templates/${name}`, settings(owner));
  }
  for (const [name, text] of kinds) chart.set(`crds/${name}`, text);
  chart.set('values.yaml', `${HEAD}${stringify(values)}`);
  chart.set('Chart.yaml', stringify({ ...CHART, version, appVersion: version }));
  return chart;
}

const HEAD = '# Made of k8s/base. Settings: docs/configuration.md, docs/deploy-kubernetes.md.\n';
const CHART = {
  apiVersion: 'v2',
  name: 'sallyport',
  description: 'Access control for containers in the kernel: agents on every node, and their manager',
  type: 'application',
  kubeVersion: '>=1.20.0-0',
};

function template(manifest: Manifest, values: Record<string, Record<string, unknown>>): string {
  const made = structuredClone(manifest);
  const pod = podSpecOf(made);
  const owner = manifest.metadata.name.replace('sallyport-', '');
  if (pod !== undefined && isWorkload(manifest)) {
    const taken = [
      ...OF_PODS.map((key): Taken => ({ value: `${owner}.${key}`, from: pod, key })),
      ...OF_CONTAINERS.map((key): Taken => ({ value: `${owner}.${key}`, from: pod.containers[0]!, key })),
      { value: `${owner}.replicas`, from: made.spec!, key: 'replicas' },
    ];
    for (const one of taken) takeOut(one, values);
    const { template: pods } = made.spec as { template: { metadata: { annotations?: Record<string, string> } } };
    // A change of settings replaces the pods, as the hash in their name does with kustomize.
    const sum = `{{ toYaml .Values.${owner}.config | sha256sum }}`;
    pods.metadata.annotations = { ...pods.metadata.annotations, 'sallyport.dev/config': sum };
  }
  const text = stringify(made, { lineWidth: 0 });
  return text
    .replaceAll(`namespace: ${NAMESPACE}`, 'namespace: {{ .Release.Namespace }}')
    .replaceAll(
      'image: sallyport\n',
      'image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"\n',
    )
    .replace(/^( *)([A-Za-z]+): <<(.+)>>$/gm, (_line, indent: string, key: string, value: string) => {
      const [owner = '', name = ''] = value.split('.');
      const plain = typeof values[owner]?.[name] !== 'object';
      const block = `{{- toYaml .Values.${value} | nindent ${indent.length + 2} }}`;
      return `${indent}${key}: ${plain ? `{{ .Values.${value} }}` : block}`;
    });
}

/** Leaves a mark where the value was, which becomes the template's expression. */
function takeOut({ value, from, key }: Taken, values: Record<string, Record<string, unknown>>): void {
  if (from[key] === undefined) return;
  const [owner, name] = value.split('.') as [string, string];
  values[owner] = { ...values[owner], [name]: from[key] };
  from[key] = `<<${value}>>`;
}

function settings(owner: string): string {
  return `apiVersion: v1
kind: ConfigMap
metadata:
  name: sallyport-${owner}-config
  namespace: {{ .Release.Namespace }}
  labels:
    app.kubernetes.io/part-of: sallyport
data:
  ${owner}.yaml: |
    {{- toYaml .Values.${owner}.config | nindent 4 }}
`;
}
