import type { FastifyInstance } from 'fastify';
import { namedParameters, namespaceQuery } from './contract.ts';
import type { ProfileDetailView, ProfileView } from './profile-contract.ts';
import { read } from './read.ts';

/** What the API asks of the agent about hardening. */
export interface ProfileService {
  profiles(): Promise<readonly ProfileView[]>;
  profile(name: string, namespace?: string): Promise<ProfileDetailView>;
}

export function addProfileRoutes(app: FastifyInstance, service: ProfileService): void {
  app.get('/v1/profiles', async (request) => {
    const { namespace } = read(namespaceQuery, request.query, 'query');
    const profiles = await service.profiles();
    return profiles.filter((profile) => namespace === undefined || profile.namespace === namespace);
  });
  app.get('/v1/profiles/:name', (request) => {
    const { name } = read(namedParameters, request.params, 'path');
    return service.profile(name, read(namespaceQuery, request.query, 'query').namespace);
  });
}
