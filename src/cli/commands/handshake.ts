import { Command, InvalidArgumentError, Option } from 'commander';
import type {
  HandshakeDetailView,
  HandshakeEndView,
  HandshakeRecordView,
  HandshakeView,
  RecordPageView,
} from '../../agent/api/between-contract.ts';
import { formatAge, parseDuration } from '../../agent/duration.ts';
import type { Io } from '../io.ts';
import { type PrintOptions, printList, printValue, type Resource } from '../output/print.ts';
import { type Color, humanBytes, paint, safe } from '../output/text.ts';
import { examples, group, limit, printing, withSession } from '../session.ts';
import { peerResource } from './peer.ts';

/** As the API has them; its own list comes with the schema, which takes time to build. */
const RESULTS = ['verified', 'refused', 'timeout', 'unreachable', 'world', 'revoked', 'limited'] as const;
const ENDS = ['source', 'destination'] as const;
/** Records asked for at a time. */
const PAGE = 1_000;

const COLORS: Readonly<Record<HandshakeRecordView['result'], Color | undefined>> = {
  verified: 'green',
  refused: 'red',
  timeout: 'red',
  unreachable: 'red',
  limited: 'red',
  world: undefined,
  revoked: 'yellow',
};

function end(side: HandshakeEndView): string {
  const address = side.address.includes(':') ? `[${side.address}]` : side.address;
  return `${side.workload ?? side.identity ?? '?'} ${address}:${side.port}`;
}

const nodes = ({ source, destination }: { source: HandshakeEndView; destination: HandshakeEndView }): string =>
  `${source.node ?? '?'} -> ${destination.node ?? '?'}`;

function handshakeResource(io: Io): Resource<HandshakeView> {
  return {
    kind: 'handshake',
    name: ({ id }) => id,
    columns: [
      { header: 'ID', value: ({ id }) => id },
      { header: 'AS', value: (one) => one.end },
      { header: 'STATE', value: ({ state }) => state },
      { header: 'AGENT', value: ({ agent }) => agent ?? '' },
      { header: 'PROTOCOL', value: ({ protocol }) => protocol },
      { header: 'SOURCE', value: ({ source }) => end(source) },
      { header: 'DESTINATION', value: ({ destination }) => end(destination) },
      {
        header: 'HELD',
        value: ({ held }) => (held === undefined ? '' : `${held.packets} ${humanBytes(held.bytes)}`),
        right: true,
      },
      { header: 'AGE', value: ({ startedAt }) => milliseconds(io.now() - Date.parse(startedAt)), right: true },
      { header: 'NODES', wide: true, value: nodes },
      { header: 'DEADLINE', wide: true, value: ({ deadline }) => deadline },
    ],
  };
}

const RECORD: Resource<HandshakeRecordView> = {
  kind: 'record',
  name: ({ id, time }) => id || time,
  columns: [
    { header: 'TIME', value: ({ time }) => time },
    { header: 'AS', value: (one) => one.end },
    { header: 'RESULT', value: ({ result }) => result, color: ({ result }) => COLORS[result] },
    { header: 'STEP', value: ({ step }) => step },
    { header: 'WHY', value: ({ reason, rule }) => (rule === '' ? reason : `${reason} ${rule}`) },
    { header: 'PROTOCOL', value: ({ protocol }) => protocol },
    { header: 'SOURCE', value: ({ source }) => end(source) },
    { header: 'DESTINATION', value: ({ destination }) => end(destination) },
    { header: 'TOOK', value: ({ durationMs }) => milliseconds(durationMs), right: true },
    { header: 'ID', value: ({ id }) => id },
    { header: 'NODES', wide: true, value: nodes },
    { header: 'IDENTITIES', wide: true, value: (one) => identities(one) },
  ],
};

function identities({ source, destination }: HandshakeRecordView): string {
  return `${source.identity ?? '?'} -> ${destination.identity ?? '?'}`;
}

/** `12ms`, and as ages are from two seconds on. */
function milliseconds(ms: number): string {
  return ms < 2_000 ? `${Math.max(0, Math.round(ms))}ms` : formatAge(ms);
}

/** `1h` ago, or a time as RFC 3339 has it. */
function moment(text: string): string {
  if (parseDuration(text) !== undefined || !Number.isNaN(Date.parse(text))) return text;
  throw new InvalidArgumentError('Wanted how long ago (30s, 5m, 1h) or a time (2027-01-31T12:00:00Z).');
}

function momentOf(io: Io, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const ago = parseDuration(text);
  return new Date(ago === undefined ? Date.parse(text) : io.now() - ago).toISOString();
}

function listCommand(io: Io): Command {
  const command = new Command('list').alias('ls').description('list handshakes that are under way now');
  return examples(printing(command), [
    ['handshake list', 'with what waits for each'],
    ['handshake list -o wide', 'with nodes and deadlines'],
  ]).action((_options, self: Command) =>
    withSession(io, self, async (session) => {
      const items = await session.client.get<HandshakeView[]>('/v1/handshakes');
      await printList(io, handshakeResource(io), items, session);
    }),
  );
}

function showCommand(io: Io): Command {
  const command = new Command('show')
    .description('show all that is known of one handshake: its state, its records, what it verified')
    .argument('<id>', 'its 16 digits');
  return examples(printing(command), [
    ['handshake show 00f1c2d3e4a5b697', 'at either end: both have the same id'],
    ['handshake show 00f1c2d3e4a5b697 -o json', 'for programs'],
  ]).action((id: string, _options, self: Command) =>
    withSession(io, self, async (session) => {
      const detail = await session.client.get<HandshakeDetailView>(`/v1/handshakes/${encodeURIComponent(id)}`);
      if (await printValue(io, detail, session)) return;
      if (session.output === 'name') return await io.write(safe(`handshake/${detail.id}`).concat('\n'));
      const { underWay, records, peers } = detail;
      await section(io, 'Under way', handshakeResource(io), underWay === undefined ? [] : [underWay], session);
      await section(io, 'Records', RECORD, records, session);
      await section(io, 'Verified by it', peerResource(io), peers, session);
    }),
  );
}

async function section<T>(
  io: Io,
  title: string,
  resource: Resource<T>,
  items: readonly T[],
  options: PrintOptions,
): Promise<void> {
  if (items.length === 0) return;
  await io.write(`${paint(title, 'dim', io.color)}\n`);
  await printList(io, resource, items, options);
}

interface RecordOptions {
  readonly since?: string;
  readonly until?: string;
  readonly result?: string;
  readonly workload?: string;
  readonly identity?: string;
  readonly end?: string;
  readonly limit: number;
}

function recordsCommand(io: Io): Command {
  const command = new Command('records')
    .description('list how handshakes ended, and which connections between nodes were refused; the newest first')
    .addOption(new Option('--since <time>', 'not older: how long ago, or a time').argParser(moment))
    .addOption(new Option('--until <time>', 'older: how long ago, or a time').argParser(moment))
    .addOption(new Option('--result <result>', 'only this').choices(RESULTS))
    .option('--workload <pattern>', 'only of this workload at either end; * and ? stand for others')
    .option('--identity <identity>', 'only of this identity at either end: its 16 digits')
    .addOption(new Option('--end <end>', 'only those in which this node was that end').choices(ENDS));
  examples(printing(command), [
    ['handshake records --since 1h --result refused', 'what was refused in the last hour'],
    ['handshake records --workload shop/Service/web', 'of one workload'],
    ['handshake records --workload "shop/*/*" --end source -o wide', 'what those of a namespace opened from here'],
  ]);
  return command.addOption(limit()).action((options: RecordOptions, self: Command) =>
    withSession(io, self, async (session) => {
      const { since, until, result, workload, identity, end: side } = options;
      const query = {
        since: momentOf(io, since),
        until: momentOf(io, until),
        result,
        workload,
        identity,
        end: side,
      };
      const records: HandshakeRecordView[] = [];
      let after: string | undefined;
      do {
        const wanted = Math.min(PAGE, options.limit - records.length);
        const page = await session.client.get<RecordPageView>('/v1/handshakes/records', {
          ...query,
          limit: wanted,
          after,
        });
        records.push(...page.records);
        after = page.records.length === 0 ? undefined : page.after;
      } while (after !== undefined && records.length < options.limit);
      await printList(io, RECORD, records, session);
    }),
  );
}

export function handshakeCommand(io: Io): Command {
  return group('handshake', 'how agents agree on packets between nodes')
    .alias('handshakes')
    .alias('hs')
    .addCommand(listCommand(io))
    .addCommand(showCommand(io))
    .addCommand(recordsCommand(io));
}
