import type { Command } from 'commander';

export interface FileOptions {
  readonly filename?: readonly string[];
}

/** For options that may be given again. */
export const collect = (value: string, previous: readonly string[] = []): string[] => [...previous, value];

/** Adds `-f`. */
export function fileOption(command: Command): Command {
  return command.option(
    '-f, --filename <path>',
    'file, directory, or - for standard input; may be given again',
    collect,
  );
}
