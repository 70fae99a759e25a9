/** What was heard on a street of two containers, and which tags must be on it. */
import assert from 'node:assert/strict';
import { type TcpPacket, tagOption } from '../../rig/tag.ts';
import { KEYS, WINDOW } from './tag-reader.ts';
import type { Heard } from './tag-street.ts';

/** Identities of the street's houses. */
export const LEFT = 0xa11ce0000000001n;
export const RIGHT = 0xb0b000000000002n;

export const hex = (buffers: readonly Buffer[]): string[] => buffers.map((buffer) => buffer.toString('hex'));
/** Those of one kind. */
export const of = (packets: readonly TcpPacket[], kind: TcpPacket['kind']): TcpPacket[] =>
  packets.filter((packet) => packet.kind === kind);

/** The one tag that a packet must bear. */
export function wanted(packet: TcpPacket, identity: bigint, epoch = 1, window = WINDOW): string[] {
  const { sequence, acknowledged, kind } = packet;
  const answer = kind === 'SYN-ACK' ? { acknowledged } : {};
  return [tagOption({ key: KEYS[epoch]!, epoch, identity, window, sequence, ...answer }).toString('hex')];
}

/** Both ends tagged what opened the connection, and nothing else. */
export function assertTagged(heard: Heard): void {
  assert.ok(of(heard.left, 'SYN').length > 0 && of(heard.right, 'SYN-ACK').length > 0, 'the connection was opened');
  for (const packet of heard.left) {
    assert.deepEqual(hex(packet.tags), packet.kind === 'SYN' ? wanted(packet, LEFT) : [], packet.kind);
  }
  for (const packet of heard.right) {
    assert.deepEqual(hex(packet.tags), packet.kind === 'SYN-ACK' ? wanted(packet, RIGHT) : [], packet.kind);
  }
  assert.ok(
    of(heard.left, 'other').some(({ payload }) => payload.length > 0),
    'data went over it',
  );
}

export function assertUntagged(heard: Heard): void {
  assert.ok(of(heard.left, 'SYN').length > 0, 'somebody tried');
  for (const packet of [...heard.left, ...heard.right]) assert.deepEqual(hex(packet.tags), [], packet.kind);
}
