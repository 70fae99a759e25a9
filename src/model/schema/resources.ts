/** The kinds of `sallyport.dev/v1alpha1` as the cluster knows them. */
import type * as z from 'zod';
import { hardeningProfileSchema } from './hardening-profile.ts';
import { POLICY_SCHEMAS } from './kinds.ts';
import { nodeReportSchema } from './node-report.ts';
import { policyStatusSchema } from './status.ts';
import { workloadIdentitySchema } from './workload-identity.ts';

/** Where and how `kubectl get` shows a field. */
interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'boolean' | 'date';
  readonly jsonPath: string;
  readonly description: string;
  /** Above 0: only in wide output. */
  readonly priority?: number;
}

export interface ResourceDefinition {
  readonly kind: string;
  readonly plural: string;
  readonly shortName: string;
  readonly namespaced: boolean;
  /** Of the object: `spec` and, where it has one of its own, `status`. */
  readonly schema: z.ZodObject;
  /** Where `schema` is the document's, without a status. */
  readonly status?: z.ZodObject;
  /** Written by people: what is misspelt must be told, not dropped. */
  readonly written: boolean;
  readonly columns: readonly Column[];
}

const AGE: Column = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp', description: 'Its age.' };

function condition(type: string): Column {
  const jsonPath = `.status.conditions[?(@.type=="${type}")].status`;
  return { name: type, type: 'string', jsonPath, description: `Whether it is ${type.toLowerCase()}.` };
}

const POLICY_COLUMNS: readonly Column[] = [
  { name: 'Subject', type: 'string', jsonPath: '.spec.subject.workload', description: 'Which workloads it is about.' },
  { name: 'Priority', type: 'integer', jsonPath: '.spec.priority', description: 'Lower is judged first.' },
  { name: 'Mode', type: 'string', jsonPath: '.spec.mode', description: 'Enforce (where empty) or Stage.' },
  condition('Accepted'),
  condition('Enforced'),
  { name: 'Nodes', type: 'integer', jsonPath: '.status.nodes.total', description: 'Nodes it is for.', priority: 1 },
  {
    name: 'Done',
    type: 'integer',
    jsonPath: '.status.nodes.enforced',
    description: 'Nodes that have it.',
    priority: 1,
  },
  {
    name: 'Containers',
    type: 'integer',
    jsonPath: '.status.containers.selected',
    description: 'Containers it selects.',
    priority: 1,
  },
  AGE,
];

const policy = (kind: keyof typeof POLICY_SCHEMAS, plural: string, shortName: string): ResourceDefinition => ({
  kind,
  plural,
  shortName,
  namespaced: !kind.startsWith('Cluster'),
  schema: POLICY_SCHEMAS[kind],
  status: policyStatusSchema,
  written: true,
  columns: POLICY_COLUMNS,
});

const WORKLOAD: Column = { name: 'Workload', type: 'string', jsonPath: '.spec.workload', description: 'Whose it is.' };

export const RESOURCES: readonly ResourceDefinition[] = [
  policy('WorkloadNetworkPolicy', 'workloadnetworkpolicies', 'wnp'),
  policy('ClusterWorkloadNetworkPolicy', 'clusterworkloadnetworkpolicies', 'cwnp'),
  policy('HardeningPolicy', 'hardeningpolicies', 'hp'),
  policy('ClusterHardeningPolicy', 'clusterhardeningpolicies', 'chp'),
  {
    kind: 'HardeningProfile',
    plural: 'hardeningprofiles',
    shortName: 'hprof',
    namespaced: true,
    schema: hardeningProfileSchema,
    written: false,
    columns: [WORKLOAD, condition('Compiled'), condition('Enforced'), AGE],
  },
  {
    kind: 'WorkloadIdentity',
    plural: 'workloadidentities',
    shortName: 'wid',
    namespaced: true,
    schema: workloadIdentitySchema,
    written: false,
    columns: [
      WORKLOAD,
      { name: 'Pods', type: 'integer', jsonPath: '.status.pods', description: 'Pods it has.' },
      { name: 'Nodes', type: 'integer', jsonPath: '.status.nodes', description: 'Nodes they are on.' },
      AGE,
    ],
  },
  {
    kind: 'NodeReport',
    plural: 'nodereports',
    shortName: 'nrep',
    namespaced: false,
    schema: nodeReportSchema,
    written: false,
    columns: [
      { name: 'Ready', type: 'boolean', jsonPath: '.status.agent.ready', description: 'Whether all is in force.' },
      {
        name: 'Hardening',
        type: 'boolean',
        jsonPath: '.status.hardening.active',
        description: 'Whether hardening is enforced.',
      },
      { name: 'Endpoints', type: 'integer', jsonPath: '.status.endpoints.total', description: 'Endpoints it has.' },
      {
        name: 'Unprotected',
        type: 'integer',
        jsonPath: '.status.endpoints.unprotected',
        description: 'Those nothing is enforced on.',
      },
      { name: 'Version', type: 'string', jsonPath: '.status.agent.version', description: "The agent's version." },
      { name: 'Kernel', type: 'string', jsonPath: '.status.kernel', description: "The node's kernel.", priority: 1 },
      { name: 'Seen', type: 'date', jsonPath: '.status.observedAt', description: 'When its agent last looked.' },
    ],
  },
];
