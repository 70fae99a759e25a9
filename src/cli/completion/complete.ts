import type { Argument, Command, Option } from 'commander';

export interface Candidate {
  readonly text: string;
  readonly description: string;
}

/** Kinds of names that only the agent or the datapath knows. */
export type NameKind =
  | 'endpoint'
  | 'identity'
  | 'policy'
  | 'workload'
  | 'namespace'
  | 'map'
  | 'handshake'
  | 'peer'
  /** Ready rules, and what has a profile. */
  | 'profile'
  | 'ready-group';

/** What may stand next: words, names to be asked for, or files. */
export interface Completion {
  readonly candidates: readonly Candidate[];
  readonly names?: NameKind;
  readonly files?: boolean;
}

const NOTHING: Completion = { candidates: [] };

/** Arguments whose values are names, by command and argument. */
const NAMES: Readonly<Record<string, NameKind>> = {
  'endpoint get name': 'endpoint',
  'identity get name': 'identity',
  'policy get name': 'policy',
  'policy delete names': 'policy',
  'policy explain from': 'workload',
  'policy explain to': 'workload',
  'profile status container': 'endpoint',
  'profile show name': 'profile',
  'profile catalogue group': 'ready-group',
  'profile explain workload': 'endpoint',
  'profile learn workload': 'endpoint',
  'handshake show id': 'handshake',
  'peer revoke selector': 'peer',
  'map dump map': 'map',
  'map get map': 'map',
  'map update map': 'map',
  'map delete map': 'map',
};

/** Options whose values are names or files. */
const OPTION_NAMES: Readonly<Record<string, NameKind>> = {
  '--namespace': 'namespace',
  '--about': 'workload',
  '--workload': 'workload',
  '--group': 'ready-group',
};
const FILE_OPTIONS = new Set(['--filename', '--config', '--socket', '--pins', '--directory', '--out', '--file']);

/**
 * What may stand where the last word is.
 * @param words after the program's name; the last is the one being written, maybe empty
 */
export function complete(program: Command, words: readonly string[]): Completion {
  const current = words.at(-1) ?? '';
  const position = locate(program, words.slice(0, -1));
  const found = position.awaiting === undefined ? next(position, current) : valuesOf(position.awaiting);
  return { ...found, candidates: found.candidates.filter(({ text }) => text.startsWith(current)) };
}

interface Position {
  readonly command: Command;
  /** Arguments already given. */
  readonly given: number;
  /** The option whose value comes next. */
  readonly awaiting: Option | undefined;
}

function locate(program: Command, before: readonly string[]): Position {
  let command = program;
  let given = 0;
  let awaiting: Option | undefined;
  for (const word of before) {
    if (awaiting !== undefined) {
      awaiting = undefined;
      continue;
    }
    if (word.startsWith('-') && word !== '-') {
      const option = optionsOf(command).find((one) => one.long === word || one.short === word);
      awaiting = option?.required === true || option?.optional === true ? option : undefined;
      continue;
    }
    const child =
      given === 0 ? childrenOf(command).find((one) => [one.name(), ...one.aliases()].includes(word)) : undefined;
    if (child === undefined) given += 1;
    else command = child;
  }
  return { command, given, awaiting };
}

function next({ command, given }: Position, current: string): Completion {
  if (current.startsWith('-')) {
    const options = optionsOf(command).filter((option) => !option.hidden);
    return {
      candidates: options.map((option) => ({ text: option.long ?? option.flags, description: option.description })),
    };
  }
  const children = childrenOf(command);
  if (children.length > 0) {
    return given > 0
      ? NOTHING
      : { candidates: children.map((one) => ({ text: one.name(), description: one.description() })) };
  }
  const { registeredArguments } = command;
  const last = registeredArguments.at(-1);
  const argument = registeredArguments[given] ?? (last?.variadic === true ? last : undefined);
  return argument === undefined ? NOTHING : valuesOfArgument(command, argument);
}

function valuesOfArgument(command: Command, argument: Argument): Completion {
  const choices = argument.argChoices;
  if (choices !== undefined) return { candidates: choices.map((text) => ({ text, description: '' })) };
  const kind = NAMES[`${pathOf(command)} ${argument.name()}`];
  if (kind !== undefined) return { candidates: [], names: kind };
  return ['paths', 'file'].includes(argument.name()) ? { candidates: [], files: true } : NOTHING;
}

function valuesOf(option: Option): Completion {
  const choices = option.argChoices;
  if (choices !== undefined) return { candidates: choices.map((text) => ({ text, description: '' })) };
  const kind = OPTION_NAMES[option.long ?? ''];
  if (kind !== undefined) return { candidates: [], names: kind };
  return FILE_OPTIONS.has(option.long ?? '') ? { candidates: [], files: true } : NOTHING;
}

function childrenOf(command: Command): Command[] {
  return command.commands.filter((child) => !child.name().startsWith('_'));
}

/** The command's own options and those of its ancestors. */
function optionsOf(command: Command): Option[] {
  const own = [...command.options, ...(command.parent === null ? [] : optionsOf(command.parent))];
  return own;
}

function pathOf(command: Command): string {
  const { parent } = command;
  return parent === null || parent.parent === null ? command.name() : `${pathOf(parent)} ${command.name()}`;
}
