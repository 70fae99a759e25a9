import type { Command } from 'commander';
import type { IdentityView } from '../../agent/api/contract.ts';
import type { Io } from '../io.ts';
import { printList, printOne, type Resource } from '../output/print.ts';
import { examples, group, namespaced, printing, withSession } from '../session.ts';

const IDENTITY: Resource<IdentityView> = {
  kind: 'identity',
  name: (identity) => identity.identity,
  columns: [
    { header: 'IDENTITY', value: (identity) => identity.identity },
    { header: 'NAMESPACE', value: (identity) => identity.namespace },
    { header: 'KIND', value: (identity) => identity.kind },
    { header: 'NAME', value: (identity) => identity.name },
    { header: 'CONTAINER', value: (identity) => identity.container },
    { header: 'SLOT', value: (identity) => String(identity.slot), right: true },
    { header: 'ENDPOINTS', value: (identity) => String(identity.endpoints.length), right: true },
    { header: 'INGRESS', value: (identity) => identity.policies.ingress.join(',') },
    { header: 'EGRESS', value: (identity) => identity.policies.egress.join(',') },
    { header: 'HARDENING', value: (identity) => identity.policies.hardening.join(',') },
    {
      header: 'LABELS',
      wide: true,
      value: (identity) =>
        Object.entries(identity.labels)
          .map(([key, value]) => `${key}=${value}`)
          .join(','),
    },
  ],
};

export function identityCommand(io: Io): Command {
  const command = group('identity', 'who the containers are').alias('identities').alias('id');
  const list = command.command('list').alias('ls').description('list identities known on this node');
  examples(namespaced(printing(list)), [
    ['identity list', 'all, with the policies that select them'],
    ['identity list -o name', 'only their 16 digits'],
  ]).action((_options, self: Command) =>
    withSession(io, self, async (session) => {
      const items = await session.client.get<IdentityView[]>('/v1/identities', { namespace: session.namespace });
      await printList(io, IDENTITY, items, session);
    }),
  );
  const get = command.command('get').description('show one identity').argument('<name>', 'workload, or the 16 digits');
  examples(namespaced(printing(get)), [
    ['identity get web', 'by name'],
    ['identity get "shop/Service/web[nginx]"', 'one container of a workload'],
  ]).action((name: string, _options, self: Command) =>
    withSession(io, self, async (session) => {
      const path = `/v1/identities/${encodeURIComponent(name)}`;
      await printOne(io, IDENTITY, await session.client.get(path, { namespace: session.namespace }), session);
    }),
  );
  return command;
}
