import type { Command } from 'commander';
import type { Io } from '../io.ts';
import { printValue } from '../output/print.ts';
import { safe } from '../output/text.ts';
import { readPolicyFiles } from '../policy-input.ts';
import type { Session } from '../session.ts';
import { collect, type FileOptions, fileOption } from './files.ts';

export interface ShowOptions extends FileOptions {
  readonly label?: readonly string[];
}

/** Adds what a workload's profile is made from where no agent is asked. */
export function showOptions(command: Command): Command {
  return fileOption(command).option(
    '--label <key=value>',
    'a label of the workload, with -f; may be given again',
    collect,
  );
}

/** Prints the HardeningProfile of a workload: all its policies as one, in the order in which rules decide. */
export async function showWorkload(io: Io, session: Session, name: string, options: ShowOptions): Promise<void> {
  const { hardenedBy, knownIdentity, namedIdentity, policiesInForce, policiesOf } = await import(
    '../hardening/policies.ts'
  );
  const { formatProfileRule } = await import('../../hardening/document.ts');
  const offline = options.filename !== undefined;
  const all = offline
    ? policiesOf(await readPolicyFiles(io, options.filename ?? []))
    : await policiesInForce(session.client);
  const identity = offline
    ? namedIdentity(name, options.label ?? [], session.namespace)
    : await knownIdentity(session.client, name, session.namespace);
  const { document } = hardenedBy(all, identity);
  if (await printValue(io, document, session)) return;
  if (session.output === 'name') return await io.write(`${safe(`hardeningprofile/${document.metadata.name}`)}\n`);
  const { policies, defaults, stagedDefaults = {}, rules } = document.spec;
  const words = (all: object): string =>
    Object.entries(all)
      .map(([posture, action]) => `${posture} ${action}`)
      .join(', ') || 'all allowed';
  const lines = [
    `workload   ${document.metadata.name}`,
    `profile    ${document.status.profile}, ${document.status.size.states} states, ${document.status.size.pages} pages`,
    `policies   ${policies.map((policy) => `${policy.name}${policy.mode === 'Stage' ? ' (staged)' : ''}`).join(', ') || 'none'}`,
    `defaults   ${words(defaults)}`,
    ...(Object.keys(stagedDefaults).length === 0 ? [] : [`           staged: ${words(stagedDefaults)}`]),
    ...rules.map((rule) => `  ${formatProfileRule(rule)}`),
  ];
  await io.write(`${lines.map(safe).join('\n')}\n`);
}
