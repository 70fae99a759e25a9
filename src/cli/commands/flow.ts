import type { Command } from 'commander';
import type { FlowEndView, FlowView } from '../../agent/api/contract.ts';
import { formatAge } from '../../agent/duration.ts';
import { shortId } from '../../agent/identifiers.ts';
import type { Io } from '../io.ts';
import { printList, printStream, type Resource } from '../output/print.ts';
import { humanBytes } from '../output/text.ts';
import { examples, group, limit, printing, withSession } from '../session.ts';
import { EVENT, type FilterOptions, printFollowed, VERDICT_COLORS } from './event.ts';

function end(party: FlowEndView): string {
  const address = party.address.includes(':') ? `[${party.address}]` : party.address;
  const who = party.container === undefined ? party.name : `${party.name}[${party.container}]`;
  return `${who} ${address}:${party.port}`;
}

function ruleText(rule: { readonly policy: string; readonly name: string } | undefined): string {
  return rule === undefined ? '' : `${rule.policy}#${rule.name}`;
}

function flowResource(io: Io): Resource<FlowView> {
  const ago = (time: string): string => formatAge(io.now() - Date.parse(time));
  return {
    kind: 'flow',
    name: (flow) => `${flow.protocol}/${end(flow.source)}/${end(flow.destination)}`,
    columns: [
      { header: 'PROTOCOL', value: (flow) => flow.protocol },
      { header: 'SOURCE', value: (flow) => end(flow.source) },
      { header: 'DESTINATION', value: (flow) => end(flow.destination) },
      { header: 'AT', value: (flow) => flow.direction },
      { header: 'VERDICT', value: (flow) => flow.verdict, color: (flow) => VERDICT_COLORS[flow.verdict] },
      { header: 'RULE', value: (flow) => ruleText(flow.rule) },
      {
        header: 'STAGED',
        value: (flow) =>
          flow.staged === undefined ? '' : `${flow.staged.verdict} ${ruleText(flow.staged.rule)}`.trim(),
      },
      { header: 'STATE', value: (flow) => `${flow.state}${flow.current ? '' : '*'}` },
      { header: 'PACKETS', value: (flow) => `${flow.forward.packets}/${flow.backward.packets}`, right: true },
      {
        header: 'BYTES',
        value: (flow) => `${humanBytes(flow.forward.bytes)}/${humanBytes(flow.backward.bytes)}`,
        right: true,
      },
      { header: 'SEEN', value: (flow) => ago(flow.seenAt), right: true },
      { header: 'AGE', wide: true, value: (flow) => ago(flow.createdAt), right: true },
      { header: 'ADOPTED', wide: true, value: (flow) => String(flow.adopted) },
      { header: 'ENDPOINT', wide: true, value: (flow) => shortId(flow.endpoint) },
    ],
  };
}

const filters = (command: Command): Command =>
  command
    .option('--verdict <verdicts>', 'only these, with commas: Allow,Deny,Alert')
    .option('--about <name>', 'only about this endpoint id or namespace/kind/name');

export function flowCommand(io: Io): Command {
  const command = group('flow', 'conversations as the kernel counts them').alias('flows');
  const list = command
    .command('list')
    .alias('ls')
    .description('list flows; a * behind the state: decided under a policy that has changed since');
  examples(filters(printing(list)), [
    ['flow list', 'all, the last seen first'],
    ['flow list --about shop/Service/web --verdict Deny', 'what one workload was refused'],
    ['flow list -o json | jq ".[] | select(.rule == null)"', 'what no rule decided'],
  ])
    .addOption(limit())
    .action((options: FilterOptions & { limit: number }, self: Command) =>
      withSession(io, self, async (session) => {
        const query = { verdicts: options.verdict, about: options.about, limit: options.limit };
        await printList(io, flowResource(io), await session.client.get<FlowView[]>('/v1/flows', query), session);
      }),
    );
  const follow = command
    .command('follow')
    .alias('watch')
    .description('print judged packets as they come, allowed ones too, until Ctrl-C');
  examples(filters(printing(follow)), [
    ['flow follow', 'first packets of flows, and every refused one'],
    ['flow follow --about shop/Service/web -o json', 'of one workload, one JSON object a line'],
  ]).action((options: FilterOptions, self: Command) =>
    withSession(io, self, (session) =>
      printFollowed(
        io,
        session.client.follow('/v1/flows/follow', {
          types: 'verdict,drop',
          verdicts: options.verdict,
          about: options.about,
        }),
        printStream(io, EVENT, session),
      ),
    ),
  );
  return command;
}
