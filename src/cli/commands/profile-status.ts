import { Command } from 'commander';
import type { StatusView } from '../../agent/api/contract.ts';
import type { ProfileDetailView, ProfileRuleView, ProfileView } from '../../agent/api/profile-contract.ts';
import { formatAge } from '../../agent/duration.ts';
import { EXIT } from '../../agent/errors.ts';
import { shortId } from '../../agent/identifiers.ts';
import type { Io } from '../io.ts';
import { printList, printValue, type Resource } from '../output/print.ts';
import { formatTable } from '../output/table.ts';
import { type Color, humanCount, paint, safe } from '../output/text.ts';
import { examples, namespaced, printing, type Session, withSession } from '../session.ts';

const standing = (profile: ProfileView): string => (profile.enforced ? 'enforced' : 'not enforced');
const color = (profile: ProfileView): Color => (profile.enforced ? 'green' : 'red');

const PROFILE: Resource<ProfileView> = {
  kind: 'profile',
  name: (profile) => profile.id,
  columns: [
    { header: 'NAMESPACE', value: (profile) => profile.namespace },
    { header: 'KIND', value: (profile) => profile.kind },
    { header: 'NAME', value: (profile) => profile.name },
    { header: 'CONTAINER', value: (profile) => profile.container },
    { header: 'STATUS', value: standing, color },
    { header: 'IN KERNEL', value: (profile) => profile.inKernel ?? '' },
    { header: 'RULES', value: (profile) => String(profile.rules), right: true },
    { header: 'TASKS', value: (profile) => String(profile.tasks), right: true },
    { header: 'VIOLATIONS', value: (profile) => humanCount(profile.violations), right: true },
    { header: 'ID', value: (profile) => shortId(profile.id) },
    { header: 'WANTED', wide: true, value: (profile) => profile.wanted ?? '' },
    { header: 'POLICIES', wide: true, value: (profile) => profile.policies.join(',') },
    { header: 'PAGES', wide: true, value: (profile) => String(profile.pages), right: true },
    { header: 'REASON', wide: true, value: (profile) => profile.error ?? '' },
  ],
};

function ruleResource(io: Io): Resource<ProfileRuleView> {
  return {
    kind: 'rule',
    name: (rule) => String(rule.id),
    columns: [
      { header: 'POLICY', value: (rule) => rule.policy },
      { header: 'RULE', value: (rule) => rule.name },
      { header: 'READY', value: (rule) => rule.ready ?? '' },
      { header: 'ACTION', value: (rule) => rule.action },
      { header: 'MODE', value: (rule) => rule.mode },
      { header: 'VIOLATIONS', value: (rule) => humanCount(rule.violations), right: true },
      { header: 'LAST', value: ({ lastAt }) => (lastAt === undefined ? '' : formatAge(io.now() - Date.parse(lastAt))) },
    ],
  };
}

export function profileStatusCommand(io: Io): Command {
  const command = new Command('status')
    .description(
      `prove for each container which profile is in the kernel for it, read back from there; exit ${EXIT.FAILED} if one is not enforced`,
    )
    .argument('[container]', 'only this one: workload, name or id; with its rules and how often they were violated');
  return examples(namespaced(printing(command)), [
    ['profile status', 'all containers that hardening policies select'],
    ['profile status web', 'one, with its rules'],
    ['profile status -o wide', 'with reasons, policies and the profiles that are wanted'],
    ['profile status -o json', 'for programs'],
  ]).action((name: string | undefined, _options, self: Command) =>
    withSession(io, self, async (session) => {
      const query = { namespace: session.namespace };
      if (name === undefined) {
        const profiles = await session.client.get<ProfileView[]>('/v1/profiles', query);
        await printList(io, PROFILE, profiles, session);
        await warn(io, session);
        if (profiles.some(({ enforced }) => !enforced)) io.answer(EXIT.FAILED);
        return;
      }
      const path = `/v1/profiles/${encodeURIComponent(name)}`;
      const profile = await session.client.get<ProfileDetailView>(path, query);
      if (!(await printValue(io, profile, session))) await io.write(detail(io, session, profile));
      if (!profile.enforced) io.answer(EXIT.FAILED);
    }),
  );
}

/** What is true of all of them stands beside the list. */
async function warn(io: Io, { client }: Session): Promise<void> {
  const { hardening } = await client.get<StatusView>('/v1/status');
  if (!hardening.active)
    io.complain(`not enforced: ${safe(hardening.reason ?? 'the kernel does not judge')}; see "sallyport doctor"`);
  for (const { hook, why } of hardening.missing) io.complain(safe(`what ${hook} guards is not guarded: ${why}`));
}

function detail(io: Io, session: Session, profile: ProfileDetailView): string {
  const { namespace, kind, name, container, inKernel, wanted, tasks, size, error } = profile;
  const state = paint(standing(profile), color(profile), io.color);
  const lines = [
    `container   ${safe(`${namespace}/${kind}/${name}[${container}]`)} ${shortId(profile.id)}, pid ${profile.pid}`,
    `status      ${state}${error === undefined ? '' : `: ${safe(error)}`}`,
    `in kernel   ${inKernel ?? 'nothing'}, wanted ${wanted ?? 'nothing'}, judges ${tasks} threads`,
    `policies    ${safe(profile.policies.join(', ')) || 'none any more: all is allowed'}`,
    `size        ${size.states} states, ${size.cells} cells, ${size.pages} pages`,
    ...(profile.executables.length === 0 ? [] : [`executables ${safe(profile.executables.join(', '))}`]),
    ...(profile.otherViolations === 0 ? [] : [`defaults    violated ${profile.otherViolations} times`]),
  ];
  const options = { wide: session.output === 'wide', headers: session.headers, color: io.color };
  const rules =
    profile.ruleList.length === 0 ? '' : `\n${formatTable(ruleResource(io).columns, profile.ruleList, options)}`;
  return `${lines.join('\n')}\n${rules}`;
}
