import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { openDatapath, removeDatapath } from '../datapath/index.ts';
import type { Datapath } from '../datapath/port.ts';
import { findCgroup2Mount, peerCredentials } from '../libbpf/index.ts';
import { removeQueueRules } from '../netfilter/index.ts';
import { Agent } from './agent.ts';
import { answers } from './api/probe.ts';
import { startApi } from './api/server.ts';
import type { Config } from './config.ts';
import { AgentError } from './errors.ts';
import { openHost } from './host.ts';
import { findObjects } from './installation.ts';
import { openCluster } from './kubernetes/open.ts';
import { startMetrics } from './metrics/server.ts';
import { Neighbourhood, NOBODY } from './neighbourhood.ts';
import { reload } from './reload.ts';
import { Service } from './service.ts';
import { ConfiguredWorld } from './world.ts';

/** No healthy agent lets this many resync intervals pass without a round. */
const SILENT_RESYNCS = 3;

/**
 * Runs the agent on this node until the signal aborts. SIGHUP makes it read its configuration again.
 * @param readAgain the configuration as it is written now; rejects where that is none
 * @throws AgentError, BpfError where it cannot start; what an earlier agent left enforced stays so
 */
export async function runAgent(
  config: Config,
  logger: Logger,
  signal: AbortSignal,
  readAgain: () => Promise<Config>,
): Promise<void> {
  // Before anything in the kernel is touched: a second agent would take the first one's events and settings.
  await refuseBesideAnother(config.api.socket);
  const cluster = await openCluster(config, nodeName(config), logger);
  const datapath = openKernel(config);
  const cgroupRoot = cgroupRootOf(config);
  const agent = new Agent({
    config,
    node: nodeName(config),
    datapath,
    cgroupRoot: cgroupRoot ?? '',
    world: new ConfiguredWorld(config, openHost(cgroupRoot === undefined ? {} : { cgroupRoot }), cluster?.owners),
    cluster,
    logger,
    now: Date.now,
  });
  const ended = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const neighbourhood = new Neighbourhood({
    configured: { prefixes: config.network.prefixes, agents: config.handshake.agents },
    found: () => cluster?.neighbours() ?? NOBODY,
    tell: (neighbours) => agent.between.setNeighbours(neighbours),
    onFault: (error) => logger.error({ err: error }, 'Cannot take over the nodes that the cluster names'),
  });
  cluster?.onChange(() => neighbourhood.look());
  const onHangUp = reloader(neighbourhood, config, logger, readAgain);
  process.on('SIGHUP', onHangUp);
  try {
    // People can ask how it stands before it is ready.
    await serve(agent, config, logger);
    // Toward whom the last agent's kernel tags, this one's does from its first moment on.
    await cluster?.load();
    neighbourhood.look();
    await Promise.race([agent.start(), ended]);
    await ended;
  } finally {
    process.off('SIGHUP', onHangUp);
    await agent.close();
  }
}

/** The downward API tells a pod what the cluster calls its node. */
function nodeName({ node }: Config): string {
  return node === 'auto' ? process.env.NODE_NAME || hostname() : node;
}

/** One reading after the other, each against what the one before has left. */
function reloader(
  neighbourhood: Neighbourhood,
  config: Config,
  logger: Logger,
  readAgain: () => Promise<Config>,
): () => void {
  let current = Promise.resolve(config);
  return () => {
    current = current.then(async (before) => {
      try {
        return reload(before, await readAgain(), { neighbourhood, logger });
      } catch (error) {
        logger.error({ err: error }, 'Cannot take over the configuration; the agent goes on as before');
        return before;
      }
    });
  };
}

/**
 * Detaches every program and removes every pin: nothing is enforced afterwards.
 * @throws AgentError CONFLICT where an agent runs, which would attach everything again at its next round
 */
export async function endEnforcement(config: Config): Promise<void> {
  await refuseBesideAnother(config.api.socket);
  removeDatapath(config.datapath.pins);
  await removeQueueRules({ queue: config.hold.queue });
}

async function refuseBesideAnother(socket: string): Promise<void> {
  if (!(await answers(socket))) return;
  throw new AgentError('CONFLICT', `An agent runs on ${socket}`, {
    hint: 'stop it first, or give this one its own api.socket and datapath.pins',
  });
}

async function serve(agent: Agent, config: Config, logger: Logger): Promise<void> {
  const service = new Service(agent);
  const onFault = (error: Error): void => logger.error({ err: error }, error.message);
  const { signal } = agent;
  await startApi({
    socket: config.api.socket,
    service,
    callers: { uids: config.api.uids, gids: config.api.gids, credentialsOf: peerCredentials },
    now: Date.now,
    onFault,
    onAnswer: (code) => agent.measurements.apiRequests.inc({ code: String(code) }),
    signal,
  });
  logger.info({ socket: config.api.socket }, 'The API answers');
  if (config.metrics.address === 'off') return;
  const silence = config.intervals.resync * SILENT_RESYNCS;
  const { address } = await startMetrics({
    address: config.metrics.address,
    metrics: () => service.metrics(),
    ready: () => agent.ready,
    healthy: () => Date.now() - (agent.lastSuccess ?? agent.startedAt) < silence,
    onFault,
    signal,
  });
  logger.info({ address }, 'Metrics are served');
}

function openKernel(config: Config): Datapath {
  const objects = findObjects(config.datapath.objects);
  if (objects === undefined) {
    throw new AgentError(
      'NOT_FOUND',
      `Cannot find the kernel programs (datapath.objects: ${config.datapath.objects})`,
      {
        hint: 'make build, or name their directory',
      },
    );
  }
  mkdirSync(dirname(config.datapath.pins), { recursive: true });
  return openDatapath({
    objects,
    pins: config.datapath.pins,
    cgroupRoot: cgroupRootOf(config) ?? '',
    sizes: config.datapath.sizes,
    events: { ratePerSecond: config.events.ratePerSecond, burst: config.events.burst },
  });
}

function cgroupRootOf(config: Config): string | undefined {
  return config.datapath.cgroupRoot === 'auto' ? findCgroup2Mount() : config.datapath.cgroupRoot;
}
