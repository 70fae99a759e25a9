import * as z from 'zod';

/** Every setting of the manager, as `agent/config.ts` has those of the agent. */

const HOST_PORT = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/;
const address = (standard: string) => z.string().regex(HOST_PORT, 'wanted host:port or [ipv6]:port').default(standard);
const number = (standard: number, least: number, most: number) => z.int().min(least).max(most).default(standard);
const name = (standard: string) =>
  z
    .string()
    .regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, 'wanted a name of lower-case letters, digits, dots and hyphens')
    .default(standard);

export const managerSchema = z.strictObject({
  namespace: name('auto').describe('Namespace of the installation. auto: POD_NAMESPACE, else sallyport-system'),
  identity: name('auto').describe(
    'Of this replica in elections. auto: POD_NAME, else the host name, and random letters',
  ),
  domain: name('local').describe('As the agents have it: part of every identity'),
  kubernetes: z
    .strictObject({
      kubeconfig: z
        .string()
        .max(4096)
        .default('auto')
        .describe('Path. auto: KUBECONFIG, the service account, ~/.kube/config, whichever is first'),
      context: z.string().max(253).default('auto').describe('Of the kubeconfig. auto: its current one'),
    })
    .prefault({}),
  webhook: z
    .strictObject({
      listen: address('0.0.0.0:9443').describe('Where the API server asks'),
      service: name('sallyport-manager').describe('Service it asks by'),
      url: z
        .string()
        .max(2048)
        .refine((text) => text === 'off' || text.startsWith('https://'), 'wanted "off" or https://…')
        .default('off')
        .describe('Asks by this URL instead, for a manager outside the cluster. off: by the service'),
      configuration: name('sallyport').describe('Name of the ValidatingWebhookConfiguration'),
      secret: name('sallyport-webhook').describe('Secret of its certificate'),
      certificateDays: number(90, 1, 3_650).describe('Lifetime of its certificate; renewed when two thirds are over'),
    })
    .prefault({}),
  election: z
    .strictObject({
      lease: name('sallyport-manager').describe('Name of the Lease'),
      leaseSeconds: number(15, 3, 3_600).describe('How long others wait for a leader that is silent'),
      renewSeconds: number(10, 2, 3_599).describe('How long a leader that cannot renew goes on; less than the lease'),
      retrySeconds: number(2, 1, 600).describe('Between attempts'),
    })
    .refine(
      ({ leaseSeconds, renewSeconds, retrySeconds }) => retrySeconds < renewSeconds && renewSeconds < leaseSeconds,
      {
        error: 'wanted retrySeconds < renewSeconds < leaseSeconds',
      },
    )
    .prefault({}),
  identities: z
    .strictObject({
      graceMinutes: number(30, 0, 10_080).describe('How long identities stay after their last pod'),
    })
    .prefault({}),
  tagKeys: z
    .strictObject({
      secret: name('sallyport-tag-keys').describe('Secret of the tag keys'),
      rotateHours: number(24, 0, 8_760).describe('How long a key signs. 0: keys are made once and never rotated'),
      activateMinutes: number(15, 5, 1_440).describe('Time for a new key to reach every node before it signs'),
    })
    .prefault({}),
  certificates: z
    .strictObject({
      signer: z
        .string()
        .regex(/^[a-z0-9.-]{1,253}\/[a-z0-9.-]{1,253}$/, 'wanted domain/name')
        .default('sallyport.dev/agent')
        .describe('`signerName` of the agents’ requests'),
      account: name('sallyport-agent').describe('ServiceAccount of the agents, in the same namespace'),
      secret: name('sallyport-ca').describe('Secret of the authority that signs them'),
      bundle: name('sallyport-ca').describe('ConfigMap of the authorities that agents believe'),
      hours: number(24, 1, 720).describe(
        'Lifetime of an agent’s certificate; agents renew it when two thirds are over',
      ),
    })
    .prefault({}),
  metrics: z
    .strictObject({
      address: address('0.0.0.0:9464').describe('Where /metrics, /healthz and /readyz are served'),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z
        .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
        .default('info')
        .describe('Least level logged'),
    })
    .prefault({}),
});

export type ManagerConfig = z.output<typeof managerSchema>;
