import { Command, Option } from 'commander';
import { AgentError } from '../../agent/errors.ts';
import type { ReadyRule } from '../../model/hardening.ts';
import type { Io } from '../io.ts';
import { type PrintOptions, printList, printValue, type Resource } from '../output/print.ts';
import { safe } from '../output/text.ts';
import { examples, printing, withPrinting } from '../session.ts';

const SEVERITIES = ['critical', 'high', 'medium', 'low'] as const;
const COLORS = { critical: 'red', high: 'red', medium: 'yellow', low: undefined } as const;

const READY: Resource<ReadyRule> = {
  kind: 'ready',
  name: (rule) => rule.name,
  columns: [
    { header: 'NAME', value: (rule) => rule.name },
    { header: 'GROUP', value: (rule) => rule.group },
    { header: 'SEVERITY', value: (rule) => rule.severity, color: (rule) => COLORS[rule.severity] },
    { header: 'TITLE', value: (rule) => rule.title },
    { header: 'STOPS', wide: true, value: (rule) => rule.stops },
    { header: 'MAY BREAK', wide: true, value: (rule) => rule.breaks },
    { header: 'LINKS', wide: true, value: (rule) => rule.links.join(' ') },
  ],
};

interface CatalogueOptions {
  readonly group?: string;
  readonly severity?: ReadyRule['severity'];
}

/** `profile catalogue`: asks nobody. */
export function catalogueCommand(io: Io): Command {
  const command = new Command('catalogue')
    .description('list the ready rules that policies can name')
    .argument('[group]', 'only this group of them')
    .option('--group <group>', 'the same')
    .addOption(new Option('--severity <severity>', 'only these, and worse').choices(SEVERITIES));
  return examples(printing(command), [
    ['profile catalogue', 'all'],
    ['profile catalogue recommended', 'what stops most and breaks least'],
    ['profile catalogue --severity critical -o wide', 'the worst, with what each may break'],
  ]).action((argument: string | undefined, options: CatalogueOptions, self: Command) =>
    withPrinting(io, self, async (session) => {
      const rules = await rulesOf(argument ?? options.group);
      const most = SEVERITIES.indexOf(options.severity ?? 'low');
      const wanted = rules.filter(({ severity }) => SEVERITIES.indexOf(severity) <= most);
      await printList(io, READY, wanted, session);
    }),
  );
}

/** @throws AgentError NOT_FOUND */
async function rulesOf(group: string | undefined): Promise<readonly ReadyRule[]> {
  const { READY_RULES, READY_SETS } = await import('../../hardening/catalogue/index.ts');
  const all = [...READY_RULES.values()];
  if (group === undefined) return all;
  const names = READY_SETS.get(group);
  if (names !== undefined) return all.filter(({ name }) => names.includes(name));
  const members = all.filter((rule) => rule.group === group);
  if (members.length > 0) return members;
  throw new AgentError('NOT_FOUND', `There is no group "${group}"`, {
    hint: `there are ${[...READY_SETS.keys(), 'capabilities'].join(', ')}`,
  });
}

/** Prints one ready rule as `kubectl explain` does a field. */
export async function showReadyRule(io: Io, rule: ReadyRule, options: PrintOptions): Promise<void> {
  if (await printValue(io, rule, options)) return;
  if (options.output === 'name') return await io.write(`${safe(`${READY.kind}/${rule.name}`)}\n`);
  const { describeTargets } = await import('../../hardening/catalogue/describe.ts');
  const { groupsOf } = await import('../../hardening/catalogue/index.ts');
  const lines = [
    `NAME:      ${rule.name}`,
    `TITLE:     ${rule.title}`,
    `SEVERITY:  ${rule.severity}`,
    `GROUPS:    ${groupsOf(rule.name).join(', ')}`,
    '',
    'DESCRIPTION:',
    `     ${rule.stops}`,
    `     ${rule.breaks}`,
    '',
    'ABOUT:',
    ...describeTargets(rule.targets).flatMap(({ what, list, except }) => [
      `     ${what}`,
      ...list.map((item) => `       ${item}`),
      ...except.map((item) => `       but not ${item}`),
    ]),
    '',
    'SEE ALSO:',
    ...rule.links.map((link) => `     ${link}`),
  ];
  await io.write(`${lines.map(safe).join('\n')}\n`);
}
