import type { Command } from 'commander';
import type { EndpointView } from '../../agent/api/contract.ts';
import { formatAge } from '../../agent/duration.ts';
import { shortId } from '../../agent/identifiers.ts';
import type { Io } from '../io.ts';
import { printList, printOne, type Resource } from '../output/print.ts';
import type { Color } from '../output/text.ts';
import { examples, group, namespaced, printing, withSession } from '../session.ts';

function standing(endpoint: EndpointView): string {
  if (endpoint.mode === 'unprotected') return 'unprotected';
  if (endpoint.error !== undefined) return 'failed';
  return endpoint.enforced ? 'enforced' : 'pending';
}

const COLORS: Readonly<Record<string, Color>> = {
  enforced: 'green',
  failed: 'red',
  unprotected: 'yellow',
  pending: 'yellow',
};

/** `2 in, 1 out, 1 hardening`: policies that select it. */
function selected({ policies }: EndpointView): string {
  const { ingress, egress, hardening } = policies;
  return `${ingress.length} in, ${egress.length} out${hardening.length === 0 ? '' : `, ${hardening.length} hardening`}`;
}

function endpointResource(io: Io): Resource<EndpointView> {
  return {
    kind: 'endpoint',
    name: (endpoint) => endpoint.id,
    columns: [
      { header: 'NAMESPACE', value: (endpoint) => endpoint.namespace },
      { header: 'KIND', value: (endpoint) => endpoint.kind },
      { header: 'NAME', value: (endpoint) => endpoint.name },
      { header: 'IDENTITY', value: (endpoint) => endpoint.identity },
      { header: 'MODE', value: (endpoint) => endpoint.mode },
      { header: 'STATUS', value: standing, color: (endpoint) => COLORS[standing(endpoint)] },
      { header: 'POLICIES', value: selected },
      { header: 'ADDRESSES', value: (endpoint) => endpoint.addresses.join(',') },
      { header: 'DENIED', value: (endpoint) => String(endpoint.denied.packets), right: true },
      { header: 'AGE', value: (endpoint) => age(io, endpoint), right: true },
      { header: 'ID', value: (endpoint) => shortId(endpoint.id) },
      { header: 'INTERFACES', wide: true, value: (endpoint) => endpoint.interfaces.map((link) => link.name).join(',') },
      { header: 'CONTAINERS', wide: true, value: (endpoint) => endpoint.containers.map((one) => one.name).join(',') },
      { header: 'REASON', wide: true, value: (endpoint) => endpoint.error ?? endpoint.reason ?? '' },
    ],
  };
}

function age(io: Io, endpoint: EndpointView): string {
  const started = endpoint.containers.map((container) => Date.parse(container.startedAt));
  return started.length === 0 ? '' : formatAge(io.now() - Math.min(...started));
}

export function endpointCommand(io: Io): Command {
  const command = group('endpoint', 'containers of this node, as the kernel knows them').alias('endpoints').alias('ep');
  const list = command.command('list').alias('ls').description('list endpoints');
  examples(namespaced(printing(list)), [
    ['endpoint list', 'all of this node'],
    ['endpoint list -n shop -o wide', 'one namespace, with interfaces, containers and reasons'],
    ['endpoint list -o json', 'everything known, for programs'],
  ]).action((_options, self: Command) =>
    withSession(io, self, async (session) => {
      const items = await session.client.get<EndpointView[]>('/v1/endpoints', { namespace: session.namespace });
      await printList(io, endpointResource(io), items, session);
    }),
  );
  const get = command.command('get').description('show one endpoint').argument('<name>', 'workload, or id');
  examples(namespaced(printing(get)), [
    ['endpoint get web', 'by name, when only one has it'],
    ['endpoint get shop/Service/web -o yaml', 'by its whole name, everything known'],
    ['endpoint get 3f2a', 'by the first digits of its id'],
  ]).action((name: string, _options, self: Command) =>
    withSession(io, self, async (session) => {
      const path = `/v1/endpoints/${encodeURIComponent(name)}`;
      const item = await session.client.get<EndpointView>(path, { namespace: session.namespace });
      await printOne(io, endpointResource(io), item, session);
    }),
  );
  return command;
}
