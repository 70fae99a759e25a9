/**
 * What only nodes need that shake hands: TLS and its certificates, protobuf, a database. A dozen megabytes, loaded when other
 * agents are first heard of.
 */
export { openHandshake } from '../../handshake/index.ts';
export { openStore } from '../../store/index.ts';
export { watchCredentials } from '../../trust/credentials.ts';
export { Elsewhere, isAnnouncement } from './elsewhere.ts';
export { openWaitingRoom } from './waiting-room.ts';
