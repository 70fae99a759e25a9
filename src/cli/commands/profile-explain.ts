import { Command } from 'commander';
import { AgentError, EXIT } from '../../agent/errors.ts';
import type { Answer, Saying } from '../../hardening/answer.ts';
import type { Io } from '../io.ts';
import { printValue } from '../output/print.ts';
import { paint, safe } from '../output/text.ts';
import { readPolicyFiles } from '../policy-input.ts';
import { examples, namespaced, printing, withSession } from '../session.ts';
import { VERDICT_COLORS } from './event.ts';
import { collect, type FileOptions, fileOption } from './files.ts';

interface ExplainOptions extends FileOptions {
  readonly label?: readonly string[];
  readonly by?: readonly string[];
}

/** What is printed as data. */
interface Explained {
  readonly workload: string;
  readonly action: string;
  readonly verdict: string;
  readonly enforced: Saying;
  readonly staged?: Saying;
  /** Names of the policies that select the workload. */
  readonly policies: readonly string[];
}

const WAYS = `
Actions:
  file read|write|create|delete|attributes|mount PATH
  exec PATH                          capability NAME [user-namespace]
  rename FROM TO [directory]         operation NAME
  unix connect|bind PATH|@NAME       mount OPERATION [FILESYSTEM]
  socket FAMILY [TYPE [PROTOCOL]]    connect ADDRESS PORT [PROTOCOL]`;

export function profileExplainCommand(io: Io): Command {
  const command = new Command('explain')
    .description(`say which rule decides what a workload may do to its host; exit ${EXIT.DENIED} if it is denied`)
    .argument('<workload>', 'workload, or one container of it: name[container]')
    .argument('<action...>', 'what it would do; see below')
    .option('--by <path>', 'an executable that does it, or has started what does; may be given again', collect)
    .option('--label <key=value>', 'a label of the workload, with -f; may be given again', collect)
    .addHelpText('after', WAYS);
  return examples(namespaced(fileOption(printing(command))), [
    ['profile explain web file write /etc/passwd', 'by the policies in force'],
    ['profile explain web capability SYS_ADMIN', 'and so on; see above'],
    ['profile explain shop/Service/web exec /bin/sh -f policies/', 'by files, with no agent'],
    ['profile explain web operation bpf -o json', 'for programs'],
  ]).action((workload: string, words: readonly string[], options: ExplainOptions, self: Command) =>
    withSession(io, self, async (session) => {
      const { answer } = await import('../../hardening/answer.ts');
      const { formatQuestion, parseQuestion } = await import('../../hardening/question.ts');
      const { hardenedBy, knownIdentity, namedIdentity, nameOf, policiesInForce, policiesOf } = await import(
        '../hardening/policies.ts'
      );
      const question = parseQuestion(words);
      if ('problem' in question)
        throw new AgentError('USAGE', question.problem, { hint: 'see --help for the actions' });
      const offline = options.filename !== undefined;
      const all = offline
        ? policiesOf(await readPolicyFiles(io, options.filename ?? []))
        : await policiesInForce(session.client);
      const identity = offline
        ? namedIdentity(workload, options.label ?? [], session.namespace)
        : await knownIdentity(session.client, workload, session.namespace);
      const { policies, profile } = hardenedBy(all, identity);
      const found = answer(profile, policies, question, options.by ?? []);
      const view: Explained = {
        workload: nameOf(identity),
        action: formatQuestion(question),
        verdict: found.enforced.verdict,
        ...found,
        policies: policies.map(({ namespace, name }) => (namespace === '' ? name : `${namespace}/${name}`)).sort(),
      };
      if (!(await printValue(io, view, session))) await io.write(`${text(io, view, found)}\n`);
      if (view.verdict === 'Deny') io.answer(EXIT.DENIED);
    }),
  );
}

function text(io: Io, { workload, action, policies }: Explained, { enforced, staged }: Answer): string {
  const lines = [safe(`${workload}: ${action}`), `  ${saying(io, enforced)}`];
  if (staged !== undefined) lines.push(`  if the staged policies were enforced: ${saying(io, staged)}`);
  lines.push(
    policies.length === 0
      ? '  no hardening policy selects it'
      : safe(`  policies that select it: ${policies.join(', ')}`),
  );
  return lines.join('\n');
}

function saying(io: Io, { verdict, rule, defaultOf = [] }: Saying): string {
  const word = paint(verdict, VERDICT_COLORS[verdict], io.color);
  if (rule === undefined) {
    return defaultOf.length === 0
      ? `${word}: no rule is about it`
      : safe(`${verdict}: no rule is about it; default of ${defaultOf.join(', ')}`).replace(verdict, word);
  }
  const { namespace, policy, rule: name, ready, priority, mode } = rule;
  const from = namespace === '' ? policy : `${namespace}/${policy}`;
  const which = ready === undefined ? '' : `, ready rule ${ready}`;
  const staged = mode === 'Stage' ? ', staged' : '';
  return `${word}: ${safe(`rule "${name}" of ${from}${which}, priority ${priority}${staged}`)}`;
}
