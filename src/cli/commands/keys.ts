import { Command, InvalidArgumentError, Option } from 'commander';
import { formatAge, parseDuration } from '../../agent/duration.ts';
import type { TagKeyFile, TagKeyState } from '../../trust/tag-keys.ts';
import type { Io } from '../io.ts';
import { type PrintOptions, printList, type Resource } from '../output/print.ts';
import type { Color } from '../output/text.ts';
import { examples, group, printing, withPrinting } from '../session.ts';
import { withTrust } from '../trust-failure.ts';

const FILE = '/etc/sallyport/tag-keys.json';

/** A key as it is shown: never the key. */
interface TagKeyView {
  readonly epoch: number;
  readonly state: TagKeyState;
  readonly activates?: string;
  readonly expires?: string;
  readonly fingerprint: string;
}

const COLORS: Readonly<Record<TagKeyState, Color | undefined>> = {
  signs: 'green',
  accepted: undefined,
  waits: 'yellow',
  expired: 'dim',
};

function keyResource(io: Io): Resource<TagKeyView> {
  const from = (time: string | undefined): string => {
    if (time === undefined) return '';
    const ms = Date.parse(time) - io.now();
    return ms > 0 ? `in ${formatAge(ms)}` : `${formatAge(-ms)} ago`;
  };
  return {
    kind: 'key',
    name: ({ epoch }) => String(epoch),
    columns: [
      { header: 'EPOCH', value: ({ epoch }) => String(epoch), right: true },
      { header: 'STATE', value: ({ state }) => state, color: ({ state }) => COLORS[state] },
      { header: 'ACTIVATES', value: ({ activates }) => from(activates) },
      { header: 'EXPIRES', value: ({ expires }) => from(expires) },
      { header: 'FINGERPRINT', value: ({ fingerprint }) => fingerprint },
    ],
  };
}

/** Loaded when it is asked for: the schema takes time to build. */
async function load() {
  const [keys, files] = await Promise.all([import('../../trust/tag-keys.ts'), import('../../trust/tag-key-file.ts')]);
  return { ...keys, ...files };
}

async function print(io: Io, file: TagKeyFile, options: PrintOptions): Promise<void> {
  const { tagKeyFingerprint, tagKeyState } = await load();
  const views = file.keys.map((key): TagKeyView => {
    const { epoch, activates, expires } = key;
    return {
      epoch,
      state: tagKeyState(file, key, io.now()),
      ...(activates === undefined ? {} : { activates: new Date(activates).toISOString() }),
      ...(expires === undefined ? {} : { expires: new Date(expires).toISOString() }),
      fingerprint: tagKeyFingerprint(key.key),
    };
  });
  await printList(io, keyResource(io), views, options);
}

/** Milliseconds of a duration, as the value of an option. */
function durationOption(text: string): number {
  const value = parseDuration(text);
  if (value === undefined) throw new InvalidArgumentError('A duration is wanted, as 500ms, 10s, 5m or 1h.');
  return value;
}

const fileOption = (): Option => new Option('--file <path>', 'the key file').default(FILE);

interface FileOptions {
  readonly file: string;
}

function initCommand(io: Io): Command {
  const command = new Command('init')
    .description('make a key file with one key, of epoch 1')
    .addOption(fileOption())
    .option('--force', 'overwrite the one that is there');
  return examples(printing(command), [
    ['keys init', `into ${FILE}; bring it to every node of the domain`],
    ['keys init --file ./tag-keys.json', 'elsewhere'],
  ]).action(({ file, force = false }: FileOptions & { force?: boolean }, self: Command) =>
    withPrinting(io, self, async (options) => {
      const { firstTagKeys, writeTagKeys } = await load();
      const keys = firstTagKeys();
      await withTrust(() => writeTagKeys(file, keys, { force }));
      await print(io, keys, options);
    }),
  );
}

interface RotateOptions extends FileOptions {
  readonly activateIn: number;
  readonly keep: number;
}

function rotateCommand(io: Io): Command {
  const command = new Command('rotate')
    .description('add the next key, which is accepted at once and signs later; drop expired ones')
    .addOption(fileOption())
    .addOption(
      new Option('--activate-in <duration>', 'when it signs: until then every node must have the file')
        .argParser(durationOption)
        .default(60_000, '1m'),
    )
    .addOption(
      new Option('--keep <duration>', 'how long the old ones are accepted after that')
        .argParser(durationOption)
        .default(3_600_000, '1h'),
    );
  return examples(printing(command), [
    ['keys rotate', 'the new key signs in a minute, the old one ends an hour later'],
    ['keys rotate --activate-in 1h --keep 24h', 'where bringing the file to all nodes takes its time'],
  ]).action(({ file, activateIn, keep }: RotateOptions, self: Command) =>
    withPrinting(io, self, async (options) => {
      const { readTagKeys, rotateTagKeys, writeTagKeys } = await load();
      const keys = await withTrust(() => {
        const next = rotateTagKeys(readTagKeys(file), { now: io.now(), activateInMs: activateIn, keepMs: keep });
        writeTagKeys(file, next, { force: true });
        return next;
      });
      await print(io, keys, options);
    }),
  );
}

function showCommand(io: Io): Command {
  const command = new Command('show').description(
    'show which keys are accepted and which signs; never the keys themselves',
  );
  return examples(printing(command.addOption(fileOption())), [
    ['keys show', 'fingerprints, to compare between nodes'],
    ['keys show -o json', 'for programs'],
  ]).action(({ file }: FileOptions, self: Command) =>
    withPrinting(io, self, async (options) => {
      const { readTagKeys } = await load();
      await print(io, await withTrust(() => readTagKeys(file)), options);
    }),
  );
}

export function keysCommand(io: Io): Command {
  return group('keys', 'the keys by which nodes believe tags')
    .addCommand(initCommand(io))
    .addCommand(rotateCommand(io))
    .addCommand(showCommand(io));
}
