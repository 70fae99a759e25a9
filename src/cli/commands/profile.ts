import type { Command } from 'commander';
import { AgentError } from '../../agent/errors.ts';
import type { ReadyRule } from '../../model/hardening.ts';
import type { Io } from '../io.ts';
import { printList, printOne, type Resource } from '../output/print.ts';
import { examples, group, namespaced, printing, withPrinting, withSession } from '../session.ts';
import { applyCommand } from './policy.ts';
import { profileDiffCommand } from './profile-diff.ts';
import { profileExplainCommand } from './profile-explain.ts';
import { profileLearnCommand } from './profile-learn.ts';
import { type ShowOptions, showOptions, showWorkload } from './profile-show.ts';
import { profileStatusCommand } from './profile-status.ts';

const SEVERITY_COLORS = { critical: 'red', high: 'red', medium: 'yellow', low: undefined } as const;

const READY: Resource<ReadyRule> = {
  kind: 'ready',
  name: (rule) => rule.name,
  columns: [
    { header: 'NAME', value: (rule) => rule.name },
    { header: 'GROUP', value: (rule) => rule.group },
    { header: 'SEVERITY', value: (rule) => rule.severity, color: (rule) => SEVERITY_COLORS[rule.severity] },
    { header: 'STOPS', value: (rule) => rule.stops },
    { header: 'MAY BREAK', wide: true, value: (rule) => rule.breaks },
    { header: 'LINKS', wide: true, value: (rule) => rule.links.join(' ') },
  ],
};

function catalogueCommand(io: Io): Command {
  const command = group('catalogue', 'list the ready rules that policies can name').argument(
    '[group]',
    'only this group of them',
  );
  return examples(printing(command), [
    ['profile catalogue', 'all'],
    ['profile catalogue recommended', 'what stops most and breaks least'],
    ['profile catalogue -o wide', 'with what each may break'],
  ]).action((name: string | undefined, _options, self: Command) =>
    withPrinting(io, self, async (session) => {
      const { READY_RULES, READY_SETS } = await import('../../hardening/catalogue/index.ts');
      const names = name === undefined ? undefined : READY_SETS.get(name);
      if (name !== undefined && names === undefined) {
        throw new AgentError('NOT_FOUND', `There is no group "${name}"`, {
          hint: `there are ${[...READY_SETS.keys()].join(', ')}`,
        });
      }
      const rules = [...READY_RULES.values()].filter((rule) => names === undefined || names.includes(rule.name));
      await printList(io, READY, rules, session);
    }),
  );
}

function showCommand(io: Io): Command {
  const command = group('show', "show a ready rule, or a workload's policies as one profile").argument(
    '<name>',
    'ready rule; or workload, or one container of it: name[container]',
  );
  return examples(namespaced(showOptions(printing(command))), [
    ['profile show no-kernel-modules -o yaml', 'a ready rule, with what it is about'],
    ['profile show web', 'the profile of a workload, by the policies in force'],
    ['profile show shop/Service/web -f policies/ -o yaml', 'by files, with no agent'],
  ]).action((name: string, options: ShowOptions, self: Command) =>
    withSession(io, self, async (session) => {
      const { READY_RULES } = await import('../../hardening/catalogue/index.ts');
      const ready = READY_RULES.get(name);
      if (ready === undefined) return await showWorkload(io, session, name, options);
      await printOne(io, READY, ready, { ...session, output: session.output === 'table' ? 'wide' : session.output });
    }),
  );
}

export function profileCommand(io: Io): Command {
  return group('profile', 'what containers may do to their host')
    .alias('profiles')
    .addCommand(profileStatusCommand(io))
    .addCommand(catalogueCommand(io))
    .addCommand(showCommand(io))
    .addCommand(applyCommand(io, 'profile'))
    .addCommand(profileDiffCommand(io))
    .addCommand(profileExplainCommand(io))
    .addCommand(profileLearnCommand(io));
}
