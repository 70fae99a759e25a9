import { release } from 'node:os';
import type { Logger } from 'pino';
import type { AnyPolicy } from '../../model/any-policy.ts';
import { keepLast } from '../../model/keep-last.ts';
import type { Agent } from '../agent.ts';
import type { Config } from '../config.ts';
import { usesKubernetes } from '../config-kubernetes.ts';
import { identityRoom } from '../identity-room.ts';
import { VERSION } from '../version.ts';
import type { Cluster } from './cluster.ts';
import { reportOf } from './report.ts';
import { Reporter } from './reporter.ts';

/**
 * The cluster the configuration means; undefined where it means none. Nobody is asked yet.
 * @throws KubernetesError INVALID where it is not said how its API server is reached
 */
export async function openCluster(config: Config, node: string, logger: Logger): Promise<Cluster | undefined> {
  const settings = config.kubernetes;
  if (!usesKubernetes(settings)) return undefined;
  // Loaded where there is a cluster: other nodes need not pay for it.
  const [{ connect }, cluster] = await Promise.all([
    import('../../sources/kubernetes/connection.ts'),
    import('./cluster.ts'),
  ]);
  const connection = await connect({
    ...(settings.kubeconfig === 'auto' ? {} : { kubeconfig: settings.kubeconfig }),
    ...(settings.context === 'auto' ? {} : { context: settings.context }),
  });
  return new cluster.Cluster({
    connection,
    settings,
    node,
    domain: config.domain,
    identitiesMost: identityRoom(config.datapath.sizes.subjects).ofCluster,
    state: config.state.directory,
    ...portOf(config.handshake.listen),
    credentials: config.handshake,
    now: Date.now,
    onFault: (error) => logger.error({ err: error }, 'Cannot remember what the cluster says'),
    onNoCertificate: (error) =>
      logger.warn({ err: error }, 'No handshake certificate, or none that is newer; it is asked for again'),
  });
}

/** All agents of a cluster listen at the same port. */
function portOf(listen: string): { readonly handshakePort?: number } {
  return listen === 'off' ? {} : { handshakePort: Number(listen.slice(listen.lastIndexOf(':') + 1)) };
}

/** What tells the cluster how this node stands; undefined where there is none, or it is not to be told. */
export function openReporter(agent: Agent): Reporter | undefined {
  const { cluster, config, datapath, node, now, logger } = agent.parts;
  if (cluster === undefined || !config.kubernetes.report) return undefined;
  const appliedOf = keepLast((...lists: (readonly AnyPolicy[])[]) => new Set(lists.flat()));
  return new Reporter({
    client: cluster.client,
    node,
    onFault: (error) => logger.warn({ err: error }, 'The cluster does not take the report of this node'),
    report: () => {
      const { endpoints, policies, hardening } = agent.enforcement.applied;
      const { active, reason } = datapath.hardening;
      return reportOf({
        now: now(),
        version: VERSION,
        startedAt: agent.startedAt,
        ready: agent.ready,
        kernel: release(),
        hardening: { active, ...(reason === undefined ? {} : { reason }) },
        endpoints,
        endpointStatus: datapath.endpointStatus(),
        ledger: agent.policies.ledger,
        applied: appliedOf(policies, hardening),
        overloaded: agent.enforcement.overloaded,
        cluster: cluster.policies.policies(),
        hardened: agent.hardening.protections(),
      });
    },
  });
}
