import { Command } from 'commander';
import type { PeerAgentView, PeerView, RevokeView } from '../../agent/api/between-contract.ts';
import { formatAge } from '../../agent/duration.ts';
import { AgentError } from '../../agent/errors.ts';
import { shortId } from '../../agent/identifiers.ts';
import type { Io } from '../io.ts';
import { printList, printValue, type Resource } from '../output/print.ts';
import type { Color } from '../output/text.ts';
import { examples, group, printing, withSession } from '../session.ts';

const KIND_COLORS: Readonly<Record<PeerView['kind'], Color | undefined>> = {
  verified: 'green',
  refused: 'red',
  world: undefined,
};

const STATE_COLORS: Readonly<Record<PeerAgentView['state'], Color>> = {
  connected: 'green',
  connecting: 'yellow',
  waiting: 'yellow',
  refused: 'red',
};

/** `10.2.0.3`, or `UDP 203.0.113.9:53 from :4000` where it is one conversation. */
function remote({ address, conversation }: PeerView): string {
  if (conversation === undefined) return address;
  const { protocol, remotePort, localPort } = conversation;
  return `${protocol} ${address.includes(':') ? `[${address}]` : address}:${remotePort} :${localPort}`;
}

export function peerResource(io: Io): Resource<PeerView> {
  const ago = (time: string | undefined): string => (time === undefined ? '' : formatAge(io.now() - Date.parse(time)));
  return {
    kind: 'peer',
    name: (peer) => `${shortId(peer.endpoint)}/${remote(peer)}`,
    columns: [
      { header: 'WORKLOAD', value: ({ workload }) => workload },
      { header: 'ADDRESS', value: remote },
      { header: 'KIND', value: ({ kind }) => kind, color: ({ kind }) => KIND_COLORS[kind] },
      { header: 'PEER', value: ({ remoteWorkload, identity }) => remoteWorkload ?? identity ?? '' },
      { header: 'AGENT', value: ({ agent }) => agent ?? '' },
      { header: 'AGE', value: ({ verifiedAt }) => ago(verifiedAt), right: true },
      { header: 'EXPIRES', value: ({ expiresAt }) => formatAge(Date.parse(expiresAt) - io.now()), right: true },
      { header: 'USED', value: ({ usedAt }) => ago(usedAt), right: true },
      { header: 'IDENTITY', wide: true, value: ({ identity }) => identity ?? '' },
      { header: 'ENDPOINT', wide: true, value: ({ endpoint }) => shortId(endpoint) },
      { header: 'HANDSHAKE', wide: true, value: ({ handshake }) => handshake ?? '' },
    ],
  };
}

function agentResource(io: Io): Resource<PeerAgentView> {
  return {
    kind: 'agent',
    name: ({ name }) => name,
    columns: [
      { header: 'NAME', value: ({ name }) => name },
      { header: 'ADDRESS', value: ({ address }) => address },
      { header: 'STATE', value: ({ state }) => state, color: ({ state }) => STATE_COLORS[state] },
      { header: 'SINCE', value: ({ since }) => formatAge(io.now() - Date.parse(since)), right: true },
      { header: 'INBOUND', value: ({ inbound }) => (inbound ? 'yes' : 'no') },
      { header: 'VERSION', value: ({ version }) => (version === undefined ? '' : String(version)), right: true },
      { header: 'IDENTITIES', value: ({ identities }) => String(identities), right: true },
      { header: 'ERROR', value: ({ error }) => error ?? '' },
      { header: 'NODE', wide: true, value: ({ node }) => node ?? '' },
      { header: 'CIDRS', wide: true, value: ({ cidrs }) => cidrs.join(',') },
    ],
  };
}

function listCommand(io: Io): Command {
  const command = new Command('list')
    .alias('ls')
    .description('list what the kernel believes of peers, until it expires');
  return examples(printing(command), [
    ['peer list', 'who was verified, refused, or found to be nobody of the domain'],
    ['peer list -o wide', 'with identities, endpoints and handshakes'],
    ['peer list -o json | jq ".[] | select(.usedAt == null)"', 'what was verified and never used'],
  ]).action((_options, self: Command) =>
    withSession(io, self, async (session) => {
      await printList(io, peerResource(io), await session.client.get<PeerView[]>('/v1/peers'), session);
    }),
  );
}

interface RevokeOptions {
  readonly all?: boolean;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
}

function revokeCommand(io: Io): Command {
  const command = new Command('revoke')
    .description('end what is believed of peers, at both ends: their next packet is asked for anew')
    .argument('[selector]', 'address, CIDR, workload, identity, id of a local endpoint, or name of an agent')
    .option('--all', 'of every peer; wants --yes')
    .option('--yes', 'really')
    .option('--dry-run', 'say what would be revoked; revoke nothing');
  return examples(printing(command), [
    ['peer revoke shop/Service/web', 'what concerns a workload, here or there'],
    ['peer revoke 10.2.0.0/16 --dry-run', 'what would end'],
    ['peer revoke --all --yes', 'everything'],
  ]).action((selector: string | undefined, options: RevokeOptions, self: Command) =>
    withSession(io, self, async (session) => {
      const { all = false, yes = false, dryRun = false } = options;
      if ((selector === undefined) !== all) {
        throw new AgentError('USAGE', all ? 'Both a selector and --all were given' : 'No peer was named', {
          hint: 'name peers, or say --all',
        });
      }
      if (all && !yes && !dryRun) {
        throw new AgentError('USAGE', '--all ends what is believed of every peer', {
          hint: 'say --yes, too; --dry-run shows what it would be',
        });
      }
      const body = { ...(selector === undefined ? {} : { selector }), all, dryRun };
      const view = await session.client.post<RevokeView>('/v1/peers/revoke', body);
      if (await printValue(io, view, session)) return;
      await printList(io, peerResource(io), view.revoked, session);
      io.complain(`${view.revoked.length} ${view.dryRun ? 'would be revoked' : 'revoked'}.`);
    }),
  );
}

function agentsCommand(io: Io): Command {
  const command = new Command('agents').description(
    'list the other agents of the domain, and how the connections stand',
  );
  return examples(printing(command), [
    ['peer agents', 'who is connected, and what keeps the others from it'],
    ['peer agents -o wide', 'with the addresses they speak for'],
  ]).action((_options, self: Command) =>
    withSession(io, self, async (session) => {
      await printList(io, agentResource(io), await session.client.get<PeerAgentView[]>('/v1/peers/agents'), session);
    }),
  );
}

export function peerCommand(io: Io): Command {
  return group('peer', 'the other ends of conversations between nodes')
    .alias('peers')
    .addCommand(listCommand(io))
    .addCommand(revokeCommand(io))
    .addCommand(agentsCommand(io));
}
