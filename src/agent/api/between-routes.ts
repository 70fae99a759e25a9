import type { FastifyInstance, FastifyRequest } from 'fastify';
import {
  type HandshakeDetailView,
  type HandshakeView,
  handshakeParameters,
  type PeerAgentView,
  type PeerView,
  type RecordPageView,
  type RecordQuery,
  type RevokeRequest,
  type RevokeView,
  recordQuery,
  revokeBody,
} from './between-contract.ts';
import { read } from './read.ts';

/** What the API asks of the agent about other nodes. */
export interface BetweenService {
  handshakes(): readonly HandshakeView[];
  handshake(id: string): HandshakeDetailView;
  records(query: RecordQuery): RecordPageView;
  peers(): readonly PeerView[];
  peerAgents(): readonly PeerAgentView[];
  revoke(request: RevokeRequest, caller: string): RevokeView;
}

/** Adds the paths about other nodes. @param callerOf who asks, for the log */
export function addBetweenRoutes(
  app: FastifyInstance,
  service: BetweenService,
  callerOf: (request: FastifyRequest) => string,
): void {
  app.get('/v1/handshakes', () => service.handshakes());
  app.get('/v1/handshakes/records', (request) => service.records(read(recordQuery, request.query, 'query')));
  app.get('/v1/handshakes/:id', (request) => service.handshake(read(handshakeParameters, request.params, 'path').id));
  app.get('/v1/peers', () => service.peers());
  app.get('/v1/peers/agents', () => service.peerAgents());
  app.post('/v1/peers/revoke', (request) => service.revoke(read(revokeBody, request.body, 'body'), callerOf(request)));
}
