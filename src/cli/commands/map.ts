import { Command } from 'commander';
import { AgentError } from '../../agent/errors.ts';
import type { Io } from '../io.ts';
import { fieldsOf, jsonOf, withFields } from '../maps/fields.ts';
import { type OpenTable, openKernelTable, type TableInfo, tableNames } from '../maps/tables.ts';
import { printList, printOne, printValue, type Resource } from '../output/print.ts';
import type { Column } from '../output/table.ts';
import { examples, group, limit, printing, withPrinting } from '../session.ts';

interface PinOptions {
  readonly pins: string;
}

interface Entry {
  readonly key: unknown;
  readonly value: unknown;
}

const INFO: Resource<TableInfo> = {
  kind: 'map',
  name: (table) => table.name,
  columns: [
    { header: 'NAME', value: (table) => table.name },
    { header: 'TYPE', value: (table) => table.type },
    { header: 'ENTRIES', value: (table) => String(table.entries), right: true },
    { header: 'MAX', value: (table) => String(table.maxEntries), right: true },
    { header: 'KEY', value: (table) => table.key },
    { header: 'VALUE', value: (table) => table.value },
    { header: 'ID', value: (table) => String(table.id), right: true },
    { header: 'WRITABLE', wide: true, value: (table) => (table.writable ? 'yes' : 'no: one value for each CPU') },
  ],
};

/** One column a field; the key's first. Made from an entry, since each table has other fields. */
function entryResource(example: Entry | undefined): Resource<Entry> {
  const columns = (part: 'key' | 'value'): Column<Entry>[] =>
    fieldsOf(example?.[part]).map(({ path }, index) => ({
      header: (path === '' ? part : path).toUpperCase(),
      value: (entry) => fieldsOf(entry[part])[index]?.text ?? '',
    }));
  return {
    kind: 'entry',
    name: (entry) =>
      fieldsOf(entry.key)
        .map(({ path, text }) => (path === '' ? text : `${path}=${text}`))
        .join(','),
    columns: example === undefined ? [] : [...columns('key'), ...columns('value')],
  };
}

const plain = ({ key, value }: Entry) => ({ key: jsonOf(key), value: jsonOf(value) });

async function withTable<T>(
  name: string,
  options: PinOptions,
  action: (table: OpenTable) => Promise<T> | T,
): Promise<T> {
  const table = await openKernelTable(options.pins, name);
  try {
    return await action(table);
  } finally {
    table.close();
  }
}

/** The options every command on maps has. */
function onPins(command: Command, io: Io): Command {
  const standard = io.environment.SALLYPORT_DATAPATH_PINS ?? '/sys/fs/bpf/sallyport';
  return command.option('--pins <directory>', 'where the maps are pinned', standard);
}

function notThere(name: string, key: readonly string[]): AgentError {
  return new AgentError('NOT_FOUND', `Map ${name} has no entry ${key.join(' ')}`);
}

const KEY = 'the key: field=value for each of its fields, or one JSON object';

function listCommand(io: Io): Command {
  const command = onPins(printing(new Command('list').alias('ls').description('list the pinned maps')), io);
  return examples(command, [['map list', 'with how full they are']]).action((options: PinOptions, self: Command) =>
    withPrinting(io, self, async (session) => {
      const infos: TableInfo[] = [];
      for (const name of await tableNames()) infos.push(await withTable(name, options, (table) => table.info()));
      await printList(io, INFO, infos, session);
    }),
  );
}

function dumpCommand(io: Io): Command {
  const command = onPins(printing(new Command('dump').description('print the entries of a map')), io)
    .argument('<map>', 'see "map list"')
    .addOption(limit());
  return examples(command, [
    ['map dump ports', 'a column for each field'],
    ['map dump flows -o json --limit 10', 'for programs'],
  ]).action((name: string, options: PinOptions & { limit: number }, self: Command) =>
    withPrinting(io, self, (session) =>
      withTable(name, options, async (table) => {
        const entries: Entry[] = [];
        for (const [key, value] of table.entries()) {
          if (entries.length >= options.limit) {
            io.complain(`Only the first ${options.limit} entries: raise --limit for more.`);
            break;
          }
          entries.push({ key, value });
        }
        if (await printValue(io, entries.map(plain), session)) return;
        await printList(io, entryResource(entries[0]), entries, session);
      }),
    ),
  );
}

function getCommand(io: Io): Command {
  const command = onPins(printing(new Command('get').description('print one entry of a map')), io)
    .argument('<map>', 'see "map list"')
    .argument('<key...>', KEY);
  return examples(command, [
    ['map get subjects 16', 'by a plain number'],
    ['map get ports class=00f1… protocol=TCP port=8080', 'by the fields of its key'],
    ['map get addresses 10.0.0.2', 'by an address'],
  ]).action((name: string, texts: readonly string[], options: PinOptions, self: Command) =>
    withPrinting(io, self, (session) =>
      withTable(name, options, async (table) => {
        const key = withFields(table.emptyKey(), texts, true);
        const value = table.get(key);
        if (value === undefined) throw notThere(name, texts);
        const entry: Entry = { key, value };
        if (await printValue(io, plain(entry), session)) return;
        await printOne(io, entryResource(entry), entry, session);
      }),
    ),
  );
}

interface UpdateOptions extends PinOptions {
  readonly set?: readonly string[];
  readonly create?: boolean;
  readonly revision: boolean;
}

const collect = (value: string, previous: readonly string[] = []): string[] => [...previous, value];
const noRevision = ['--no-revision', 'leave flows that were decided before as they are'] as const;

function updateCommand(io: Io): Command {
  const command = onPins(
    new Command('update').description('change fields of an entry, behind the back of the agent'),
    io,
  )
    .argument('<map>', 'see "map list"')
    .argument('<key...>', KEY)
    .option('--set <field=value>', 'a field of the value, or one JSON object; may be given again', collect)
    .option('--create', 'make the entry where there is none; fields not given are zero')
    .option(...noRevision);
  return examples(command, [
    ['map update ports class=00f1… protocol=TCP port=8080 --set verdict=Deny', 'deny one port of a class'],
    ['map update peers set=0a77… peer=17 --set any.verdict=Allow', 'what holds for ports not listed'],
    ['status', 'shows the difference to what the agent applied'],
  ])
    .addHelpText('after', '\nThe next packet is judged by the change. The agent reports it as drift.')
    .action((name: string, texts: readonly string[], options: UpdateOptions) =>
      withTable(name, options, async (table) => {
        if (options.set === undefined) throw new AgentError('USAGE', 'Nothing to change: name fields with --set');
        const key = withFields(table.emptyKey(), texts, true);
        const before = table.get(key);
        if (before === undefined && options.create !== true) throw notThere(name, texts);
        table.set(key, withFields(before ?? table.emptyValue(), options.set, false));
        if (options.revision) await table.redecide();
        await io.write(`map/${name} ${before === undefined ? 'entry created' : 'entry changed'}\n`);
      }),
    );
}

function deleteCommand(io: Io): Command {
  const command = onPins(new Command('delete').description('delete an entry, behind the back of the agent'), io)
    .argument('<map>', 'see "map list"')
    .argument('<key...>', KEY)
    .option(...noRevision);
  return examples(command, [
    ['map delete ports class=00f1… protocol=TCP port=8080', 'the port is judged by what holds for any'],
  ]).action((name: string, texts: readonly string[], options: UpdateOptions) =>
    withTable(name, options, async (table) => {
      if (!table.delete(withFields(table.emptyKey(), texts, true))) throw notThere(name, texts);
      if (options.revision) await table.redecide();
      await io.write(`map/${name} entry deleted\n`);
    }),
  );
}

export function mapCommand(io: Io): Command {
  return group('map', "the kernel's tables themselves; works with the agent down, needs root")
    .alias('maps')
    .addCommand(listCommand(io))
    .addCommand(dumpCommand(io))
    .addCommand(getCommand(io))
    .addCommand(updateCommand(io))
    .addCommand(deleteCommand(io));
}
