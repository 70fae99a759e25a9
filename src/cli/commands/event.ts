import type { Command } from 'commander';
import type { DigestView, HeartbeatLine } from '../../agent/api/contract.ts';
import { formatAge } from '../../agent/duration.ts';
import {
  type Event,
  isTraffic,
  isViolation,
  type LostEvent,
  type Party,
  type RuleReference,
} from '../../events/event.ts';
import { summary } from '../../events/summary.ts';
import type { Io } from '../io.ts';
import { printList, printStream, type Resource } from '../output/print.ts';
import type { Color } from '../output/text.ts';
import { examples, group, limit, printing, withSession } from '../session.ts';

export const VERDICT_COLORS: Readonly<Record<string, Color>> = { Deny: 'red', Alert: 'yellow', Allow: 'green' };

function end(party: Party): string {
  const address = party.address.includes(':') ? `[${party.address}]` : party.address;
  const who = party.container === undefined ? party.name : `${party.name}[${party.container}]`;
  return `${who} ${address}:${party.port}`;
}

const ruleName = ({ policy, name, id }: RuleReference): string => `${policy}#${name || id}`;

function cause(event: Event): string {
  if (!isTraffic(event) && !isViolation(event)) return event.message;
  const name = event.rule === undefined ? 'no policy' : ruleName(event.rule);
  const rule = event.staged?.rule;
  const staged =
    event.staged === undefined
      ? ''
      : ` staged:${event.staged.verdict}${rule === undefined ? '' : ` ${ruleName(rule)}`}`;
  return `${event.type === 'drop' ? (event.reason ?? '') : name}${staged}`;
}

const what = (event: Event): string => (isTraffic(event) || isViolation(event) ? event.verdict : event.action);
const color = (event: Event): Color | undefined => {
  if (isTraffic(event) || isViolation(event)) return VERDICT_COLORS[event.verdict];
  return event.severity === 'error' ? 'red' : event.severity === 'warning' ? 'yellow' : undefined;
};

function from(event: Event): string {
  if (isTraffic(event)) return end(event.source);
  if (isViolation(event)) return `${event.workload}[${event.container}] ${event.executable ?? ''}`;
  return event.subject;
}

function to(event: Event): string {
  if (isTraffic(event)) return end(event.destination);
  return isViolation(event) ? `${event.action} ${event.object ?? ''}` : '';
}

/** Fixed widths where rows come one at a time. */
const pad = (width: number, text: string): string => text.padEnd(width);

export const EVENT: Resource<Event> = {
  kind: 'event',
  name: (event) => String(event.sequence),
  columns: [
    { header: 'TIME                    ', value: (event) => event.time },
    { header: 'TYPE   ', value: (event) => pad(8, event.type) },
    { header: 'WHAT    ', value: (event) => pad(8, what(event)), color },
    { header: 'DIRECTION', value: (event) => pad(9, isTraffic(event) ? event.direction : '') },
    {
      header: 'PROTOCOL',
      value: (event) => pad(8, isTraffic(event) ? event.protocol : isViolation(event) ? event.class : ''),
    },
    { header: 'SOURCE', value: (event) => pad(44, from(event)) },
    { header: 'DESTINATION', value: (event) => pad(44, to(event)) },
    { header: 'WHY', value: cause },
  ],
};

function digestResource(io: Io): Resource<DigestView> {
  const ago = (time: string): string => formatAge(io.now() - Date.parse(time));
  return {
    kind: 'event',
    name: ({ event }) => String(event.sequence),
    columns: [
      { header: 'LAST', value: (entry) => ago(entry.last) },
      { header: 'FIRST', value: (entry) => ago(entry.first) },
      { header: 'COUNT', value: (entry) => String(entry.count), right: true },
      { header: 'TYPE', value: ({ event }) => event.type },
      { header: 'WHAT', value: ({ event }) => what(event), color: ({ event }) => color(event) },
      { header: 'EVENT', value: ({ event }) => summary(event) },
    ],
  };
}

/** Prints a stream until it ends; says on the error stream what was lost. */
export async function printFollowed(
  io: Io,
  batches: AsyncIterable<readonly (Event | LostEvent | HeartbeatLine)[]>,
  print: (events: readonly Event[]) => Promise<void>,
): Promise<void> {
  for await (const batch of batches) {
    const events: Event[] = [];
    for (const line of batch) {
      if (line.type === 'lost')
        io.complain(`${line.count} events were lost here: they came faster than they were read`);
      else if (line.type !== 'heartbeat') events.push(line);
    }
    if (events.length > 0) await print(events);
  }
}

export interface FilterOptions {
  readonly type?: string;
  readonly verdict?: string;
  readonly about?: string;
}

const filters = (command: Command): Command =>
  command
    .option(
      '--type <types>',
      'only these, with commas: verdict,drop,violation,endpoint,policy,source,kernel,agent,gate',
    )
    .option('--verdict <verdicts>', 'only these, with commas: Allow,Deny,Alert')
    .option('--about <name>', 'only about this endpoint id, namespace/kind/name, or namespace/policy');

const queryOf = (options: FilterOptions) => ({ types: options.type, verdicts: options.verdict, about: options.about });

export function eventCommand(io: Io): Command {
  const command = group('event', 'what was refused, alerted, staged, and what happened to the agent').alias('events');
  const list = command
    .command('list')
    .alias('ls')
    .description('list events: each different one once, with how often it was seen')
    .option('--raw', 'every kept event by itself, in order');
  examples(filters(printing(list)), [
    ['event list', 'what was refused, how often, since when'],
    ['event list --about shop/Service/web', 'about one workload'],
    ['event list --type violation', 'what containers did, or tried, against hardening policies'],
    ['event list --raw --type drop -o json', 'every drop that is still kept, for programs'],
  ])
    .addOption(limit())
    .action((options: FilterOptions & { raw?: boolean; limit: number }, self: Command) =>
      withSession(io, self, async (session) => {
        const query = { ...queryOf(options), limit: options.limit };
        if (options.raw) await printList(io, EVENT, await session.client.get<Event[]>('/v1/events', query), session);
        else {
          const digest = await session.client.get<DigestView[]>('/v1/events/digest', query);
          await printList(io, digestResource(io), digest, session);
        }
      }),
    );
  const follow = command.command('follow').alias('watch').description('print events as they come, until Ctrl-C');
  examples(filters(printing(follow)), [
    ['event follow', 'as they come'],
    ['event follow --verdict Deny -o json', 'one JSON object a line'],
  ]).action((options: FilterOptions, self: Command) =>
    withSession(io, self, (session) =>
      printFollowed(io, session.client.follow('/v1/events/follow', queryOf(options)), printStream(io, EVENT, session)),
    ),
  );
  return command;
}
