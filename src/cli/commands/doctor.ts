import { Command } from 'commander';
import { EXIT } from '../../agent/errors.ts';
import { type Check, healthy, judge } from '../doctor/judge.ts';
import type { Io } from '../io.ts';
import { printList, type Resource } from '../output/print.ts';
import type { Color } from '../output/text.ts';
import { examples, printing, withPrinting } from '../session.ts';
import { addConfigOptions, type ConfigOptions, readConfig } from '../settings.ts';

const COLORS: Readonly<Record<Check['state'], Color | undefined>> = {
  ok: 'green',
  info: undefined,
  warn: 'yellow',
  fail: 'red',
};

const CHECK: Resource<Check> = {
  kind: 'check',
  name: (check) => check.name,
  columns: [
    { header: 'CHECK', value: (check) => check.name },
    { header: 'STATE', value: (check) => check.state, color: (check) => COLORS[check.state] },
    { header: 'FOUND', value: (check) => check.found },
    { header: 'HINT', value: (check) => check.hint ?? '' },
  ],
};

export function doctorCommand(io: Io): Command {
  const command = new Command('doctor').description(
    `what this node can do, what will be used and why; exit ${EXIT.FAILED} where the agent cannot work`,
  );
  return examples(addConfigOptions(printing(command)), [
    ['doctor', 'kernel, mounts, privileges, runtimes'],
    ['doctor -o json', 'for programs'],
  ]).action((options: ConfigOptions, self: Command) =>
    withPrinting(io, self, async (session) => {
      const { config } = await readConfig(io, options);
      const { gatherFacts } = await import('../doctor/facts.ts');
      const checks = judge(await gatherFacts(config));
      await printList(io, CHECK, checks, session);
      if (!healthy(checks)) io.answer(EXIT.FAILED);
    }),
  );
}
