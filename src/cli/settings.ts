import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { LoadedConfig } from '../agent/configfile.ts';
import { AgentError } from '../agent/errors.ts';
import type { Io } from './io.ts';

const DEFAULT_FILE = '/etc/sallyport/agent.yaml';

/** Flags that stand for one setting each. */
const FLAGS = {
  node: 'node',
  policies: 'policies.directory',
  metricsAddress: 'metrics.address',
  pins: 'datapath.pins',
  objects: 'datapath.objects',
  logLevel: 'log.level',
} as const;

export type ConfigOptions = {
  readonly config?: string;
  readonly set?: readonly string[];
} & { readonly [F in keyof typeof FLAGS]?: string };

const collect = (value: string, previous: readonly string[] = []): string[] => [...previous, value];

/** Adds the flags that change settings: docs/configuration.md. */
export function addConfigOptions(command: Command): Command {
  return command
    .option('--config <file>', `configuration file (SALLYPORT_CONFIG, else ${DEFAULT_FILE} where it exists)`)
    .option('--set <key=value>', 'one setting, by its name in docs/configuration.md; may be given again', collect)
    .option('--node <name>', "this node's name")
    .option('--policies <directory>', 'directory of policy files')
    .option('--metrics-address <address>', 'where metrics are served; "off": nowhere')
    .option('--pins <directory>', 'directory of the pinned maps and links')
    .option('--objects <directory>', 'directory of the compiled kernel programs')
    .option('--log-level <level>', 'trace, debug, info, warn, error or fatal');
}

/**
 * Settings from file, environment and flags.
 * @param socket of `--socket`, where it was given on the command line
 * @throws AgentError INVALID or USAGE, with every fault
 */
export async function readConfig(io: Io, options: ConfigOptions, socket?: string): Promise<LoadedConfig> {
  const flags = Object.entries(FLAGS).flatMap(([flag, key]) => {
    const value = options[flag as keyof typeof FLAGS];
    return value === undefined ? [] : [`${key}=${value}`];
  });
  const assignments = [...flags, ...(socket === undefined ? [] : [`api.socket=${socket}`]), ...(options.set ?? [])];
  const named = options.config ?? io.environment.SALLYPORT_CONFIG;
  const file = await readConfigFile(named ?? DEFAULT_FILE, named !== undefined);
  const { loadConfig } = await import('../agent/configfile.ts');
  return loadConfig({ ...(file === undefined ? {} : { file }), environment: io.environment, assignments });
}

/** @param wanted whether it must be there */
export async function readConfigFile(
  path: string,
  wanted: boolean,
): Promise<{ path: string; text: string } | undefined> {
  try {
    return { path, text: await readFile(path, 'utf8') };
  } catch (cause) {
    const absent = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    if (absent && !wanted) return undefined;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AgentError('INVALID', `Cannot read the configuration ${path}: ${reason}`, { cause });
  }
}
