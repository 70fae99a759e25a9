import { Command } from 'commander';
import type { VersionView } from '../../agent/api/contract.ts';
import { VERSION } from '../../agent/version.ts';
import type { Io } from '../io.ts';
import { printValue } from '../output/print.ts';
import { examples, printing, withSession } from '../session.ts';

export function metricsCommand(io: Io): Command {
  const command = new Command('metrics').description("the agent's metrics, in Prometheus' text format");
  return examples(command.option('--match <text>', 'only lines that contain this'), [
    ['metrics', 'all, also where the HTTP listener is off'],
    ['metrics --match sallyport_policy', 'some'],
  ]).action((options: { match?: string }, self: Command) =>
    withSession(io, self, async (session) => {
      const text = await session.client.text('/v1/metrics');
      const { match } = options;
      if (match === undefined) return await io.write(text);
      const lines = text.split('\n').filter((line) => line.includes(match));
      await io.write(lines.map((line) => `${line}\n`).join(''));
    }),
  );
}

export function versionCommand(io: Io): Command {
  const command = new Command('version').description("this program's version, and the agent's where it answers");
  return examples(printing(command).option('--client', 'only this program; ask nobody'), [
    ['version', 'both'],
    ['version --client -o json', 'for programs'],
  ]).action((options: { client?: boolean }, self: Command) =>
    withSession(io, self, async (session) => {
      const client = { version: VERSION, node: process.version };
      const agent = options.client
        ? undefined
        : await session.client.get<VersionView>('/v1/version').catch(() => undefined);
      if (await printValue(io, { client, ...(agent === undefined ? {} : { agent }) }, session)) return;
      await io.write(`sallyport ${client.version} (Node.js ${client.node})\n`);
      if (agent !== undefined) {
        await io.write(`agent     ${agent.version} on ${agent.node}, kernel ${agent.kernel}, pid ${agent.pid}\n`);
      } else if (!options.client) io.complain('The agent does not answer.');
    }),
  );
}
