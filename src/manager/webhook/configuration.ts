/** What the API server is told to ask the webhook about. Pure. */
import { type LooseObject, NODE_REPORTS, POLICY_RESOURCES } from '../../sources/kubernetes/resource.ts';

/** By which way the webhook is asked. */
export type WebhookWay =
  | { readonly url: string }
  | { readonly service: { readonly namespace: string; readonly name: string } };

export interface ConfigurationRequest {
  readonly way: WebhookWay;
  /** PEM. */
  readonly bundle: string;
  /** Of the installation: what its own objects need must not wait for it. */
  readonly namespace: string;
  /** Kinds the cluster knows, by plural. */
  readonly known: ReadonlySet<string>;
}

export const VALIDATE_PATH = '/validate';
const OURS = { apiGroups: ['sallyport.dev'], apiVersions: ['v1alpha1'] };
/** How long the API server waits: who writes a policy, and an agent that reports. Seconds. */
const POLICY_SECONDS = 5;
const REPORT_SECONDS = 3;

/** What the API server asks about. */
export interface WebhookConfiguration {
  readonly webhooks: readonly object[];
}

export function webhookConfiguration(request: ConfigurationRequest): WebhookConfiguration {
  const { way, bundle, namespace, known } = request;
  const policies = POLICY_RESOURCES.map(({ plural }) => plural).filter((plural) => known.has(plural));
  const common = {
    clientConfig: {
      caBundle: Buffer.from(bundle).toString('base64'),
      ...('url' in way ? { url: way.url } : { service: { ...way.service, path: VALIDATE_PATH, port: 443 } }),
    },
    matchPolicy: 'Equivalent',
    objectSelector: {},
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
  };
  const webhooks = [
    ...(policies.length === 0 ? [] : [{ ...common, ...policyWebhook(policies, namespace) }]),
    ...(known.has(NODE_REPORTS.plural) ? [{ ...common, ...reportWebhook() }] : []),
  ];
  return { webhooks };
}

/**
 * A policy nobody could judge is not stored (`Fail`): who wrote it hears so at once, and what is in force stays in
 * force. Taking one away never asks. The namespace of the installation is left out, so that it can always be repaired.
 */
function policyWebhook(resources: readonly string[], namespace: string): object {
  return {
    name: 'policies.sallyport.dev',
    rules: [{ ...OURS, operations: ['CREATE', 'UPDATE'], resources, scope: '*' }],
    failurePolicy: 'Fail',
    namespaceSelector: {
      matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: [namespace] }],
    },
    timeoutSeconds: POLICY_SECONDS,
  };
}

/** Reports go on where nobody answers (`Ignore`): nothing follows from them but what is said of policies. */
function reportWebhook(): object {
  const { plural } = NODE_REPORTS;
  const resources = [plural, `${plural}/status`];
  return {
    name: 'reports.sallyport.dev',
    rules: [{ ...OURS, operations: ['CREATE', 'UPDATE', 'DELETE'], resources, scope: 'Cluster' }],
    failurePolicy: 'Ignore',
    namespaceSelector: {},
    timeoutSeconds: REPORT_SECONDS,
  };
}

/** Whether the configuration of the cluster is as it should be; fields the server adds do not count. */
export function sameConfiguration(wanted: WebhookConfiguration, present: LooseObject): boolean {
  return covers((present as Partial<WebhookConfiguration>).webhooks ?? [], wanted.webhooks);
}

/** Whether everything of `wanted` is in `present`. */
function covers(present: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(present) && present.length === wanted.length && wanted.every((one, i) => covers(present[i], one))
    );
  }
  if (typeof wanted !== 'object' || wanted === null) return present === wanted;
  if (typeof present !== 'object' || present === null) return false;
  return Object.entries(wanted).every(([key, value]) => covers((present as Record<string, unknown>)[key], value));
}
