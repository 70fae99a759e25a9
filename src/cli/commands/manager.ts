import { Command } from 'commander';
import type { Io } from '../io.ts';
import { examples } from '../session.ts';
import { readConfigFile } from '../settings.ts';
import { collect } from './files.ts';

interface ManagerOptions {
  readonly config?: string;
  readonly set?: readonly string[];
  readonly printConfig?: boolean;
}

const DEFAULT_FILE = '/etc/sallyport/manager.yaml';

export function managerCommand(io: Io): Command {
  const command = new Command('manager')
    .description('run a replica of the manager of a Kubernetes cluster, in the foreground')
    .option('--config <file>', `configuration file (SALLYPORT_MANAGER_CONFIG, else ${DEFAULT_FILE} where it exists)`)
    .option('--set <key=value>', 'one setting, by its name in docs/kubernetes-manager.md; may be given again', collect)
    .option('--print-config', 'print the settings; start nothing');
  return examples(command, [
    ['manager', 'in a pod of the cluster'],
    [
      'manager --set kubernetes.kubeconfig=admin.conf --set webhook.url=https://10.0.0.5:9443/validate',
      'outside of it',
    ],
    ['manager --print-config', 'what it would run with'],
  ]).action(async (options: ManagerOptions) => {
    const [{ loadSettings, printableSettings }, { managerSchema }] = await Promise.all([
      import('../../agent/configfile.ts'),
      import('../../manager/config.ts'),
    ]);
    const named = options.config ?? io.environment.SALLYPORT_MANAGER_CONFIG;
    const file = await readConfigFile(named ?? DEFAULT_FILE, named !== undefined);
    const input = { ...(file === undefined ? {} : { file }), environment: io.environment };
    const { config } = loadSettings({ ...input, assignments: options.set ?? [] }, managerSchema);
    if (options.printConfig === true) {
      const { stringify } = await import('yaml');
      return await io.write(stringify(printableSettings(config, managerSchema)));
    }
    const [{ runManager }, { makeLogger }, { VERSION }] = await Promise.all([
      import('../../manager/launch.ts'),
      import('../../events/log.ts'),
      import('../../agent/version.ts'),
    ]);
    const logger = makeLogger(config.log.level, process.stdout);
    await runManager({ config, version: VERSION, environment: io.environment, logger, signal: io.signal });
  });
}
