import { Command, InvalidArgumentError, Option } from 'commander';
import { AgentClient } from './client.ts';
import type { Io } from './io.ts';
import { FORMATS, type Format, type PrintOptions } from './output/print.ts';

export const DEFAULT_SOCKET = '/run/sallyport/agent.sock';

/** Options every command may be given; commander fills them from the command and the program. */
export interface GlobalOptions {
  readonly socket: string;
  readonly timeout: number;
  readonly output?: Format;
  readonly headers?: boolean;
  readonly namespace?: string;
}

/** What an action works with. */
export interface Session extends PrintOptions {
  readonly io: Io;
  readonly client: AgentClient;
  readonly namespace: string | undefined;
}

/** Runs an action with a client for the agent. */
export function withSession<T>(io: Io, command: Command, action: (session: Session) => Promise<T>): Promise<T> {
  const { socket, timeout, output = 'table', headers = true, namespace } = command.optsWithGlobals<GlobalOptions>();
  const client = new AgentClient({ socket, timeoutMs: timeout * 1000, signal: io.signal });
  return action({ io, client, output, headers, namespace });
}

/** The same for commands that do not ask the agent. */
export function withPrinting<T>(
  io: Io,
  command: Command,
  action: (session: PrintOptions & { readonly io: Io }) => Promise<T>,
): Promise<T> {
  const { output = 'table', headers = true } = command.optsWithGlobals<GlobalOptions>();
  return action({ io, output, headers });
}

/** Adds `-o` and `--no-headers`. */
export function printing(command: Command): Command {
  return command
    .addOption(new Option('-o, --output <format>', 'how to print').choices(FORMATS).default('table'))
    .option('--no-headers', 'leave out the first line of a table');
}

/** Adds `-n`. */
export function namespaced(command: Command): Command {
  return command.option('-n, --namespace <namespace>', 'only this namespace; for names: look there first');
}

/** A whole number from 1 on, as the value of an option. */
export function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('A whole number from 1 on is wanted.');
}

/** `--limit`. */
export function limit(): Option {
  return new Option('--limit <count>', 'at most this many').argParser(wholeNumber).default(1000);
}

/** Adds examples to `--help`, each with what it does. */
export function examples(command: Command, lines: readonly (readonly [line: string, what: string])[]): Command {
  const width = Math.max(...lines.map(([line]) => line.length));
  const text = lines.map(([line, what]) => `  sallyport ${line.padEnd(width)}   ${what}`);
  return command.addHelpText('after', `\nExamples:\n${text.join('\n')}`);
}

/** A group of commands on one noun. */
export function group(name: string, description: string): Command {
  return new Command(name).description(description).helpCommand(false);
}
