/** The reference pages of policies, from their schema. */
import { PROBLEM_CODES } from '../problem.ts';
import { POLICY_SCHEMAS } from './kinds.ts';
import { about, objectsBelow, table } from './reference-tables.ts';

const NETWORK_EXAMPLE = [
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

const NETWORK_JUDGEMENT = [
  'The first packet of a conversation is judged at both ends: egress at its source, ingress at its destination. Both must let it pass. Answers to what passed pass.',
  'A workload that no policy selects in a direction may do everything in it.',
  'Of the rules that match, of whatever policy, the one with the lowest priority number decides; at equal priority Deny comes before Alert before Allow. The order in a list means nothing.',
  'Where no rule matches, the defaults of the policies that select the workload decide: Deny before Alert before Allow, whatever their priorities.',
  'A policy in mode `Stage` takes part in a second judgement that is only reported.',
  'A rule about a network matches by address, whoever has it; one about a workload matches who it is, wherever it is.',
];

const HARDENING_EXAMPLE = [
  'apiVersion: sallyport.dev/v1alpha1',
  'kind: HardeningPolicy',
  'metadata: {name: web, namespace: shop}',
  'spec:',
  '  subject: {workload: Service/web}',
  '  rules:',
  '    - name: ready',
  '      ready: [recommended]',
  '    - name: config-is-read-only',
  '      files: {paths: [/etc/**], except: [/etc/nginx/cache/**], access: [modify]}',
  '    - name: nginx-starts-nothing',
  '      executables: [/usr/sbin/nginx]',
  "      execution: {paths: [/**], except: [/usr/sbin/nginx, '/{,usr/}lib/**']}",
];

const HARDENING_JUDGEMENT = [
  'The kernel asks at each access, for every process of a container the policy selects, however it was started. A container that no policy selects may do everything its runtime lets it do.',
  'Of the rules that match, of whatever policy, the one with the lowest priority number decides; at equal priority Deny comes before Alert before Allow. The order in a list means nothing.',
  'Where no rule matches, the defaults of the policies that select the container decide, class by class: Deny before Alert before Allow. A class without a default is allowed.',
  'A rule with executables is for what one of them is, and for all it starts.',
  "A path is where an object lies in the container's own tree, by whatever way it is reached: a link, another mount, a descriptor.",
  'An exception to a rule is therefore a rule of a policy with a lower priority number, or the field `except`.',
  'A policy in mode `Stage` takes part in a second judgement that is only reported.',
];

/** File name below docs/ and content. */
export function referencePages(): ReadonlyMap<string, string> {
  return new Map([
    ['policy-reference.md', policyReference()],
    ['hardening-reference.md', hardeningReference()],
  ]);
}

interface Page {
  readonly title: string;
  readonly kinds: readonly ['WorkloadNetworkPolicy' | 'HardeningPolicy', keyof typeof POLICY_SCHEMAS];
  readonly example: readonly string[];
  readonly judgement: readonly string[];
  readonly heading: string;
  readonly others: string;
}

function page({ title, kinds, example, judgement, heading, others }: Page): string[] {
  const [kind, clusterKind] = kinds;
  const sections = objectsBelow(POLICY_SCHEMAS[kind]);
  return [
    `# ${title}`,
    '',
    '<!-- Generated from src/model/schema/ by src/model/schema/generate.ts --write. -->',
    '',
    'A policy file holds any number of YAML documents, each one policy. A field that is not listed here is an error.',
    `Files are checked with \`sallyport policy validate\`. ${others}`,
    '',
    '```yaml',
    ...example,
    '```',
    '',
    `## ${heading}`,
    '',
    ...judgement.map((line) => `- ${line}`),
    '',
    ...sections.flatMap((section) => [
      `## ${section.title}`,
      '',
      ...about(section.schema),
      ...table(section.schema),
      '',
    ]),
    `## ${clusterKind}`,
    '',
    ...about(POLICY_SCHEMAS[clusterKind]),
    `All fields are those of ${kind} but for \`metadata.namespace\`, which it does not have.`,
    '',
  ];
}

function policyReference(): string {
  return [
    ...page({
      title: 'Policy reference',
      kinds: ['WorkloadNetworkPolicy', 'ClusterWorkloadNetworkPolicy'],
      example: NETWORK_EXAMPLE,
      judgement: NETWORK_JUDGEMENT,
      heading: 'How traffic is judged',
      others: 'Hardening policies may stand beside these: [hardening reference](hardening-reference.md).',
    }),
    '## Problems',
    '',
    '| Code | Meaning |',
    '| --- | --- |',
    ...Object.entries(PROBLEM_CODES).map(([code, meaning]) => `| \`${code}\` | ${meaning} |`),
    '',
  ].join('\n');
}

function hardeningReference(): string {
  return page({
    title: 'Hardening reference',
    kinds: ['HardeningPolicy', 'ClusterHardeningPolicy'],
    example: HARDENING_EXAMPLE,
    judgement: HARDENING_JUDGEMENT,
    heading: 'How accesses are judged',
    others:
      'Network policies may stand beside these: [policy reference](policy-reference.md), which lists the problems too.',
  }).join('\n');
}
