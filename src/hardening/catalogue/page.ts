/** The page of the catalogue, in Markdown. */
import type { ReadyRule } from '../../model/hardening.ts';
import { CAPABILITIES } from './capabilities.ts';
import { describeTargets } from './describe.ts';
import { READY_GROUPS, READY_RULES, READY_SETS } from './index.ts';
import { linkName } from './links.ts';
import { UNTRIED } from './untried.ts';

const HEADINGS: Readonly<Record<ReadyRule['group'], readonly [title: string, about: string]>> = {
  baseline: ['Baseline', 'What no ordinary container has to do to its host.'],
  shield: [
    'Shields',
    'What makes a weakness of the application worth less to who found it. Many are best used with `executables`.',
  ],
  host: ['Host', 'Sockets, mounts, credentials and processes of the host; how an intruder stays and covers traces.'],
  kernel: ['Kernel', 'Calls and files that applications hardly need, and exploits do.'],
  execution: ['Execution', 'What may be run, and from where.'],
  network: ['Network', 'Families of sockets with exploits behind them, and services that hand out credentials.'],
  capabilities: ['Capabilities', 'Sets of capabilities, and each by itself.'],
};

/** Markdown; ends with a newline. */
export function cataloguePage(): string {
  return [
    '# Catalogue of ready rules',
    '',
    '<!-- Generated from src/hardening/catalogue/ by src/hardening/catalogue/generate.ts --write. -->',
    '',
    'Rules of hardening policies name these in `ready`. Names never change their meaning. `sallyport profile catalogue`',
    'lists them, `sallyport profile show NAME` prints one; [hardening.md](hardening.md) tells how to use them.',
    '',
    `${READY_RULES.size - UNTRIED.size} of the ${READY_RULES.size} rules are tried on real kernels, each with an attack that it stops, other ways to the same, and what`,
    'must go on beside it; why the others are not stands with them.',
    '',
    'Groups can be named where a rule can. They may gain members with a new version:',
    '',
    ...[...READY_SETS].map(([name, members]) => `- \`${name}\`: ${members.length} rules`),
    '',
    `\`recommended\` is what stops most and breaks least: ${[...(READY_SETS.get('recommended') ?? [])].map((name) => `[${name}](#${name})`).join(', ')}.`,
    '',
    ...READY_GROUPS.flatMap(section),
  ].join('\n');
}

function section(group: ReadyRule['group']): string[] {
  const rules = [...READY_RULES.values()].filter((rule) => rule.group === group);
  const [title, about] = HEADINGS[group];
  const single = rules.filter(({ name }) => isSingle(name));
  const others = rules.filter(({ name }) => !isSingle(name));
  return [
    `## ${title}`,
    '',
    about,
    '',
    '| Rule | Severity | |',
    '| --- | --- | --- |',
    ...others.map(({ name, severity, title: what }) => `| [\`${name}\`](#${name}) | ${severity} | ${what} |`),
    '',
    ...others.flatMap(entry),
    ...(single.length === 0 ? [] : singles()),
  ];
}

function entry(rule: ReadyRule): string[] {
  return [
    `### ${rule.name}`,
    '',
    `${rule.stops} ${rule.breaks}`,
    '',
    ...describeTargets(rule.targets).map(({ what, list, except }) => {
      const items = list.map((item) => `\`${item}\``).join(', ');
      const but = except.length === 0 ? '' : `; not ${except.map((item) => `\`${item}\``).join(', ')}`;
      return `- ${what}${items === '' ? '' : `: ${items}`}${but}`;
    }),
    '',
    `Severity ${rule.severity}. ${tried(rule)} ${links(rule)}`,
    '',
  ];
}

function tried({ name }: ReadyRule): string {
  const reason = UNTRIED.get(name);
  return reason === undefined ? 'Tried.' : `Not tried: ${reason}.`;
}

const links = (rule: ReadyRule): string => rule.links.map((link) => `[${linkName(link)}](${link})`).join(', ');

const isSingle = (name: string): boolean =>
  CAPABILITIES.some((one) => name.endsWith(`no-capability-${one}`) || name === `no-userns-capability-${one}`);

/** Of the rule on the container, and of that on its user namespaces. */
function triedWhere(outside: ReadyRule, inside: ReadyRule): string {
  const [there, here] = [tried(inside), tried(outside)];
  return there === here ? there : `${here} In user namespaces: ${there.charAt(0).toLowerCase()}${there.slice(1)}`;
}

/** Two rules for each capability, in one table: they differ in where it is used. */
function singles(): string[] {
  const rows = CAPABILITIES.flatMap((capability) => {
    const rule = READY_RULES.get(`no-capability-${capability}`);
    const inside = READY_RULES.get(`no-userns-capability-${capability}`);
    if (rule === undefined || inside === undefined) return [];
    const [, grants = ''] = /: (.*)\.$/.exec(rule.stops) ?? [];
    return [
      `| \`${rule.name}\`, \`${inside.name}\` | ${rule.severity}, ${inside.severity} | ${grants} | ${rule.breaks} | ${triedWhere(rule, inside)} |`,
    ];
  });
  return [
    '### Each capability',
    '',
    '`no-capability-…` stops its use by the container itself, `no-userns-capability-…` that in user namespaces the',
    'container makes. What some capabilities are for the kernel never grants there; their rules then change nothing.',
    '',
    '| Rules | Severity | What it grants | | |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ];
}
