import type { VerifiedPeer } from '../../datapath/peer-port.ts';
import type { HandshakeRecord, RecordEnd } from '../../handshake/port.ts';
import type { Conversation, Side } from '../../model/conversation.ts';
import { formatIdentity } from '../../model/identity.ts';
import { protocolName } from '../../model/protocol.ts';
import type { HandshakeEndView, HandshakeRecordView, HandshakeView, PeerView } from '../api/between-contract.ts';
import { isoTime } from '../api/views.ts';

/** What goes on between nodes, as the API tells it. Pure. */

/** `shop/Deployment/web[app]`; undefined: nobody this node knows. */
export type Naming = (identity: bigint) => string | undefined;

function endView({ address, port }: Side, end: RecordEnd): HandshakeEndView {
  const { node, identity, workload } = end;
  return {
    ...(node === undefined ? {} : { node }),
    ...(identity === undefined ? {} : { identity: formatIdentity(identity) }),
    ...(workload === undefined ? {} : { workload }),
    address,
    port,
  };
}

export function recordView(record: HandshakeRecord): HandshakeRecordView {
  const { handshake, time, end, result, step, reason, rule, conversation, duration } = record;
  return {
    id: handshake,
    time: isoTime(time),
    end,
    result,
    step,
    reason,
    rule,
    protocol: protocolName(conversation.protocol),
    source: endView(conversation.source, record.source),
    destination: endView(conversation.destination, record.destination),
    durationMs: duration,
  };
}

/** Structurally what the handshake lists. */
export interface UnderWay {
  readonly id: bigint;
  readonly end: 'source' | 'destination';
  readonly agent: string;
  readonly state: string;
  readonly since: number;
  readonly conversation: Conversation;
  readonly source: bigint;
  readonly destination: bigint;
}

/** @param deadlineMs how long a handshake may take */
export function underWayView(one: UnderWay, names: Naming, deadlineMs: number): HandshakeView {
  const { id, end, agent, state, since, conversation } = one;
  const whose = (identity: bigint): RecordEnd => {
    if (identity === 0n) return {};
    const workload = names(identity);
    return { identity, ...(workload === undefined ? {} : { workload }) };
  };
  return {
    id: formatIdentity(id),
    end,
    state,
    agent,
    protocol: protocolName(conversation.protocol),
    source: endView(conversation.source, whose(one.source)),
    destination: endView(conversation.destination, whose(one.destination)),
    startedAt: isoTime(since),
    deadline: isoTime(since + deadlineMs),
  };
}

/** What a handshake knows of the entry it wrote. */
export interface Vouched {
  readonly id: bigint;
  readonly agent: string;
  readonly since: number;
}

export function peerView(peer: VerifiedPeer, workload: string, names: Naming, vouched: Vouched | undefined): PeerView {
  const { endpoint, remote, conversation, kind, identity, expiresAt, usedAt } = peer;
  const remoteWorkload = names(identity);
  return {
    endpoint,
    workload,
    address: remote,
    ...(conversation === undefined
      ? {}
      : { conversation: { ...conversation, protocol: protocolName(conversation.protocol) } }),
    kind,
    ...(identity === 0n ? {} : { identity: formatIdentity(identity) }),
    ...(remoteWorkload === undefined ? {} : { remoteWorkload }),
    ...(vouched === undefined
      ? {}
      : { verifiedAt: isoTime(vouched.since), agent: vouched.agent, handshake: formatIdentity(vouched.id) }),
    expiresAt: isoTime(expiresAt),
    ...(usedAt === 0 ? {} : { usedAt: isoTime(usedAt) }),
  };
}
