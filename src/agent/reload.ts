import type { Logger } from 'pino';
import { type Config, settings } from './config.ts';
import type { Neighbourhood } from './neighbourhood.ts';

/** Settings that a running agent takes over; all others wait for the next start. */
export const RELOADABLE: ReadonlySet<string> = new Set(['handshake.agents', 'network.prefixes', 'log.level']);

/** The settings that differ, by their dotted names. */
export function changedSettings(before: Config, after: Config): string[] {
  const differs = (key: string): boolean =>
    JSON.stringify(valueAt(before, key)) !== JSON.stringify(valueAt(after, key));
  return settings()
    .map(({ key }) => key)
    .filter(differs);
}

/**
 * Brings a running agent to another configuration, as far as that goes without a start.
 * @returns what the agent runs with now
 * @throws HandshakeError SETTINGS, and nothing has changed
 */
export function reload(before: Config, after: Config, to: { neighbourhood: Neighbourhood; logger: Logger }): Config {
  const changed = changedSettings(before, after);
  const waiting = changed.filter((key) => !RELOADABLE.has(key));
  if (changed.includes('handshake.agents') || changed.includes('network.prefixes')) {
    to.neighbourhood.configure({ prefixes: after.network.prefixes, agents: after.handshake.agents });
  }
  to.logger.level = after.log.level;
  to.logger.info({ changed: changed.filter((key) => RELOADABLE.has(key)) }, 'The configuration was read again');
  if (waiting.length > 0) to.logger.warn({ waiting }, 'These settings wait for the next start of the agent');
  return {
    ...before,
    network: { ...before.network, prefixes: after.network.prefixes },
    handshake: { ...before.handshake, agents: after.handshake.agents },
    log: after.log,
  };
}

function valueAt(config: Config, key: string): unknown {
  let value: unknown = config;
  for (const part of key.split('.')) value = (value as Record<string, unknown> | undefined)?.[part];
  return value;
}
