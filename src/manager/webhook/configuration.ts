/** What the API server is told to ask the webhook about. Pure. */
import { type LooseObject, POLICY_RESOURCES } from '../../sources/kubernetes/resource.ts';
import { MANAGED } from '../names.ts';

/** By which way the webhook is asked. */
export type WebhookWay =
  | { readonly url: string }
  | { readonly service: { readonly namespace: string; readonly name: string } };

export interface ConfigurationRequest {
  readonly name: string;
  readonly way: WebhookWay;
  /** PEM. */
  readonly bundle: string;
  /** Of the installation: what its own objects need must not wait for it. */
  readonly namespace: string;
  /** Kinds the cluster knows, by plural. */
  readonly known: ReadonlySet<string>;
}

export const VALIDATE_PATH = '/validate';
/** How long the API server waits, seconds. */
const TIMEOUT_SECONDS = 5;

/**
 * A policy nobody could judge is not stored (`Fail`): who wrote it hears so at once, and what is in force stays in
 * force. Taking one away never asks. The namespace of the installation is left out, so that it can always be repaired.
 */
export function webhookConfiguration(request: ConfigurationRequest): LooseObject {
  const { name, way, bundle, namespace, known } = request;
  const resources = POLICY_RESOURCES.map(({ plural }) => plural).filter((plural) => known.has(plural));
  const clientConfig = {
    caBundle: Buffer.from(bundle).toString('base64'),
    ...('url' in way ? { url: way.url } : { service: { ...way.service, path: VALIDATE_PATH, port: 443 } }),
  };
  const webhook = {
    name: 'policies.sallyport.dev',
    clientConfig,
    rules: [
      {
        apiGroups: ['sallyport.dev'],
        apiVersions: ['v1alpha1'],
        operations: ['CREATE', 'UPDATE'],
        resources,
        scope: '*',
      },
    ],
    failurePolicy: 'Fail',
    matchPolicy: 'Equivalent',
    namespaceSelector: {
      matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: [namespace] }],
    },
    objectSelector: {},
    sideEffects: 'None',
    timeoutSeconds: TIMEOUT_SECONDS,
    admissionReviewVersions: ['v1'],
  };
  const webhooks = resources.length === 0 ? [] : [webhook];
  return { metadata: { name, labels: { ...MANAGED } }, ...{ webhooks } };
}

/** Whether the configuration of the cluster is as it should be; fields the server adds do not count. */
export function sameConfiguration(wanted: LooseObject, present: LooseObject): boolean {
  const of = (object: LooseObject): unknown => (object as LooseObject & { webhooks?: unknown }).webhooks ?? [];
  const labels = Object.entries(wanted.metadata.labels ?? {});
  return labels.every(([key, value]) => present.metadata.labels?.[key] === value) && covers(of(present), of(wanted));
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
