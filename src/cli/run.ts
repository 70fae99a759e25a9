import { type Command, CommanderError } from 'commander';
import { type AgentError, asAgentError, ERRORS, EXIT, formatFault } from '../agent/errors.ts';
import type { Io } from './io.ts';
import { paint, safe } from './output/text.ts';
import { makeProgram } from './program.ts';

/** Faults printed of one error. */
const FAULTS_MOST = 50;

/**
 * Runs one command line. Never throws: what goes wrong is said on the error stream, once.
 * @param words after the program's name
 * @returns the exit code
 */
export async function run(words: readonly string[], io: Io): Promise<number> {
  let exit: number = EXIT.OK;
  const program = makeProgram({
    ...io,
    answer: (code) => {
      exit = code;
    },
  });
  const pending: Promise<void>[] = [];
  configure(program, io, pending);
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    await Promise.all(pending);
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.OK : EXIT.USAGE;
    if (io.signal.aborted) return exit;
    const known = asAgentError(error);
    complain(io, known);
    return ERRORS[known.code].exit;
  }
  return exit;
}

/** Commander throws instead of ending the process, for the program and every command below it. */
function configure(command: Command, io: Io, pending: Promise<void>[]): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => void pending.push(io.write(text)),
    writeErr: (text) => io.complain(text.trimEnd()),
    getOutHasColors: () => io.color,
    getErrHasColors: () => io.color,
  });
  for (const child of command.commands) configure(child, io, pending);
}

function complain(io: Io, error: AgentError): void {
  io.complain(`${paint('error', 'red', io.color)}: ${safe(error.message)}`);
  for (const fault of error.faults.slice(0, FAULTS_MOST)) io.complain(`  ${safe(formatFault(fault))}`);
  const more = error.faults.length - FAULTS_MOST;
  if (more > 0) io.complain(`  and ${more} more`);
  if (error.hint !== undefined) io.complain(`hint: ${safe(error.hint)}`);
}
