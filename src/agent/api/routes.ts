import type { FastifyInstance } from 'fastify';
import type { Event } from '../../events/event.ts';
import type { EventFilter } from '../../events/journal.ts';
import { AgentError } from '../errors.ts';
import { addBetweenRoutes } from './between-routes.ts';
import type { Callers } from './callers.ts';
import {
  type DigestView,
  eventQuery,
  explainBody,
  flowQuery,
  followQuery,
  namedParameters,
  namespaceQuery,
  policyBody,
  policyQuery,
} from './contract.ts';
import { STREAM_HEARTBEAT_MS } from './limits.ts';
import { addProfileRoutes } from './profile-routes.ts';
import { read } from './read.ts';
import type { AgentService } from './service.ts';
import { streamEvents } from './stream.ts';

export interface RouteOptions {
  readonly service: AgentService;
  readonly callers: Callers;
  readonly now: () => number;
}

/** Adds every path under /v1. */
export function addRoutes(app: FastifyInstance, { service, callers, now }: RouteOptions): void {
  const callerOf = (socket: Parameters<Callers['of']>[0]): string => {
    const caller = callers.of(socket);
    return caller.allowed ? `uid ${caller.credentials.uid}, pid ${caller.credentials.pid}` : 'unknown';
  };

  app.get('/v1/version', () => service.version());
  app.get('/v1/status', () => service.status());
  app.get('/v1/drift', () => service.drift());

  app.get('/v1/endpoints', (request) => {
    const { namespace } = read(namespaceQuery, request.query, 'query');
    return service.endpoints().filter((endpoint) => namespace === undefined || endpoint.namespace === namespace);
  });
  app.get('/v1/endpoints/:name', (request) => {
    const { name } = read(namedParameters, request.params, 'path');
    return service.endpoint(name, read(namespaceQuery, request.query, 'query').namespace);
  });

  app.get('/v1/identities', (request) => {
    const { namespace } = read(namespaceQuery, request.query, 'query');
    return service.identities().filter((identity) => namespace === undefined || identity.namespace === namespace);
  });
  app.get('/v1/identities/:name', (request) => {
    const { name } = read(namedParameters, request.params, 'path');
    return service.identity(name, read(namespaceQuery, request.query, 'query').namespace);
  });

  app.get('/v1/policies', (request) => {
    const { namespace, kind } = read(policyQuery, request.query, 'query');
    return service
      .policies()
      .filter((policy) => namespace === undefined || policy.namespace === namespace)
      .filter((policy) => kind === undefined || policy.kind === kind);
  });
  app.get('/v1/policies/:name', (request) => {
    const { name } = read(namedParameters, request.params, 'path');
    return service.policy(name, read(policyQuery, request.query, 'query'));
  });
  app.post('/v1/policies', (request) =>
    service.applyPolicies(read(policyBody, request.body, 'body'), callerOf(request.raw.socket)),
  );
  app.delete('/v1/policies/:name', (request) => {
    const { name } = read(namedParameters, request.params, 'path');
    return service.deletePolicy(name, read(policyQuery, request.query, 'query'), callerOf(request.raw.socket));
  });
  app.post('/v1/explain', (request) => service.explain(read(explainBody, request.body, 'body')));

  addProfileRoutes(app, service);
  addBetweenRoutes(app, service, (request) => callerOf(request.raw.socket));

  app.get('/v1/flows', (request) => service.flows(read(flowQuery, request.query, 'query')));

  app.get('/v1/events', (request) => {
    const { limit, ...query } = read(eventQuery, request.query, 'query');
    return service.journal.list(filterOf(query), limit);
  });
  app.get('/v1/events/digest', (request): DigestView[] => {
    const { limit, ...query } = read(eventQuery, request.query, 'query');
    return service.digest(filterOf(query), limit);
  });

  const follow = (path: string, observations: boolean): void => {
    app.get(path, async (request, reply) => {
      const filter = filterOf(read(followQuery, request.query, 'query'));
      const subscription = service.journal.follow({ ...filter, observations });
      if (subscription === undefined) {
        throw new AgentError('NOT_READY', `Cannot follow: ${service.journal.followers} others do already`, {
          hint: 'end one of them, or raise events.followers',
        });
      }
      reply.hijack();
      await streamEvents(reply.raw, subscription, { heartbeatMs: STREAM_HEARTBEAT_MS, now });
    });
  };
  follow('/v1/events/follow', false);
  follow('/v1/flows/follow', true);

  app.get('/v1/metrics', async (_request, reply) => {
    reply.type('text/plain; version=0.0.4; charset=utf-8');
    return await service.metrics();
  });
}

const TYPES: readonly string[] = [
  'verdict',
  'drop',
  'violation',
  'endpoint',
  'policy',
  'source',
  'kernel',
  'agent',
  'gate',
];
const isType = (text: string): text is Event['type'] => TYPES.includes(text);

function filterOf(query: {
  readonly types?: readonly string[] | undefined;
  readonly verdicts?: readonly string[] | undefined;
  readonly about?: string | undefined;
}): EventFilter {
  const unknown = query.types?.find((type) => !isType(type));
  if (unknown !== undefined) {
    throw new AgentError('USAGE', `There are no events of type ${JSON.stringify(unknown)}: wanted ${TYPES.join(', ')}`);
  }
  return {
    ...(query.types === undefined ? {} : { types: query.types.filter(isType) }),
    ...(query.verdicts === undefined ? {} : { verdicts: query.verdicts }),
    ...(query.about === undefined ? {} : { about: query.about }),
  };
}
