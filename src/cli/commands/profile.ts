import type { Command } from 'commander';
import type { Io } from '../io.ts';
import { examples, group, namespaced, printing, withSession } from '../session.ts';
import { applyCommand } from './policy.ts';
import { catalogueCommand, showReadyRule } from './profile-catalogue.ts';
import { profileDiffCommand } from './profile-diff.ts';
import { profileExplainCommand } from './profile-explain.ts';
import { profileLearnCommand } from './profile-learn.ts';
import { type ShowOptions, showOptions, showWorkload } from './profile-show.ts';
import { profileStatusCommand } from './profile-status.ts';

function showCommand(io: Io): Command {
  const command = group('show', "show a ready rule, or a workload's policies as one profile").argument(
    '<name>',
    'ready rule; or workload, or one container of it: name[container]',
  );
  return examples(namespaced(showOptions(printing(command))), [
    ['profile show no-module-load', 'a ready rule: what it stops, what it may break, what it is about'],
    ['profile show web', 'the profile of a workload, by the policies in force'],
    ['profile show shop/Service/web -f policies/ -o yaml', 'by files, with no agent'],
  ]).action((name: string, options: ShowOptions, self: Command) =>
    withSession(io, self, async (session) => {
      const { READY_RULES } = await import('../../hardening/catalogue/index.ts');
      const ready = READY_RULES.get(name);
      if (ready === undefined) return await showWorkload(io, session, name, options);
      await showReadyRule(io, ready, session);
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
