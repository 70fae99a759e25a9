import type { Config } from '../../agent/config.ts';
import { usesKubernetes } from '../../agent/config-kubernetes.ts';
import type { Check } from './judge.ts';

/** What was found out about the cluster. */
export interface KubernetesFacts {
  /** Undefined: none is asked. */
  readonly server: string | undefined;
  readonly version?: string;
  /** Why it could not be asked, and what to do. */
  readonly failure?: { readonly message: string; readonly hint: string | undefined };
  /** What the agent would need and may not do. */
  readonly missing: readonly string[];
}

/** How long the API server may take, milliseconds. */
const PATIENCE_MS = 10_000;

/** Asks the API server who we are to it; changes nothing. */
export async function gatherKubernetes({ kubernetes }: Pick<Config, 'kubernetes'>): Promise<KubernetesFacts> {
  if (!usesKubernetes(kubernetes)) return { server: undefined, missing: [] };
  const [{ connect }, { KubernetesClient }, permissions, { asKubernetesError }] = await Promise.all([
    import('../../sources/kubernetes/connection.ts'),
    import('../../sources/kubernetes/client.ts'),
    import('../../sources/kubernetes/permissions.ts'),
    import('../../sources/kubernetes/error.ts'),
  ]);
  const { AGENT_PERMISSIONS, CERTIFICATE_PERMISSIONS, missingPermissions } = permissions;
  const needed = [...AGENT_PERMISSIONS, ...(kubernetes.certificates ? CERTIFICATE_PERMISSIONS : [])];
  const { kubeconfig, context } = kubernetes;
  let server = 'the API server';
  try {
    const connection = await connect({
      ...(kubeconfig === 'auto' ? {} : { kubeconfig }),
      ...(context === 'auto' ? {} : { context }),
    });
    server = connection.server;
    try {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      const version = await connection.request<{ gitVersion?: unknown }>({ method: 'GET', path: '/version', signal });
      const missing = await missingPermissions(new KubernetesClient(connection), needed, signal);
      return { server, version: String(version.gitVersion), missing };
    } finally {
      await connection.close();
    }
  } catch (thrown) {
    const { message, hint } = asKubernetesError(thrown, `ask ${server}`);
    return { server, failure: { message, hint }, missing: [] };
  }
}

/** What it means: pure. */
export function judgeKubernetes({ server, version, failure, missing }: KubernetesFacts): Check[] {
  const name = 'kubernetes';
  if (server === undefined) return [{ name, state: 'info', found: 'no cluster is asked' }];
  if (failure !== undefined) {
    const found = `${failure.message}; what was known before stays in force`;
    return [{ name, state: 'fail', found, ...(failure.hint === undefined ? {} : { hint: failure.hint }) }];
  }
  if (missing.length === 0) return [{ name, state: 'ok', found: `${server} is ${version}, and allows what is needed` }];
  return [
    {
      name,
      state: 'fail',
      found: `${server} does not allow: ${missing.join(', ')}`,
      hint: 'grant the ClusterRole sallyport-agent to whoever the kubeconfig says',
    },
  ];
}
