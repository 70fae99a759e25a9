import { Argument, Command } from 'commander';
import type { HandshakeView, PeerView } from '../../agent/api/between-contract.ts';
import type { EndpointView, IdentityView, PolicyView } from '../../agent/api/contract.ts';
import { AgentClient } from '../client.ts';
import { type Candidate, complete, type NameKind } from '../completion/complete.ts';
import { SCRIPTS } from '../completion/scripts.ts';
import type { Io } from '../io.ts';
import { tableNames } from '../maps/tables.ts';
import { examples, type GlobalOptions } from '../session.ts';

/** A person waits at the keyboard: an agent that takes longer has no names to offer. */
const PATIENCE_MS = 700;
/** Names a shell can take without quoting surprises; others can still be typed. */
const PLAIN = /^[A-Za-z0-9._:@/[\]-]+$/;

export function completionCommand(io: Io): Command {
  const command = new Command('completion')
    .description('print what makes a shell complete commands and names')
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(SCRIPTS)));
  return examples(command, [
    ['completion bash > /etc/bash_completion.d/sallyport', 'for all users'],
    ['completion zsh', 'source <(sallyport completion zsh)'],
    ['completion fish', 'sallyport completion fish | source'],
  ]).action((shell: string) => io.write(SCRIPTS[shell] ?? ''));
}

/** What the scripts call. Never complains: a shell would print it into the line being written. */
export function completeCommand(io: Io): Command {
  return new Command('__complete')
    .argument('[words...]')
    .allowUnknownOption()
    .action(async (words: readonly string[], _options, self: Command) => {
      const program = self.parent;
      if (program === null) return;
      const completion = complete(program, words.length === 0 ? [''] : words);
      if (completion.files === true) return await io.write(':files\n');
      const names = completion.names === undefined ? [] : await namesOf(io, completion.names, self);
      const current = words.at(-1) ?? '';
      const all = [...completion.candidates, ...names.filter(({ text }) => text.startsWith(current))];
      await io.write(all.map(({ text, description }) => `${text}\t${description}\n`).join(''));
    });
}

async function namesOf(io: Io, kind: NameKind, command: Command): Promise<Candidate[]> {
  if (kind === 'map') return (await tableNames()).map((text) => ({ text, description: '' }));
  if (kind === 'ready-group') return await readyGroups();
  if (kind === 'profile') return [...(await readyRules()), ...(await namesOf(io, 'endpoint', command))];
  const { socket } = command.optsWithGlobals<GlobalOptions>();
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(PATIENCE_MS)]);
  const client = new AgentClient({ socket, timeoutMs: PATIENCE_MS, signal });
  try {
    const found = await ask(client, kind);
    const unique = new Map(found.filter(({ text }) => PLAIN.test(text)).map((one) => [one.text, one]));
    return [...unique.values()];
  } catch {
    // No agent, no names; the words of the command line itself need none.
    return [];
  }
}

async function readyRules(): Promise<Candidate[]> {
  const { READY_RULES } = await import('../../hardening/catalogue/index.ts');
  return [...READY_RULES.values()].map(({ name, title }) => ({ text: name, description: title }));
}

async function readyGroups(): Promise<Candidate[]> {
  const { READY_SETS } = await import('../../hardening/catalogue/index.ts');
  return [...READY_SETS].map(([text, names]) => ({ text, description: `${names.length} rules` }));
}

type Named = { readonly namespace: string; readonly kind: string; readonly name: string };

async function ask(
  client: AgentClient,
  kind: Exclude<NameKind, 'map' | 'profile' | 'ready-group'>,
): Promise<Candidate[]> {
  const path = ({ namespace, kind: what, name }: Named): string => `${namespace}/${what}/${name}`;
  if (kind === 'policy') {
    const policies = await client.get<PolicyView[]>('/v1/policies');
    return policies.map(({ namespace, name, mode, subject }) => ({
      text: namespace === '' ? name : `${namespace}/${name}`,
      description: `${mode} ${subject}`,
    }));
  }
  if (kind === 'endpoint') {
    const endpoints = await client.get<EndpointView[]>('/v1/endpoints');
    return endpoints.map((endpoint) => ({ text: path(endpoint), description: endpoint.addresses.join(',') }));
  }
  if (kind === 'handshake') {
    const handshakes = await client.get<HandshakeView[]>('/v1/handshakes');
    return handshakes.map(({ id, state }) => ({ text: id, description: state }));
  }
  if (kind === 'peer') {
    const peers = await client.get<PeerView[]>('/v1/peers');
    return peers.map(({ address, remoteWorkload = '' }) => ({ text: address, description: remoteWorkload }));
  }
  const identities = await client.get<IdentityView[]>('/v1/identities');
  if (kind === 'namespace') return identities.map(({ namespace }) => ({ text: namespace, description: '' }));
  const workloads = identities.map((identity) => ({ text: path(identity), description: identity.identity }));
  const reserved = ['host', 'world'].map((text) => ({ text, description: 'any' }));
  return kind === 'workload' ? [...workloads, ...reserved] : workloads;
}
