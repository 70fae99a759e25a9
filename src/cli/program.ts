import { Command, Option } from 'commander';
import { VERSION } from '../agent/version.ts';
import { agentCommand } from './commands/agent.ts';
import { caCommand } from './commands/ca.ts';
import { completeCommand, completionCommand } from './commands/completion.ts';
import { doctorCommand } from './commands/doctor.ts';
import { endpointCommand } from './commands/endpoint.ts';
import { eventCommand } from './commands/event.ts';
import { flowCommand } from './commands/flow.ts';
import { handshakeCommand } from './commands/handshake.ts';
import { identityCommand } from './commands/identity.ts';
import { keysCommand } from './commands/keys.ts';
import { managerCommand } from './commands/manager.ts';
import { mapCommand } from './commands/map.ts';
import { peerCommand } from './commands/peer.ts';
import { metricsCommand, versionCommand } from './commands/plain.ts';
import { policyCommand } from './commands/policy.ts';
import { profileCommand } from './commands/profile.ts';
import { statusCommand } from './commands/status.ts';
import type { Io } from './io.ts';
import { DEFAULT_SOCKET, wholeNumber } from './session.ts';

const TIMEOUT_SECONDS = 30;

/** The command line, with every command. Nothing is read or asked until one runs. */
export function makeProgram(io: Io): Command {
  const program = new Command('sallyport')
    .description('Access control for containers, in the kernel')
    .version(VERSION, '-V, --version', 'print the version of this program')
    .addOption(
      new Option('--socket <path>', "the agent's API socket").default(
        io.environment.SALLYPORT_API_SOCKET ?? DEFAULT_SOCKET,
      ),
    )
    .addOption(
      new Option('--timeout <seconds>', 'how long to wait for an answer')
        .argParser(wholeNumber)
        .default(TIMEOUT_SECONDS),
    )
    .helpCommand(false)
    .showSuggestionAfterError()
    .addHelpText('after', '\nExit codes: docs/cli.md. Every command has --help with examples.');
  const commands = [
    agentCommand,
    managerCommand,
    statusCommand,
    endpointCommand,
    identityCommand,
    policyCommand,
    profileCommand,
    flowCommand,
    eventCommand,
    handshakeCommand,
    peerCommand,
    mapCommand,
    caCommand,
    keysCommand,
    metricsCommand,
    doctorCommand,
    completionCommand,
    versionCommand,
  ];
  for (const make of commands) program.addCommand(make(io));
  program.addCommand(completeCommand(io), { hidden: true });
  return program;
}
