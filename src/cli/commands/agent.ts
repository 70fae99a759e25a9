import { Command } from 'commander';
import type { Io } from '../io.ts';
import { examples, type GlobalOptions } from '../session.ts';
import { addConfigOptions, type ConfigOptions, readConfig } from '../settings.ts';

interface AgentOptions extends ConfigOptions {
  readonly printConfig?: boolean;
  readonly remove?: boolean;
}

export function agentCommand(io: Io): Command {
  const command = addConfigOptions(new Command('agent').description('run the agent of this node, in the foreground'))
    .option('--print-config', 'print the settings and where each comes from; start nothing')
    .option('--remove', 'detach every program and remove every pin: nothing is enforced afterwards');
  return examples(command, [
    ['agent', 'with /etc/sallyport/agent.yaml where it exists'],
    ['agent --config agent.yaml --print-config', 'what it would run with'],
    ['agent --set metrics.address=off --log-level debug', 'some settings on the command line'],
    ['agent --remove', 'end enforcement on this node; stop the agent first'],
  ]).action(async (options: AgentOptions, self: Command) => {
    const given = self.parent?.getOptionValueSource('socket') === 'cli';
    const { socket } = self.optsWithGlobals<GlobalOptions>();
    const { config, origins } = await readConfig(io, options, given ? socket : undefined);
    if (options.printConfig === true) {
      const [{ stringify }, { printableConfig }] = await Promise.all([
        import('yaml'),
        import('../../agent/configfile.ts'),
      ]);
      return await io.write(annotated(stringify(printableConfig(config)), origins));
    }
    const { endEnforcement, runAgent } = await import('../../agent/launch.ts');
    if (options.remove === true) {
      await endEnforcement(config);
      return await io.write(`Removed what was attached and pinned in ${config.datapath.pins}\n`);
    }
    const { makeLogger } = await import('../../events/log.ts');
    const logger = makeLogger(config.log.level, process.stdout);
    const readAgain = async () => (await readConfig(io, options, given ? socket : undefined)).config;
    await runAgent(config, logger, io.signal, readAgain);
  });
}

/** Adds to each line of the YAML where its setting came from, when it is not a default. */
function annotated(yaml: string, origins: ReadonlyMap<string, string>): string {
  const path: string[] = [];
  const lines = yaml
    .trimEnd()
    .split('\n')
    .map((line) => {
      const match = /^( *)([A-Za-z]+):/.exec(line);
      if (match === null) return line;
      const depth = (match[1]?.length ?? 0) / 2;
      path.splice(depth, path.length, match[2] ?? '');
      const origin = line.endsWith(':') ? undefined : origins.get(path.join('.'));
      return origin === undefined ? line : `${line} # ${origin}`;
    });
  return `${lines.join('\n')}\n`;
}
