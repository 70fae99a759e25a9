import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import { connect } from '../sources/kubernetes/connection.ts';
import type { ManagerConfig } from './config.ts';
import { Manager } from './manager.ts';

const NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace';
const STANDARD_NAMESPACE = 'sallyport-system';

export interface Launch {
  readonly config: ManagerConfig;
  readonly version: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** Runs one replica until the signal aborts. @throws KubernetesError where the configuration names no cluster */
export async function runManager({ config, version, environment, logger, signal }: Launch): Promise<void> {
  const { kubeconfig, context } = config.kubernetes;
  const connection = await connect({
    ...(kubeconfig === 'auto' ? {} : { kubeconfig }),
    ...(context === 'auto' ? {} : { context }),
    env: environment,
  });
  const namespace = config.namespace === 'auto' ? namespaceOf(environment) : config.namespace;
  const replica = config.identity === 'auto' ? (environment.POD_NAME ?? hostname()) : config.identity;
  const manager = new Manager({ config, connection, namespace, replica, version, logger });
  const ended = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  logger.info({ server: connection.server, namespace, replica, version }, 'The manager starts');
  try {
    await Promise.race([manager.start(), ended]);
    await ended;
  } finally {
    await manager.close();
    logger.info('The manager has ended');
  }
}

function namespaceOf(environment: Launch['environment']): string {
  const given = environment.POD_NAMESPACE;
  if (given !== undefined && given !== '') return given;
  try {
    return readFileSync(NAMESPACE_FILE, 'utf8').trim();
  } catch {
    return STANDARD_NAMESPACE; // not in a pod
  }
}
