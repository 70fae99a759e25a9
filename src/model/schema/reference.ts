/** The reference page of policies, from their schema. */
import * as z from 'zod';
import { PROBLEM_CODES } from '../problem.ts';
import { POLICY_SCHEMAS } from './policy.ts';
import { unwrap } from './walk.ts';

interface Section {
  readonly title: string;
  readonly schema: z.ZodObject;
}

const EXAMPLE = [
  'apiVersion: sallyport.dev/v1alpha1',
  'kind: WorkloadNetworkPolicy',
  'metadata: {name: web-to-api, namespace: shop}',
  'spec:',
  '  subject: {workload: Service/api}',
  '  ingress:',
  '    - name: from-web',
  '      from: [{workload: Service/web}]',
  '      ports: [{protocol: TCP, port: 8080}]',
];

const JUDGEMENT = [
  'The first packet of a conversation is judged at both ends: egress at its source, ingress at its destination. Both must let it pass. Answers to what passed pass.',
  'A workload that no policy selects in a direction may do everything in it.',
  'Of the rules that match, of whatever policy, the one with the lowest priority number decides; at equal priority Deny comes before Alert before Allow. The order in a list means nothing.',
  'Where no rule matches, the defaults of the policies that select the workload decide: Deny before Alert before Allow, whatever their priorities.',
  'A policy in mode `Stage` takes part in a second judgement that is only reported.',
  'A rule about a network matches by address, whoever has it; one about a workload matches who it is, wherever it is.',
];

/** Markdown; ends with a newline. */
export function policyReference(): string {
  const { WorkloadNetworkPolicy: namespaced, ClusterWorkloadNetworkPolicy: cluster } = POLICY_SCHEMAS;
  const sections = objectsBelow(namespaced);
  return [
    '# Policy reference',
    '',
    '<!-- Generated from src/model/schema/ by src/model/schema/generate.ts --write. -->',
    '',
    'A policy file holds any number of YAML documents, each one policy. A field that is not listed here is an error.',
    'Files are checked with `sallyport policy validate`.',
    '',
    '```yaml',
    ...EXAMPLE,
    '```',
    '',
    '## How traffic is judged',
    '',
    ...JUDGEMENT.map((line) => `- ${line}`),
    '',
    ...sections.flatMap(({ title, schema }) => [`## ${title}`, '', ...about(schema), ...table(schema), '']),
    '## ClusterWorkloadNetworkPolicy',
    '',
    ...about(cluster),
    'All fields are those of WorkloadNetworkPolicy but for `metadata.namespace`, which it does not have.',
    '',
    '## Problems',
    '',
    '| Code | Meaning |',
    '| --- | --- |',
    ...Object.entries(PROBLEM_CODES).map(([code, meaning]) => `| \`${code}\` | ${meaning} |`),
    '',
  ].join('\n');
}

/** The schema and every object schema in it that has a title, outer ones first, each once. */
function objectsBelow(root: z.core.$ZodType): Section[] {
  const found = new Map<string, Section>();
  const queue = [root];
  for (let at = queue.shift(); at !== undefined; at = queue.shift()) {
    const schema = unwrap(at);
    if (schema instanceof z.ZodArray) queue.push(schema.element);
    if (!(schema instanceof z.ZodObject)) continue;
    const title = schema.meta()?.title;
    if (title !== undefined) {
      if (found.has(title)) continue;
      found.set(title, { title, schema });
    }
    queue.push(...Object.values(schema.shape));
  }
  return [...found.values()];
}

function about(schema: z.core.$ZodType): string[] {
  const description = metaOf(schema).description;
  return description === undefined ? [] : [description, ''];
}

function table(schema: z.ZodObject): string[] {
  return ['| Field | Value | |', '| --- | --- | --- |', ...rows(schema, '')];
}

/** One row a field; fields of objects without a title of their own follow theirs. */
function rows(schema: z.ZodObject, prefix: string): string[] {
  return Object.entries(schema.shape).flatMap(([name, value]: [string, z.core.$ZodType]) => {
    const inner = unwrap(value);
    const { description, default: preset } = metaOf(value);
    const notes = [
      ...(description === undefined ? [] : [description]),
      ...(preset === undefined ? [] : [`Default \`${String(preset)}\`.`]),
      ...(value instanceof z.ZodOptional ? [] : ['Required.']),
    ];
    const row = `| \`${prefix}${name}\` | ${describeValue(inner)} | ${notes.join(' ')} |`;
    const nested = inner instanceof z.ZodObject && metaOf(inner).title === undefined;
    return nested ? [row, ...rows(inner, `${prefix}${name}.`)] : [row];
  });
}

interface Meta {
  readonly description?: string | undefined;
  readonly title?: string | undefined;
  readonly default?: unknown;
}

function metaOf(schema: z.core.$ZodType): Meta {
  const own = z.globalRegistry.get(schema) ?? {};
  if (own.description !== undefined || !(schema instanceof z.ZodOptional)) return own;
  return { ...metaOf(schema.unwrap()), ...own };
}

function describeValue(schema: z.core.$ZodType): string {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodLiteral) return [...inner.values].map((value) => `\`${String(value)}\``).join(', ');
  if (inner instanceof z.ZodEnum) return inner.options.map((option) => `\`${option}\``).join(', ');
  if (inner instanceof z.ZodUnion) return inner.options.map(describeValue).join(', or ');
  if (inner instanceof z.ZodArray) return `list of ${describeValue(inner.element)}`;
  if (inner instanceof z.ZodRecord) return 'mapping of texts';
  if (inner instanceof z.ZodObject) {
    const title = metaOf(inner).title;
    return title === undefined ? 'mapping' : `[${title}](#${title.toLowerCase().replaceAll(' ', '-')})`;
  }
  if (inner instanceof z.ZodNumber) return `${inner.minValue}–${inner.maxValue}`;
  return 'text';
}
