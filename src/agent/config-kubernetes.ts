import * as z from 'zod';
import { duration, flag } from './config-types.ts';

/** Settings of what the agent learns from a Kubernetes cluster, and tells it. */

export const kubernetes = z
  .strictObject({
    enabled: z
      .enum(['auto', 'true', 'false'])
      .or(z.boolean().transform((on) => (on ? ('true' as const) : ('false' as const))))
      .default('auto')
      .describe('Policies, owners of pods and identities come from a cluster. auto: in a pod, or with kubeconfig'),
    kubeconfig: z
      .string()
      .max(4096)
      .refine((text) => text === 'auto' || text.startsWith('/'), 'wanted "auto" or an absolute path')
      .default('auto')
      .describe('How the API server is reached. auto: KUBECONFIG, the pod’s service account, ~/.kube/config'),
    context: z.string().min(1).max(253).default('auto').describe('Of the kubeconfig. auto: its current one'),
    wait: duration('5s', 0, 600_000).describe(
      'How long the first round, and each new pod, wait for the API server; then for what was known before',
    ),
    resync: duration('10m', 10_000, 86_400_000).describe('Everything is listed anew this often, whatever was watched'),
    networkPolicies: flag(true).describe('Kubernetes’ own network policies are enforced, with those of administrators'),
    probes: flag(true).describe('The kubelet may reach the ports its probes are declared on, whatever policies say'),
    podNetworks: flag(true).describe(
      'TCP toward the pods’ networks of all nodes, and the nodes themselves, bears tags, beside network.prefixes',
    ),
    agents: flag(true).describe(
      'Agents of all nodes shake hands, beside handshake.agents; where handshake.listen is set',
    ),
    certificates: flag(false).describe(
      'The manager signs this agent’s certificate: handshake.certificate and handshake.key are written, and renewed',
    ),
    signer: z
      .string()
      .regex(/^[a-z0-9.-]{1,253}\/[a-z0-9.-]{1,253}$/, 'wanted domain/name')
      .default('sallyport.dev/agent')
      .describe('`signerName` of its requests, as the manager has it'),
    report: flag(true).describe('A NodeReport tells the cluster how this node stands'),
  })
  .prefault({});

export type KubernetesSettings = z.output<typeof kubernetes>;

/** Whether there is a cluster to ask. */
export function usesKubernetes(
  { enabled, kubeconfig }: KubernetesSettings,
  env: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  if (enabled !== 'auto') return enabled === 'true';
  return kubeconfig !== 'auto' || Boolean(env.KUBERNETES_SERVICE_HOST);
}
